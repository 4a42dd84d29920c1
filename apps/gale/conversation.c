#include "conversation.h"

#include "atomic.h"
#include "console.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void free_message(gale_message *m) {
  free((char *)m->role);
  free((char *)m->content);
}

int conversation_add(conversation *c, const char *role, const char *content, size_t n) {
  const char *nul = memchr(content, 0, n);
  if (nul) return fail("the %s message holds a NUL byte at offset %zu; text has none", role, (size_t)(nul - content));
  gale_message *grown = realloc(c->messages, (c->length + 1) * sizeof *grown);
  if (!grown) return fail_memory();
  c->messages = grown;
  gale_message m = {.role = strdup(role), .content = strndup(content, n)};
  if (!m.role || !m.content) {
    free_message(&m);
    return fail_memory();
  }
  c->messages[c->length++] = m;
  return 0;
}

void conversation_pop(conversation *c) {
  if (c->length) free_message(&c->messages[--c->length]);
}

void conversation_clear(conversation *c) {
  while (c->length) conversation_pop(c);
  free(c->messages);
  *c = (conversation){0};
}

bool conversation_ends_with(const conversation *c, const char *role) {
  return c->length && strcmp(c->messages[c->length - 1].role, role) == 0;
}

int conversation_set_system(conversation *c, const char *content) {
  bool has = c->length && strcmp(c->messages[0].role, "system") == 0;
  if (*content) {
    int code = conversation_add(c, "system", content, strlen(content));
    if (code) return code;
    gale_message added = c->messages[c->length - 1];
    memmove(c->messages + 1, c->messages, (c->length - 1) * sizeof added);
    c->messages[0] = added;
  }
  if (!has) return 0;
  size_t old = *content != 0;
  free_message(&c->messages[old]);
  memmove(c->messages + old, c->messages + old + 1, (c->length - old - 1) * sizeof *c->messages);
  c->length--;
  return 0;
}

/* ---- Prompts ---- */

static int render_raw(const conversation *c, const gale_tokenizer *tokenizer, int32_t **ids, size_t *n_ids) {
  size_t length = 0, at = 0;
  for (size_t i = 0; i < c->length; i++) length += strlen(c->messages[i].content);
  char *text = malloc(length + 1);
  if (!text) return fail_memory();
  for (size_t i = 0; i < c->length; i++) {
    size_t n = strlen(c->messages[i].content);
    memcpy(text + at, c->messages[i].content, n);
    at += n;
  }
  gale_error error = {0};
  gale_status status = gale_tokenize(tokenizer, text, length, gale_tokenizer_adds_bos(tokenizer), ids, n_ids, &error);
  free(text);
  return status ? fail_with(&error) : 0;
}

int conversation_render(const conversation *c, const gale_tokenizer *tokenizer, const char *template, bool raw,
                        int32_t **ids, size_t *n_ids) {
  if (raw) return render_raw(c, tokenizer, ids, n_ids);
  gale_error error = {0};
  return gale_chat_render(tokenizer, template, c->messages, c->length, ids, n_ids, &error) ? fail_with(&error) : 0;
}

/* ---- JSON ---- */

/* Adds the text of a list of parts, joined by a blank line. */
static int add_parts(conversation *c, const char *where, size_t index, const char *role, const json_t *parts) {
  char *joined = NULL;
  size_t length = 0, i;
  json_t *part;
  json_array_foreach(parts, i, part) {
    const char *type = json_string_value(json_object_get(part, "type"));
    const json_t *text = json_object_get(part, "text");
    if (!type || strcmp(type, "text") != 0 || !json_is_string(text)) {
      free(joined);
      return fail("%s: messages[%zu].content[%zu]: only parts {\"type\": \"text\", \"text\": ...} are supported", where,
                  index, i);
    }
    size_t n = json_string_length(text), gap = i ? 2 : 0;
    char *grown = realloc(joined, length + gap + n + 1);
    if (!grown) {
      free(joined);
      return fail_memory();
    }
    joined = grown;
    memcpy(joined + length, "\n\n", gap);
    memcpy(joined + length + gap, json_string_value(text), n);
    length += gap + n;
  }
  int code = conversation_add(c, role, joined ? joined : "", length);
  free(joined);
  return code;
}

/* True if an optional field asks for something: it is there, and not null, false or empty. */
static bool asks(const json_t *object, const char *key) {
  const json_t *v = json_object_get(object, key);
  return v && !json_is_null(v) && !json_is_false(v) && !(json_is_array(v) && json_array_size(v) == 0);
}

static int add_message(conversation *c, const char *where, size_t index, const json_t *m) {
  static const char *const later[] = {"tool_calls", "function_call", "prefix", "reasoning", "reasoning_content", NULL};
  if (!json_is_object(m)) return fail("%s: messages[%zu] is not an object", where, index);
  const char *role = json_string_value(json_object_get(m, "role"));
  if (!role) return fail("%s: messages[%zu].role is missing or not a string", where, index);
  if (strcmp(role, "developer") == 0) role = "system";
  if (strcmp(role, "system") != 0 && strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0)
    return fail("%s: messages[%zu].role is '%s'; supported are system, developer, user and assistant", where, index,
                role);
  for (const char *const *key = later; *key; key++)
    if (asks(m, *key)) return fail("%s: messages[%zu].%s is not supported", where, index, *key);
  const json_t *content = json_object_get(m, "content");
  if (json_is_array(content)) return add_parts(c, where, index, role, content);
  if (!json_is_string(content))
    return fail("%s: messages[%zu].content is neither a string nor a list of parts", where, index);
  return conversation_add(c, role, json_string_value(content), json_string_length(content));
}

int conversation_parse(conversation *c, const char *where, const char *json, size_t n) {
  static const char *const later[] = {"tools", "functions", "continue_final_message", "reasoning_effort", NULL};
  json_error_t problem;
  json_t *request = json_loadb(json, n, 0, &problem);
  if (!request) return fail("%s: line %d, column %d: %s", where, problem.line, problem.column, problem.text);
  const json_t *messages = json_object_get(request, "messages");
  int code = json_is_array(messages) ? 0 : fail("%s: messages is missing or not a list", where);
  for (const char *const *key = later; !code && *key; key++)
    if (asks(request, *key)) code = fail("%s: %s is not supported", where, *key);
  if (!code && json_array_size(messages) == 0) code = fail("%s: messages is empty", where);
  conversation added = {0};
  for (size_t i = 0; !code && i < json_array_size(messages); i++)
    code = add_message(&added, where, i, json_array_get(messages, i));
  for (size_t i = 0; !code && i < added.length; i++)
    code = conversation_add(c, added.messages[i].role, added.messages[i].content, strlen(added.messages[i].content));
  conversation_clear(&added);
  json_decref(request);
  return code;
}

int conversation_save(const conversation *c, const char *path) {
  json_t *messages = json_array(), *all = json_pack("{s:o}", "messages", messages);
  int bad = !all;
  for (size_t i = 0; !bad && i < c->length; i++)
    bad = json_array_append_new(
        messages, json_pack("{s:s, s:s}", "role", c->messages[i].role, "content", c->messages[i].content));
  char *text = bad ? NULL : json_dumps(all, JSON_INDENT(2));
  json_decref(all);
  if (!text) return fail("%s: a message is not valid UTF-8, or out of memory", path);
  atomic_file f;
  int code = atomic_open(&f, path);
  if (!code) {
    code = atomic_write(&f, text, strlen(text));
    if (!code) code = atomic_write(&f, "\n", 1);
    if (!code) code = atomic_commit(&f);
    atomic_abandon(&f);
  }
  free(text);
  return code;
}
