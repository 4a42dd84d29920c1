/* Answers as they come, id by id: what is said, what is thought, and which tools are called. */
#include "chat/answer.h"

#include <stdlib.h>

#include "chat/answer_tags.h"
#include "chat/chat.h"

typedef enum answer_state {
  STATE_CONTENT,
  STATE_THINKING,
  STATE_LIST, /* of calls, as JSON: v2 to v7 */
  STATE_NAME, /* from v11 on a call's parts stand between control tokens */
  STATE_ID,
  STATE_ARGUMENTS,
  STATE_OBJECTS, /* all of the answer, where calls are JSON objects: Llama 3 */
  STATE_TAGS,    /* all of the answer, in gale's own form */
} answer_state;

enum { FIRST_THINKING = 13 }; /* version of prompts */

typedef struct answer_call {
  byte_list name, id, arguments; /* each with a NUL once it is given */
} answer_call;

struct answer {
  const gale_tokenizer *tokenizer;
  gale_detokenizer *stream;
  int version;
  bool no_calls;
  answer_state state;
  byte_list list; /* text of STATE_LIST */
  json_calls objects;
  tag_calls tags;
  answer_call *calls;
  gale_tool_call *given;
  size_t n_calls, n_told; /* of the calls, the first n_told were added as pieces */
  uint64_t hash;          /* of the ids so far */
};

gale_status answer_open(const gale_tokenizer *tokenizer, const answer_form *form, answer **opened, gale_error *error) {
  const chat_template *row = form->name ? chat_find(tokenizer, form->name, error) : NULL;
  if (form->name && !row) return GALE_E_ARGUMENT;
  answer *a = calloc(1, sizeof *a);
  if (!a) return error_memory(error, sizeof *a);
  a->tokenizer = tokenizer;
  a->version = row ? row->version : 0;
  a->no_calls = form->no_calls;
  a->state = row && !form->no_calls && !row->version && row->tools ? STATE_OBJECTS : STATE_CONTENT;
  if (row && form->generic_tools && !form->no_calls && !tools_known(row)) a->state = STATE_TAGS;
  gale_status status = gale_detokenizer_open(tokenizer, form->special, &a->stream, error);
  if (!status && form->continued) detokenizer_continue(a->stream);
  if (status)
    free(a);
  else
    *opened = a;
  return status;
}

void answer_close(answer **opened) {
  answer *a = *opened;
  if (!a) return;
  gale_detokenizer_close(&a->stream);
  for (size_t i = 0; i < a->n_calls; i++) {
    free(a->calls[i].name.bytes);
    free(a->calls[i].id.bytes);
    free(a->calls[i].arguments.bytes);
  }
  json_calls_free(&a->objects);
  tag_calls_free(&a->tags);
  free(a->list.bytes);
  free(a->calls);
  free(a->given);
  free(a);
  *opened = NULL;
}

static answer_call *new_call(answer *a) {
  answer_call *calls = realloc(a->calls, (a->n_calls + 1) * sizeof *calls);
  if (!calls) return NULL;
  a->calls = calls;
  calls[a->n_calls] = (answer_call){0};
  return &calls[a->n_calls++];
}

static uint64_t mix_ids(uint64_t x) {
  x *= UINT64_C(0x9E3779B97F4A7C15);
  return x ^ x >> 32;
}

