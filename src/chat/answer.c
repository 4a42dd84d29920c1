/* Answers as they come, id by id: what is said, what is thought, and which tools are called. */
#include <stdlib.h>

#include "chat/answer_json.h"
#include "chat/chat.h"

typedef enum answer_state {
  STATE_CONTENT,
  STATE_THINKING,
  STATE_LIST, /* of calls, as JSON: v2 to v7 */
  STATE_NAME, /* from v11 on a call's parts stand between control tokens */
  STATE_ID,
  STATE_ARGUMENTS,
  STATE_OBJECTS, /* all of the answer, where calls are JSON objects: Llama 3 */
} answer_state;

typedef struct answer_call {
  byte_list name, id, arguments; /* each with a NUL once it is given */
} answer_call;

struct gale_answer {
  const gale_tokenizer *tokenizer;
  gale_detokenizer *stream;
  int version;
  answer_state state;
  byte_list list; /* text of STATE_LIST */
  json_calls objects;
  byte_list content; /* of STATE_OBJECTS: not handed out yet, but for its first `given_content` bytes */
  size_t given_content;
  answer_call *calls;
  gale_tool_call *given;
  size_t n_calls;
  uint64_t hash; /* of the ids so far */
};

gale_status gale_answer_open(const gale_tokenizer *tokenizer, const char *name, gale_answer **answer,
                             gale_error *error) {
  const chat_template *row = name || tokenizer->chat ? chat_find(tokenizer, name, error) : NULL;
  if (name && !row) return GALE_E_ARGUMENT;
  gale_answer *a = calloc(1, sizeof *a);
  if (!a) return error_memory(error, sizeof *a);
  a->tokenizer = tokenizer;
  a->version = row ? row->version : 0;
  a->state = row && !row->version && row->tools ? STATE_OBJECTS : STATE_CONTENT;
  gale_status status = gale_detokenizer_open(tokenizer, false, &a->stream, error);
  if (status)
    free(a);
  else
    *answer = a;
  return status;
}

void gale_answer_close(gale_answer **answer) {
  if (!answer || !*answer) return;
  gale_answer *a = *answer;
  gale_detokenizer_close(&a->stream);
  for (size_t i = 0; i < a->n_calls; i++) {
    free(a->calls[i].name.bytes);
    free(a->calls[i].id.bytes);
    free(a->calls[i].arguments.bytes);
  }
  json_calls_free(&a->objects);
  free(a->content.bytes);
  free(a->list.bytes);
  free(a->calls);
  free(a->given);
  free(a);
  *answer = NULL;
}

static answer_call *new_call(gale_answer *a) {
  answer_call *calls = realloc(a->calls, (a->n_calls + 1) * sizeof *calls);
  if (!calls) return NULL;
  a->calls = calls;
  calls[a->n_calls] = (answer_call){0};
  return &calls[a->n_calls++];
}

/* Where the model gives a call no id it gets one: nine letters and digits, as v3 wants them, that hang on the answer
 * so far. */
