/* Any text through small vocabularies of both kinds and every pre-tokeniser. All bytes are tokens, so that
 * what comes back must be what went in. */
#include "base/utf8.h"
#include "fuzz_text.h"
#include "tokenizer/pretokenize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct alphabet {
  char text[256][8];
  const char *tokens[260];
  uint32_t lengths[260];
  uint8_t types[260];
  float scores[260];
} alphabet;

static void set_token(alphabet *a, int i, const char *text, uint8_t type, float score) {
  a->tokens[i] = text;
  a->lengths[i] = (uint32_t)strlen(text);
  a->types[i] = type;
  a->scores[i] = score;
}

static gale_tokenizer *make(const char *pre) {
  static const char *const MERGES[] = {"a a", "aa aa", "\xC4\xA0 a", "a b"};
  static const uint32_t MERGE_LENGTHS[] = {3, 5, 4, 3};
  alphabet *a = calloc(1, sizeof *a);
  if (!a) return NULL;
  for (int i = 0; i < 256; i++) {
    if (pre)
      utf8_encode(fuzz_printable((unsigned)i), a->text[i]);
    else
      snprintf(a->text[i], sizeof a->text[i], "<0x%02X>", (unsigned)i);
    set_token(a, i, a->text[i], pre ? TOKEN_NORMAL : TOKEN_BYTE, 0);
  }
  set_token(a, 256, "aa", TOKEN_NORMAL, -1);
  set_token(a, 257, "aaaa", TOKEN_NORMAL, -2);
  set_token(a, 258,
            pre ? "\xC4\xA0"
                  "a"
                : "\xE2\x96\x81",
            TOKEN_NORMAL, -3);
  set_token(a, 259, "ab", TOKEN_NORMAL, -1);
  vocabulary v = {.kind = pre ? VOCABULARY_BPE : VOCABULARY_SENTENCEPIECE,
                  .source = "fuzz",
                  .n_tokens = 260,
                  .tokens = a->tokens,
                  .lengths = a->lengths,
                  .types = a->types,
                  .scores = a->scores,
                  .pre = pre,
                  .bos = -1,
                  .eos = -1,
                  .unk = -1,
                  .add_space_prefix = true};
  if (pre) {
    v.n_merges = 4;
    v.merges = MERGES;
    v.merge_lengths = MERGE_LENGTHS;
  }
  gale_tokenizer *t = NULL;
  if (tokenizer_create(&v, &t, NULL) != GALE_OK) abort();
  free(a);
  return t;
}

/* Ids of two bytes each: a stream gives what all of them give at once, with U+FFFD for what is not UTF-8. */
static void decode(const gale_tokenizer *t, const uint8_t *data, size_t size) {
  size_t n = size / 2, n_whole, n_piece, at = 0;
  int32_t *ids = malloc((n + 1) * sizeof *ids);
  gale_detokenizer *stream;
  const char *piece;
  char *whole;
  if (!ids) return;
  for (size_t i = 0; i < n; i++) ids[i] = (data[2 * i] << 8 | data[2 * i + 1]) % gale_tokenizer_size(t);
  if (gale_detokenize(t, ids, n, false, &whole, &n_whole, NULL)) abort();
  bool exact = utf8_valid(whole, n_whole);
  if (gale_detokenizer_open(t, false, &stream, NULL)) abort();
  for (size_t i = 0; i <= n; i++) {
    gale_status status = i < n ? gale_detokenizer_push(stream, ids[i], &piece, &n_piece, NULL)
                               : gale_detokenizer_finish(stream, &piece, &n_piece, NULL);
    if (status || !utf8_valid(piece, n_piece)) abort();
    if (exact && (at + n_piece > n_whole || memcmp(whole + at, piece, n_piece) != 0)) abort();
    at += n_piece;
  }
  if (exact && at != n_whole) abort();
  gale_detokenizer_close(&stream);
  gale_free(whole);
  free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const PRE[] = {NULL, "smollm", "gpt-2", "llama-bpe", "tekken", "default"};
  if (size == 0) return 0;
  static gale_tokenizer *made[6]; /* making one takes longer than a run */
  gale_tokenizer *t = made[data[0] % 6];
  if (!t) t = made[data[0] % 6] = make(PRE[data[0] % 6]);
  if (!t) return 0;
  const char *text = (const char *)data + 1;
  /* A literal U+2581 counts as a space in SentencePiece. */
  bool exact = data[0] % 6 || !memmem(text, size - 1, "\xE2\x96\x81", 3);
  fuzz_encode(t, text, size - 1, exact);
  decode(t, data + 1, size - 1);
  return 0;
}