/* A call to which the model gave no id gets one: nine letters and digits, as v3 wants them, made of the ids so far. */
static void make_id(answer *a, answer_call *call) {
  static const char DIGITS[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  if (call->id.n) return;
  uint64_t hash = mix_ids(a->hash ^ mix_ids(a->n_calls));
  char id[9];
  for (size_t i = 0; i < sizeof id; i++, hash /= 62) id[i] = DIGITS[hash % 62];
  bytes_add(&call->id, (slice){id, sizeof id});
}

/* The state behind a control token; *begins: a new call begins with it. */
static answer_state state_after(const answer *a, int32_t id, bool *begins) {
  static const struct {
    const char *text;
    answer_state state;
    int from, below; /* versions */
  } CONTROLS[] = {
      {"[TOOL_CALLS]", STATE_LIST, 2, 11},
      {"[TOOL_CALLS]", STATE_NAME, 11, 100},
      {"[CALL_ID]", STATE_ID, 11, 13},
      {"[ARGS]", STATE_ARGUMENTS, 11, 100},
      {"[THINK]", STATE_THINKING, FIRST_THINKING, 100},
      {"[/THINK]", STATE_CONTENT, FIRST_THINKING, 100},
  };
  for (size_t i = 0; i < sizeof CONTROLS / sizeof *CONTROLS; i++) {
    if (a->version < CONTROLS[i].from || a->version >= CONTROLS[i].below) continue;
    bool thinking = CONTROLS[i].from == FIRST_THINKING;
    if ((a->no_calls && !thinking) || tokenizer_control(a->tokenizer, CONTROLS[i].text) != id) continue;
    bool of_call = CONTROLS[i].state == STATE_ID || CONTROLS[i].state == STATE_ARGUMENTS;
    if (of_call && a->n_calls == 0) continue;
    *begins = CONTROLS[i].state == STATE_NAME;
    return CONTROLS[i].state;
  }
  return a->state;
}

/* Adds the calls that were not added yet. Their names and ids must be complete. */
static gale_status tell_calls(answer *a, piece_list *out, gale_error *error) {
  gale_status status = GALE_OK;
  for (; a->n_told < a->n_calls && !status; a->n_told++) {
    answer_call *call = &a->calls[a->n_told];
    make_id(a, call);
    if (call->name.failed || call->id.failed) return error_memory(error, call->name.n + call->id.n);
    status = pieces_add_call(out, a->n_told, (slice){call->name.bytes ? call->name.bytes : "", call->name.n},
                             (slice){call->id.bytes, call->id.n}, error);
  }
  return status;
}

static gale_status begin_object(answer *a, slice name, piece_list *out, gale_error *error) {
  answer_call *call = new_call(a);
  if (!call) return error_memory(error, sizeof *call);
  bytes_add(&call->name, name);
  return tell_calls(a, out, error);
}

static gale_status add_arguments(answer *a, slice text, piece_list *out, gale_error *error) {
  byte_list *kept = &a->calls[a->n_calls - 1].arguments;
  bytes_add(kept, text);
  return kept->failed ? error_memory(error, text.n)
                      : pieces_add(out, GALE_PIECE_ARGUMENTS, a->n_calls - 1, text, error);
}

static gale_status take_objects(answer *a, slice text, piece_list *out, gale_error *error) {
  gale_status status = GALE_OK;
  while (text.n > 0 && !status) {
    json_found found;
    slice what;
    size_t n = a->state == STATE_TAGS ? tag_calls_take(&a->tags, text, &found, &what)
                                      : json_calls_take(&a->objects, text, &found, &what);
    if (found == FOUND_FAILURE) status = error_memory(error, text.n);
    if (found == FOUND_TEXT) status = pieces_add(out, GALE_PIECE_CONTENT, 0, what, error);
    if (found == FOUND_CALL) status = begin_object(a, what, out, error);
    if (found == FOUND_ARGUMENTS) status = add_arguments(a, what, out, error);
    text = (slice){text.s + n, text.n - n};
  }
  return status;
}

/* Where text in the present state is kept: with the last call, or in the list of calls. */
static byte_list *kept_in(answer *a) {
  answer_call *call = a->n_calls ? &a->calls[a->n_calls - 1] : NULL;
  if (call && a->state == STATE_NAME) return &call->name;
  if (call && a->state == STATE_ID) return &call->id;
  return &a->list;
}

/* Keeps what belongs to a call, and adds what may be shown. */
static gale_status take_text(answer *a, slice text, piece_list *out, gale_error *error) {
  switch (a->state) {
  case STATE_OBJECTS:
  case STATE_TAGS:
    return take_objects(a, text, out, error);
  case STATE_CONTENT:
    return pieces_add(out, GALE_PIECE_CONTENT, 0, text, error);
  case STATE_THINKING:
    return pieces_add(out, GALE_PIECE_THINKING, 0, text, error);
  case STATE_ARGUMENTS:
    return add_arguments(a, text, out, error);
  case STATE_LIST:
  case STATE_NAME:
  case STATE_ID:
    break;
  }
  byte_list *kept = kept_in(a);
  bytes_add(kept, text);
  return kept->failed ? error_memory(error, text.n) : GALE_OK;
}

gale_status answer_push(answer *a, int32_t id, piece_list *out, gale_error *error) {
  const char *token;
  slice text;
  bool control = false, begins = false;
  gale_status status = GALE_OK;
  gale_tokenizer_token(a->tokenizer, id, &token, &text.n, &control);
  /* Each text between control tokens was encoded by itself, and so it is decoded. */
  answer_state next = control ? state_after(a, id, &begins) : a->state;
  if (next != a->state || begins)
    status = gale_detokenizer_finish(a->stream, &text.s, &text.n, error);
  else
    status = gale_detokenizer_push(a->stream, id, &text.s, &text.n, error);
  if (!status) status = take_text(a, text, out, error);
  if (!status && (begins || next == STATE_ARGUMENTS)) status = tell_calls(a, out, error);
  if (!status && begins && !new_call(a)) status = error_memory(error, sizeof(answer_call));
  a->hash = mix_ids(a->hash ^ (uint32_t)id);
  if (!status) a->state = next;
  return status;
}

/* ---- Calls as a list ---- */

static bool is_call(const value *item) {
  const value *name = value_get(item, "name"), *id = value_given(item, "id");
  return name && name->kind == VALUE_STRING && (!id || id->kind == VALUE_STRING);
}

static gale_status read_list(answer *a, bool *good, gale_error *error) {
  arena memory = {0};
  value *root;
  value_report report;
  value_status status = value_read(&memory, (slice){a->list.bytes, a->list.n}, VALUE_PROMPT, &root, &report);
  *good = status == VALUE_OK && root->kind == VALUE_ARRAY;
  for (const value *item = *good ? root->first : NULL; item && *good; item = item->next) *good = is_call(item);
  bool failed = status == VALUE_MEMORY;
  for (const value *item = *good ? root->first : NULL; item && !failed; item = item->next) {
    const value *id = value_given(item, "id"), *arguments = value_get(item, "arguments");
    answer_call *call = new_call(a);
    failed = !call;
    if (failed) break;
    bytes_add(&call->name, value_get(item, "name")->text);
    if (id) bytes_add(&call->id, id->text);
    make_id(a, call);
    if (arguments && arguments->kind == VALUE_STRING)
      bytes_add(&call->arguments, arguments->text);
    else if (arguments)
      bytes_add_value(&call->arguments, arguments);
    failed = call->name.failed || call->id.failed || call->arguments.failed;
  }
  size_t n = a->list.n;
  arena_free(&memory);
  return failed ? error_memory(error, n) : GALE_OK;
}

/* The list's calls with their arguments, or its text where it is no list of calls. */
static gale_status finish_list(answer *a, piece_list *out, gale_error *error) {
  bool good;
  size_t first = a->n_calls;
  gale_status status = read_list(a, &good, error);
  a->state = STATE_CONTENT;
  if (!status && !good) return pieces_add(out, GALE_PIECE_CONTENT, 0, (slice){a->list.bytes, a->list.n}, error);
  for (size_t i = first; i < a->n_calls && !status; i++) {
    const answer_call *call = &a->calls[i];
    status = pieces_add_call(out, i, (slice){call->name.bytes ? call->name.bytes : "", call->name.n},
                             (slice){call->id.bytes, call->id.n}, error);
    if (!status)
      status = pieces_add(out, GALE_PIECE_ARGUMENTS, i, (slice){call->arguments.bytes, call->arguments.n}, error);
  }
  return status;
}

gale_status answer_finish(answer *a, bool cut, piece_list *out, gale_error *error) {
  slice text;
  gale_status status = gale_detokenizer_finish(a->stream, &text.s, &text.n, error);
  if (!status && !cut) status = take_text(a, text, out, error);
  if (status) return status;
  if (a->state == STATE_TAGS) return pieces_add(out, GALE_PIECE_CONTENT, 0, tag_calls_rest(&a->tags), error);
  if (a->state == STATE_OBJECTS) return pieces_add(out, GALE_PIECE_CONTENT, 0, json_calls_rest(&a->objects), error);
  return a->state == STATE_LIST ? finish_list(a, out, error) : tell_calls(a, out, error);
}

/* ---- Calls ---- */

/* The text with a NUL behind it, which doesn't count. */
static const char *ended(byte_list *bytes) {
  bytes_add(bytes, (slice){"", 1});
  if (bytes->failed) return NULL;
  bytes->n--;
  return bytes->bytes;
}

gale_status answer_calls(answer *a, const gale_tool_call **calls, size_t *n_calls, gale_error *error) {
  gale_tool_call *given = realloc(a->given, (a->n_calls + 1) * sizeof *given);
  if (!given) return error_memory(error, a->n_calls * sizeof *given);
  a->given = given;
  for (size_t i = 0; i < a->n_calls; i++) {
    answer_call *call = &a->calls[i];
    given[i] = (gale_tool_call){ended(&call->id), ended(&call->name), ended(&call->arguments)};
    if (!given[i].name || !given[i].id || !given[i].arguments) return error_memory(error, 1);
  }
  *calls = given;
  *n_calls = a->n_calls;
  return GALE_OK;
}

bool answer_thinks(const answer *a) {
  return a->state == STATE_THINKING;
}

int32_t answer_thinking_mark(const answer *a) {
  return a->version >= FIRST_THINKING ? tokenizer_control(a->tokenizer, "[THINK]") : -1;
}
