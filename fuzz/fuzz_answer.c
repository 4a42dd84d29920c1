/* Answers of any ids, read by every template: what is told is valid UTF-8, and what is streamed of a call's arguments
 * is what the call has in the end. The first byte chooses the template; of the others those below 32 are control
 * tokens. */
#include "fuzz_bytes.h"

#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct streamed {
  char *text;
  size_t n, calls;
} streamed;

/* Keeps the arguments of the latest call. */
static void take(streamed *s, const gale_answer_piece *piece) {
  if (piece->length && !utf8_valid(piece->text, piece->length)) abort();
  if (piece->kind != GALE_ANSWER_ARGUMENTS || piece->length == 0) return;
  if (piece->call + 1 < s->calls) abort();
  if (piece->call + 1 > s->calls) s->n = 0;
  s->calls = piece->call + 1;
  char *grown = realloc(s->text, s->n + piece->length);
  if (!grown) abort();
  s->text = grown;
  memcpy(s->text + s->n, piece->text, piece->length);
  s->n += piece->length;
}

static void check_calls(gale_answer *answer, const streamed *s) {
  const gale_tool_call *calls;
  size_t n;
  if (gale_answer_calls(answer, &calls, &n, NULL)) abort();
  for (size_t i = 0; i < n; i++)
    if (!calls[i].name || !calls[i].id || !calls[i].arguments) abort();
  if (s->calls > n) abort();
  /* A NUL ends what the struct shows. */
  if (s->calls && s->calls == n && strncmp(calls[n - 1].arguments, s->text, s->n) != 0 && !memchr(s->text, 0, s->n))
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gale_answer *answer;
  gale_answer_piece piece;
  streamed s = {0};
  size_t n_names = 1; /* at least */
  const char *const *names = gale_chat_templates();
  if (size == 0) return 0;
  while (names[n_names]) n_names++;
  const gale_tokenizer *t = fuzz_bytes();
  if (gale_answer_open(t, names[data[0] % n_names], &answer, NULL)) abort();
  for (size_t i = 1; i < size; i++) {
    bool mark = data[i] < ' ' && data[i] != '\n' && data[i] < FUZZ_MARKS;
    if (gale_answer_push(answer, mark ? data[i] : FUZZ_MARKS + data[i], &piece, NULL)) abort();
    take(&s, &piece);
  }
  if (gale_answer_finish(answer, &piece, NULL)) abort();
  take(&s, &piece);
  check_calls(answer, &s);
  gale_answer_close(&answer);
  free(s.text);
  return 0;
}
