/* Any text through small vocabularies of both kinds and every pre-tokeniser. All bytes are tokens, so that
 * what comes back must be what went in. */
#include "fuzz_text.h"
#include "text/pretokenize.h"

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

/* GPT-2's printable stand-in for a byte, as UTF-8. */
static void write_printable(int byte, char *to) {
  int c = byte, next = 0x100;
  for (int b = 0; b <= byte; b++) {
    bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    c = printable ? b : next++;
  }
  if (c < 0x80) {
    to[0] = (char)c;
    to[1] = 0;
  } else {
    to[0] = (char)(0xC0 | c >> 6);
    to[1] = (char)(0x80 | (c & 0x3F));
    to[2] = 0;
  }
}

static gale_tokenizer *make(const char *pre) {
  static const char *const MERGES[] = {"a a", "aa aa", "\xC4\xA0 a", "a b"};
  static const uint32_t MERGE_LENGTHS[] = {3, 5, 4, 3};
  alphabet *a = calloc(1, sizeof *a);
  if (!a) return NULL;
  for (int i = 0; i < 256; i++) {
    if (pre)
      write_printable(i, a->text[i]);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const PRE[] = {NULL, "smollm", "gpt-2", "llama-bpe", "tekken", "default"};
  if (size == 0) return 0;
  gale_tokenizer *t = make(PRE[data[0] % 6]);
  if (!t) return 0;
  const char *text = (const char *)data + 1;
  /* A literal U+2581 counts as a space in SentencePiece. */
  bool exact = data[0] % 6 || !memmem(text, size - 1, "\xE2\x96\x81", 3);
  fuzz_encode(t, text, size - 1, exact);
  gale_tokenizer_close(&t);
  return 0;
}
