#include "gale/chat/conversation.h"

#include "gale/cli/console.h"

#include <stdlib.h>
#include <string.h>

static json_t *messages_of(const conversation *c) {
  return json_object_get(c->request, "messages");
}

static const json_t *last_message(const conversation *c) {
  size_t n = conversation_length(c);
  return n ? json_array_get(messages_of(c), n - 1) : NULL;
}

static bool has_role(const json_t *message, const char *role) {
  const char *own = json_string_value(json_object_get(message, "role"));
  return own && strcmp(own, role) == 0;
}

static bool is_system(const json_t *message) {
  return has_role(message, "system") || has_role(message, "developer");
}

size_t conversation_length(const conversation *c) {
  return json_array_size(messages_of(c));
}

bool conversation_ends_with(const conversation *c, const char *role) {
  return has_role(last_message(c), role);
}

void conversation_pop(conversation *c) {
  size_t n = conversation_length(c);
  if (n) json_array_remove(messages_of(c), n - 1);
}

void conversation_reset(conversation *c) {
  size_t kept = is_system(json_array_get(messages_of(c), 0));
  while (conversation_length(c) > kept) conversation_pop(c);
}

void conversation_clear(conversation *c) {
  json_decref(c->request);
  c->request = NULL;
}

/* ---- Adding ---- */

/* Takes the message over. */
static int put_message(conversation *c, size_t at, json_t *message) {
  if (!c->request) c->request = json_pack("{s:[]}", "messages");
  return json_array_insert_new(messages_of(c), at, message) ? fail_memory() : 0;
}

static int check_text(const char *role, const char *content, size_t n) {
  const char *nul = memchr(content, 0, n);
  if (nul) return fail("the %s message holds a NUL byte at offset %zu; text has none", role, (size_t)(nul - content));
  json_t *string = json_stringn(content, n);
  if (!string) return fail("the %s message is not valid UTF-8", role);
  json_decref(string);
  return 0;
}

int conversation_add(conversation *c, const char *role, const char *content, size_t n) {
  int code = check_text(role, content, n);
  if (code) return code;
  return put_message(c, conversation_length(c), json_pack("{s:s, s:s%}", "role", role, "content", content, n));
}

static json_t *pack_calls(const spoken *answer) {
  json_t *calls = json_array();
  for (size_t i = 0; i < answer->n_calls; i++) {
    const gale_tool_call *call = &answer->calls[i];
    json_array_append_new(calls, json_pack("{s:s, s:s, s:{s:s, s:s}}", "id", call->id, "type", "function", "function",
                                           "name", call->name, "arguments", call->arguments));
  }
  return calls;
}

int conversation_add_answer(conversation *c, const spoken *answer) {
  const char *content = answer->content ? answer->content : "";
  json_t *message = json_pack("{s:s}", "role", "assistant");
  bool calls = answer->n_calls > 0;
  if (*content || !calls) json_object_set_new(message, "content", json_string(content));
  if (answer->thinking && *answer->thinking)
    json_object_set_new(message, "reasoning_content", json_string(answer->thinking));
  if (calls) json_object_set_new(message, "tool_calls", pack_calls(answer));
  if (calls && json_array_size(json_object_get(message, "tool_calls")) < answer->n_calls) {
    json_decref(message);
    return fail_memory();
  }
  return put_message(c, conversation_length(c), message);
}

/* The call that waits for its result, and how many do. */
static const json_t *open_call(const conversation *c, size_t *n_open) {
  size_t n = conversation_length(c), results = 0;
  const json_t *messages = messages_of(c);
  while (results < n && has_role(json_array_get(messages, n - 1 - results), "tool")) results++;
  const json_t *calls = json_object_get(json_array_get(messages, n - 1 - results), "tool_calls");
  bool waits = results < n && json_array_size(calls) > results;
  *n_open = waits ? json_array_size(calls) - results : 0;
  return waits ? json_array_get(calls, results) : NULL;
}

size_t conversation_open_calls(const conversation *c) {
  size_t n;
  open_call(c, &n);
  return n;
}

int conversation_add_result(conversation *c, const char *content, size_t n) {
  size_t n_open;
  const json_t *call = open_call(c, &n_open);
  if (!call) return fail("no tool call waits for a result");
  int code = check_text("tool", content, n);
  const char *id = json_string_value(json_object_get(call, "id"));
  const char *name = json_string_value(json_object_get(json_object_get(call, "function"), "name"));
  if (code) return code;
  json_t *message = json_pack("{s:s, s:s, s:s, s:s%}", "role", "tool", "tool_call_id", id ? id : "null", "name",
                              name ? name : "", "content", content, n);
  return put_message(c, conversation_length(c), message);
}

