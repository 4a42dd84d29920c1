/* Answers of any ids in every template: however the same bytes are divided into tokens, the same content, thinking
 * and calls come of them, and all of it is valid UTF-8. */
#include "base/utf8.h"
#include "chat/answer.h"
#include "fuzz_text.h"
#include "json/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const CONTROL[] = {"<s>",       "</s>",   "[INST]",  "[/INST]",  "[TOOL_CALLS]",
                                      "[CALL_ID]", "[ARGS]", "[THINK]", "[/THINK]", "[TOOL_RESULTS]"};
/* Tokens of several bytes, cut across characters too. */
static const char *const WORDS[] = {"[{\"",     "name",     "\": \"",   "\", \"arguments\": {",
                                    "}}]",      "\\u00e9",  "\xE2\x82", "\xACx",
                                    "\xF0\x9F", "\x98\x80", "id",       "null"};
enum {
  N_CONTROL = sizeof CONTROL / sizeof *CONTROL,
  N_WORDS = sizeof WORDS / sizeof *WORDS,
  N_TOKENS = N_CONTROL + N_WORDS + 256,
  FIRST_BYTE = N_CONTROL + N_WORDS
};

/* Byte-level tokens, in GPT-2's printable alphabet. */
static size_t printable(const char *bytes, char *to) {
  size_t n = 0;
  for (size_t i = 0; bytes[i]; i++) n += (size_t)utf8_encode(fuzz_printable((unsigned char)bytes[i]), to + n);
  return n;
}

static gale_tokenizer *open_small(void) {
  static char texts[N_TOKENS][64];
  const char *tokens[N_TOKENS];
  uint32_t lengths[N_TOKENS];
  uint8_t types[N_TOKENS];
  for (size_t i = 0; i < N_TOKENS; i++) {
    const char byte[2] = {(char)(i - FIRST_BYTE), 0};
    tokens[i] = texts[i];
    types[i] = i < N_CONTROL ? TOKEN_CONTROL : TOKEN_NORMAL;
    if (i < N_CONTROL)
      lengths[i] = (uint32_t)sprintf(texts[i], "%s", CONTROL[i]);
    else if (i == FIRST_BYTE)
      lengths[i] = (uint32_t)utf8_encode(fuzz_printable(0), texts[i]);
    else
      lengths[i] = (uint32_t)printable(i < FIRST_BYTE ? WORDS[i - N_CONTROL] : byte, texts[i]);
  }
  vocabulary v = {.kind = VOCABULARY_BPE,
                  .source = "answers",
                  .n_tokens = N_TOKENS,
                  .tokens = tokens,
                  .lengths = lengths,
                  .types = types,
                  .merge_by_id = true,
                  .pre = "tekken",
                  .bos = 0,
                  .eos = 1,
                  .unk = -1};
  gale_tokenizer *t = NULL;
  if (tokenizer_create(&v, &t, NULL)) abort();
  return t;
}

static void add(byte_list *to, const char *what, const char *text, size_t n) {
  if (!utf8_valid(text, n)) abort();
  bytes_add(to, slice_of(what));
  bytes_add(to, (slice){text, n});
  if (to->failed) abort();
}

static void add_pieces(byte_list *kinds, piece_list *pieces) {
  for (const gale_piece *p; (p = pieces_next(pieces));)
    add(&kinds[p->kind], p->kind == GALE_PIECE_CALL ? "\n" : "", p->text, p->length);
}

/* All that came of an answer, and its calls. */
static byte_list parse(const gale_tokenizer *t, const char *name, const int32_t *ids, size_t n) {
  byte_list kinds[4] = {0}, whole = {0};
  answer *a;
  piece_list pieces = {.stopped = -1};
  const gale_tool_call *calls;
  size_t n_calls;
  if (answer_open(t, &(answer_form){.name = name, .generic_tools = true}, &a, NULL)) abort();
  for (size_t i = 0; i < n; i++) {
    if (answer_push(a, ids[i], &pieces, NULL) || answer_calls(a, &calls, &n_calls, NULL)) abort();
    add_pieces(kinds, &pieces);
  }
  if (answer_finish(a, false, &pieces, NULL) || answer_calls(a, &calls, &n_calls, NULL)) abort();
  add_pieces(kinds, &pieces);
  for (int k = 0; k < 4; k++) {
    add(&whole, "\n#", kinds[k].bytes ? kinds[k].bytes : "", kinds[k].n);
    free(kinds[k].bytes);
  }
  for (size_t i = 0; i < n_calls; i++) {
    add(&whole, "\ncall ", calls[i].name, strlen(calls[i].name));
    add(&whole, "\nwith ", calls[i].arguments, strlen(calls[i].arguments));
    if (!*calls[i].id) abort();
  }
  answer_close(&a);
  pieces_free(&pieces);
  return whole;
}

/* The bytes of a token one by one, or all of it. */
static size_t put_token(int32_t id, bool whole, int32_t *ids) {
  if (whole || id < N_CONTROL || id >= FIRST_BYTE) {
    *ids = id;
    return 1;
  }
  const char *word = WORDS[id - N_CONTROL];
  size_t n = strlen(word);
  for (size_t i = 0; i < n; i++) ids[i] = FIRST_BYTE + (unsigned char)word[i];
  return n;
}

/* The first byte chooses the template, and each further one a token; low values are control tokens and words. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *const *names = gale_chat_templates();
  size_t n_names = 0, n_whole = 0, n_cut = 0;
  while (names[n_names]) n_names++;
  if (size == 0 || n_names == 0) return 0;
  static gale_tokenizer *t; /* making it takes longer than a run */
  if (!t) t = open_small();
  int32_t *whole = malloc(size * sizeof *whole), *cut = malloc(size * 32 * sizeof *cut);
  if (!whole || !cut) abort();
  for (size_t i = 1; i < size; i++) {
    int32_t id = data[i] < FIRST_BYTE ? data[i] : FIRST_BYTE + data[i];
    n_whole += put_token(id, true, whole + n_whole);
    n_cut += put_token(id, false, cut + n_cut);
  }
  const char *name = names[data[0] % n_names];
  byte_list one = parse(t, name, whole, n_whole), other = parse(t, name, cut, n_cut);
  if (one.n != other.n || memcmp(one.bytes, other.bytes, one.n) != 0) abort();
  free(one.bytes);
  free(other.bytes);
  free(whole);
  free(cut);
  return 0;
}