static void make_id(gale_answer *a, answer_call *call) {
  static const char DIGITS[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  if (call->id.n) return;
  uint64_t hash = text_mix(a->hash ^ text_mix(a->n_calls));
  char id[9];
  for (size_t i = 0; i < sizeof id; i++, hash /= 62) id[i] = DIGITS[hash % 62];
  bytes_add(&call->id, (slice){id, sizeof id});
}

/* What a control token turns the answer to; *begins: with a new call. */
static answer_state state_after(const gale_answer *a, int32_t id, bool *begins) {
  static const struct {
    const char *mark;
    answer_state state;
    int from, below; /* versions */
  } MARKS[] = {
      {"[TOOL_CALLS]", STATE_LIST, 2, 11},  {"[TOOL_CALLS]", STATE_NAME, 11, 100}, {"[CALL_ID]", STATE_ID, 11, 13},
      {"[ARGS]", STATE_ARGUMENTS, 11, 100}, {"[THINK]", STATE_THINKING, 13, 100},  {"[/THINK]", STATE_CONTENT, 13, 100},
  };
  for (size_t i = 0; i < sizeof MARKS / sizeof *MARKS; i++) {
    if (a->version < MARKS[i].from || a->version >= MARKS[i].below) continue;
    if (tokenizer_mark(a->tokenizer, MARKS[i].mark) != id) continue;
    bool of_call = MARKS[i].state == STATE_ID || MARKS[i].state == STATE_ARGUMENTS;
    if (of_call && a->n_calls == 0) continue;
    *begins = MARKS[i].state == STATE_NAME;
    return MARKS[i].state;
  }
  return a->state;
}

static gale_status begin_object(gale_answer *a, slice name, gale_error *error) {
  answer_call *call = new_call(a);
  if (!call) return error_memory(error, sizeof *call);
  bytes_add(&call->name, name);
  make_id(a, call);
  return call->name.failed || call->id.failed ? error_memory(error, name.n) : GALE_OK;
}

/* Content waits while there are arguments to hand out. */
static gale_status take_objects(gale_answer *a, slice text, gale_answer_piece *piece, gale_error *error) {
  slice arguments = {0}, what;
  gale_status status = GALE_OK;
  bytes_drop(&a->content, a->given_content);
  a->given_content = 0;
  while (text.n > 0 && !status) {
    json_found found;
    size_t n = json_calls_take(&a->objects, text, &found, &what);
    bool failed = found == FOUND_FAILURE;
    if (found == FOUND_TEXT) {
      bytes_add(&a->content, what);
      failed = a->content.failed;
    } else if (found == FOUND_CALL) {
      status = begin_object(a, what, error);
    } else if (found == FOUND_ARGUMENTS) {
      byte_list *kept = &a->calls[a->n_calls - 1].arguments;
      bytes_add(kept, what);
      failed = kept->failed;
      arguments = what;
    }
    if (failed) status = error_memory(error, text.n);
    text = (slice){text.s + n, text.n - n};
  }
  if (arguments.n) {
    *piece = (gale_answer_piece){GALE_ANSWER_ARGUMENTS, arguments.s, arguments.n, a->n_calls - 1};
  } else {
    *piece = (gale_answer_piece){.text = a->content.bytes ? a->content.bytes : "", .length = a->content.n};
    a->given_content = a->content.n;
  }
  return status;
}

/* Where text in the present state is kept: with the last call, or in the list of calls. */
static byte_list *kept_in(gale_answer *a) {
  answer_call *call = a->n_calls ? &a->calls[a->n_calls - 1] : NULL;
  if (call && a->state == STATE_NAME) return &call->name;
  if (call && a->state == STATE_ID) return &call->id;
  if (call && a->state == STATE_ARGUMENTS) return &call->arguments;
  return &a->list;
}

/* Keeps what belongs to a call, and hands out what may be shown. */
static gale_status take_text(gale_answer *a, const char *text, size_t length, gale_answer_piece *piece,
                             gale_error *error) {
  slice s = {text, length};
  if (a->state == STATE_OBJECTS) return take_objects(a, s, piece, error);
  *piece = (gale_answer_piece){.text = text, .length = length, .call = a->n_calls ? a->n_calls - 1 : 0};
  if (a->state == STATE_CONTENT || a->state == STATE_THINKING) {
    piece->kind = a->state == STATE_CONTENT ? GALE_ANSWER_CONTENT : GALE_ANSWER_THINKING;
    return GALE_OK;
  }
  byte_list *kept = kept_in(a);
  bytes_add(kept, s);
  if (kept->failed) return error_memory(error, length);
  if (a->state == STATE_ARGUMENTS)
    piece->kind = GALE_ANSWER_ARGUMENTS;
  else
    piece->length = 0;
  return GALE_OK;
}

gale_status gale_answer_push(gale_answer *answer, int32_t id, gale_answer_piece *piece, gale_error *error) {
  const char *text, *token;
  size_t length;
  bool control = false, begins = false;
  gale_status status = GALE_OK;
  gale_tokenizer_token(answer->tokenizer, id, &token, &length, &control);
  /* Each text between control tokens was encoded by itself, and so it is decoded. */
  answer_state next = control ? state_after(answer, id, &begins) : answer->state;
  if (next != answer->state || begins)
    status = gale_detokenizer_finish(answer->stream, &text, &length, error);
  else
    status = gale_detokenizer_push(answer->stream, id, &text, &length, error);
  if (!status) status = take_text(answer, text, length, piece, error);
  /* A call that ends without arguments gets its id here. */
  if (!status && begins && answer->n_calls) make_id(answer, &answer->calls[answer->n_calls - 1]);
  if (!status && begins && !new_call(answer)) status = error_memory(error, sizeof(answer_call));
  if (!status && next == STATE_ARGUMENTS) make_id(answer, &answer->calls[answer->n_calls - 1]);
  answer->hash = text_mix(answer->hash ^ (uint32_t)id);
  if (!status) answer->state = next;
  return status;
}

/* ---- Calls as a list ---- */

static bool is_call(const value *item) {
  const value *name = value_get(item, "name"), *id = value_given(item, "id");
  return name && name->kind == VALUE_STRING && (!id || id->kind == VALUE_STRING);
}

static gale_status read_list(gale_answer *a, bool *good, gale_error *error) {
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

/* What was held back is content after all. */
static gale_status finish_objects(gale_answer *a, gale_answer_piece *piece, gale_error *error) {
  if (piece->kind == GALE_ANSWER_ARGUMENTS) return GALE_OK;
  bytes_add(&a->content, json_calls_rest(&a->objects));
  if (a->content.failed) return error_memory(error, a->content.n);
  piece->text = a->content.bytes ? a->content.bytes : "";
  piece->length = a->given_content = a->content.n;
  return GALE_OK;
}

gale_status gale_answer_finish(gale_answer *answer, gale_answer_piece *piece, gale_error *error) {
  const char *text;
  size_t length;
  gale_status status = gale_detokenizer_finish(answer->stream, &text, &length, error);
  if (!status) status = take_text(answer, text, length, piece, error);
  if (!status && answer->state == STATE_OBJECTS) return finish_objects(answer, piece, error);
  if (!status && answer->n_calls) make_id(answer, &answer->calls[answer->n_calls - 1]);
  if (status || answer->state != STATE_LIST) return status;
  bool good;
  status = read_list(answer, &good, error);
  answer->state = STATE_CONTENT;
  if (!status && !good)
    *piece = (gale_answer_piece){.kind = GALE_ANSWER_CONTENT, .text = answer->list.bytes, .length = answer->list.n};
  return status;
}

/* ---- Calls ---- */

/* The text with a NUL behind it, which doesn't count. */
static const char *ended(byte_list *bytes) {
  bytes_add(bytes, (slice){"", 1});
  if (bytes->failed) return NULL;
  bytes->n--;
  return bytes->bytes;
}

gale_status gale_answer_calls(gale_answer *answer, const gale_tool_call **calls, size_t *n_calls, gale_error *error) {
  gale_tool_call *given = realloc(answer->given, (answer->n_calls + 1) * sizeof *given);
  if (!given) return error_memory(error, answer->n_calls * sizeof *given);
  answer->given = given;
  for (size_t i = 0; i < answer->n_calls; i++) {
    answer_call *call = &answer->calls[i];
    given[i] = (gale_tool_call){ended(&call->id), ended(&call->name), ended(&call->arguments)};
    if (!given[i].name || !given[i].id || !given[i].arguments) return error_memory(error, 1);
  }
  *calls = given;
  *n_calls = answer->n_calls;
  return GALE_OK;
}