int conversation_set_system(conversation *c, const char *content) {
  int code = check_text("system", content, strlen(content));
  bool has = is_system(json_array_get(messages_of(c), 0));
  if (!code && *content) code = put_message(c, 0, json_pack("{s:s, s:s}", "role", "system", "content", content));
  if (!code && has) json_array_remove(messages_of(c), *content ? 1 : 0);
  return code;
}

/* ---- Prompts ---- */

static int render_raw(const conversation *c, const prompt_form *form, int32_t **ids, size_t *n_ids) {
  size_t length = 0, at = 0, i;
  const json_t *message;
  json_array_foreach(messages_of(c), i, message) {
    const json_t *content = json_object_get(message, "content");
    if (!json_is_string(content)) return fail("messages[%zu].content is not a string, and plain text has no parts", i);
    length += json_string_length(content);
  }
  char *text = malloc(length + 1);
  if (!text) return fail_memory();
  json_array_foreach(messages_of(c), i, message) {
    const json_t *content = json_object_get(message, "content");
    memcpy(text + at, json_string_value(content), json_string_length(content));
    at += json_string_length(content);
  }
  gale_error error = {0};
  gale_status status =
      gale_tokenize(form->tokenizer, text, length, gale_tokenizer_adds_bos(form->tokenizer), ids, n_ids, &error);
  free(text);
  return status ? fail_with(&error) : 0;
}

int conversation_render(const conversation *c, const prompt_form *form, int32_t **ids, size_t *n_ids) {
  if (form->raw) return render_raw(c, form, ids, n_ids);
  char *json = c->request ? json_dumps(c->request, JSON_COMPACT) : strdup("{\"messages\":[]}");
  if (!json) return fail_memory();
  gale_error error = {0};
  gale_status status = gale_chat_request(form->tokenizer, form->template_name, json, strlen(json), ids, n_ids, &error);
  free(json);
  return status ? fail_with(&error) : 0;
}

/* ---- JSON ---- */

/* True if the conversation could go on: with the answer to its last message, or to one that is still to come. */
static int check_form(const conversation *c, const prompt_form *form) {
  bool more = conversation_ends_with(c, "assistant") && conversation_open_calls(c) == 0;
  conversation tried = {.request = json_deep_copy(c->request)};
  int32_t *ids = NULL;
  size_t n_ids, n_open = conversation_open_calls(c);
  int code = tried.request ? 0 : fail_memory();
  if (!code && more) code = conversation_add(&tried, "user", "x", 1);
  for (size_t i = 0; i < n_open && !code; i++) code = conversation_add_result(&tried, "x", 1);
  if (!code) code = conversation_render(&tried, form, &ids, &n_ids);
  if (!code) gale_free(ids);
  conversation_clear(&tried);
  return code;
}

int conversation_load(conversation *c, const char *where, const char *json, size_t n, const prompt_form *form) {
  json_error_t problem;
  conversation loaded = {.request = json_loadb(json, n, JSON_REJECT_DUPLICATES, &problem)};
  if (!loaded.request) return fail("%s: line %d, column %d: %s", where, problem.line, problem.column, problem.text);
  size_t i;
  const json_t *message;
  int code = conversation_length(&loaded) ? 0 : fail("%s: messages is missing, empty or not a list", where);
  json_array_foreach(messages_of(&loaded), i, message) {
    if (!code && !json_is_object(message)) code = fail("%s: messages[%zu] is not an object", where, i);
  }
  if (!code) code = check_form(&loaded, form);
  if (code) {
    conversation_clear(&loaded);
    return code;
  }
  conversation_clear(c);
  *c = loaded;
  return 0;
}

int conversation_write(const conversation *c, char **json) {
  char *text = c->request ? json_dumps(c->request, JSON_INDENT(2)) : strdup("{\n  \"messages\": []\n}");
  if (!text) return fail_memory();
  size_t n = strlen(text);
  char *ended = realloc(text, n + 2);
  if (!ended) {
    free(text);
    return fail_memory();
  }
  memcpy(ended + n, "\n", 2);
  *json = ended;
  return 0;
}
