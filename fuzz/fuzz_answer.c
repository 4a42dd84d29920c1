/* Answers of any ids, read by every template: what is told is valid UTF-8, and what is streamed of a call's arguments
 * is what the call has in the end. The first byte chooses the template; of the others those below 32 are control
 * tokens. */
#include "fuzz_bytes.h"

#include "base/utf8.h"
#include "chat/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct streamed {
  char *text;
  size_t n, calls;
} streamed;

/* Keeps the arguments of the latest call. */
static void take(streamed *s, piece_list *pieces) {
  for (const gale_piece *p; (p = pieces_next(pieces));) {
    if (!utf8_valid(p->text, p->length)) abort();
    if (p->kind == GALE_PIECE_CALL) {
      if (p->call != s->calls++ || !*p->id) abort();
      s->n = 0;
    }
    if (p->kind != GALE_PIECE_ARGUMENTS) continue;
    if (p->call + 1 != s->calls || p->length == 0) abort();
    char *grown = realloc(s->text, s->n + p->length);
    if (!grown) abort();
    s->text = grown;
    memcpy(s->text + s->n, p->text, p->length);
    s->n += p->length;
  }
}

static void check_calls(answer *a, const streamed *s) {
  const gale_tool_call *calls;
  size_t n;
  if (answer_calls(a, &calls, &n, NULL)) abort();
  for (size_t i = 0; i < n; i++)
    if (!calls[i].name || !calls[i].id || !calls[i].arguments) abort();
  if (s->calls != n) abort();
  /* A NUL ends what the struct shows. */
  if (n && s->n && strncmp(calls[n - 1].arguments, s->text, s->n) != 0 && !memchr(s->text, 0, s->n)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  answer *a;
  piece_list pieces = {.stopped = -1};
  streamed s = {0};
  size_t n_names = 1; /* at least */
  const char *const *names = gale_chat_templates();
  if (size == 0) return 0;
  while (names[n_names]) n_names++;
  const gale_tokenizer *t = fuzz_bytes();
  if (answer_open(t, &(answer_form){.name = names[data[0] % n_names], .generic_tools = data[0] & 128}, &a, NULL))
    abort();
  for (size_t i = 1; i < size; i++) {
    bool control = data[i] < ' ' && data[i] != '\n' && data[i] < FUZZ_CONTROL;
    if (answer_push(a, control ? data[i] : FUZZ_CONTROL + data[i], &pieces, NULL)) abort();
    take(&s, &pieces);
  }
  if (answer_finish(a, false, &pieces, NULL)) abort();
  take(&s, &pieces);
  check_calls(a, &s);
  answer_close(&a);
  pieces_free(&pieces);
  free(s.text);
  return 0;
}
