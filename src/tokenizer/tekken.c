#include "tokenizer/tekken.h"

#include <stdio.h>

#include "base/utf8.h"

typedef struct tekken {
  const char *source;
  const value *root, *config, *list; /* of words */
  arena memory;
  size_t n_special, n_words;
  const char **tokens; /* control tokens, then words in GPT-2's printable alphabet */
  uint32_t *lengths;
  uint8_t *types;
  model_settings settings;
  vocabulary v;
  gale_error *error;
} tekken;

/* What stands at these ranks where a file lists no control tokens; only files up to v7 may leave them out. */
static const char *const DEFAULT_SPECIAL[] = {"<unk>",
                                              "<s>",
                                              "</s>",
                                              "[INST]",
                                              "[/INST]",
                                              "[AVAILABLE_TOOLS]",
                                              "[/AVAILABLE_TOOLS]",
                                              "[TOOL_RESULTS]",
                                              "[/TOOL_RESULTS]",
                                              "[TOOL_CALLS]",
                                              "[IMG]",
                                              "<pad>",
                                              "[IMG_BREAK]",
                                              "[IMG_END]",
                                              "[PREFIX]",
                                              "[MIDDLE]",
                                              "[SUFFIX]",
                                              "[SYSTEM_PROMPT]",
                                              "[/SYSTEM_PROMPT]",
                                              "[TOOL_CONTENT]"};
enum { N_DEFAULT_SPECIAL = sizeof DEFAULT_SPECIAL / sizeof *DEFAULT_SPECIAL };

static const int VERSIONS[] = {3, 7, 11, 13, 15};

bool is_tekken(const value *root) {
  return value_is(value_get(root, "vocab"), VALUE_ARRAY) && value_is(value_get(root, "config"), VALUE_OBJECT);
}

/* ---- Settings ---- */

/* A string of an object as a C string, or NULL: not there, none, or out of memory. */
static const char *string_of(tekken *t, const value *object, const char *key) {
  const value *v = value_get(object, key);
  return value_is(v, VALUE_STRING) ? arena_string(&t->memory, v->text.s, v->text.n) : NULL;
}

static gale_status read_version(tekken *t) {
  const char *text = string_of(t, t->config, "version");
  for (size_t i = 0; text && i < sizeof VERSIONS / sizeof *VERSIONS; i++) {
    char name[8];
    snprintf(name, sizeof name, "v%d", VERSIONS[i]);
    if (strcmp(text, name) == 0) t->v.version = VERSIONS[i];
  }
  if (t->v.version) return GALE_OK;
  return error_set(t->error, GALE_E_UNSUPPORTED,
                   "%s: config.version is \"%.32s\"; v3, v7, v11, v13 and v15 are accepted", t->source,
                   text ? text : "(no string)");
}

static gale_status read_pattern(tekken *t) {
  const char *pattern = string_of(t, t->config, "pattern");
  const pretokenizer *row = pattern ? pretokenizer_by_pattern(pattern) : NULL;
  t->v.pre = row ? row->name : NULL;
  if (row) return GALE_OK;
  return error_set(t->error, GALE_E_UNSUPPORTED,
                   "%s: config.pattern is \"%.320s\"; the patterns of tekken, Llama 3 and GPT-2 are accepted",
                   t->source, pattern ? pattern : "(no string)");
}

/* How many control tokens and words there are; the list may hold more words than the vocabulary uses. */
static gale_status read_sizes(tekken *t) {
  size_t listed = t->list->count;
  int64_t n, n_special;
  if (!value_int64(value_get(t->config, "default_num_special_tokens"), &n_special) || n_special < 3 ||
      n_special > 1 << 20)
    return error_set(t->error, GALE_E_FORMAT,
                     "%s: config.default_num_special_tokens: a number from 3 to 1048576 is accepted", t->source);
  if (!value_int64(value_get(t->config, "default_vocab_size"), &n) || n < n_special + 256 ||
      (uint64_t)(n - n_special) > listed)
    return error_set(t->error, GALE_E_FORMAT,
                     "%s: config.default_vocab_size: a number from %lld to %llu is accepted, as there are %lld control "
                     "tokens and the vocabulary lists %zu words",
                     t->source, (long long)n_special + 256, (unsigned long long)n_special + listed,
                     (long long)n_special, listed);
  t->n_special = (size_t)n_special;
  t->n_words = (size_t)(n - n_special);
  t->v.n_tokens = (size_t)n;
  t->tokens = arena_array(&t->memory, t->v.n_tokens, sizeof *t->tokens);
  t->lengths = arena_array(&t->memory, t->v.n_tokens, sizeof *t->lengths);
  t->types = arena_array(&t->memory, t->v.n_tokens, sizeof *t->types);
  return t->tokens && t->lengths && t->types ? GALE_OK : error_memory(t->error, t->v.n_tokens * 16);
}

/* model_settings_builder: the efforts that may be asked for, the one that holds otherwise, and whether an answer's
 * schema is told to the model. */
static gale_status read_settings(tekken *t) {
  const value *builder = value_given(t->root, "model_settings_builder");
  if (!builder) return GALE_OK;
  const value *effort = value_given(builder, "reasoning_effort"), *schema = value_given(builder, "json_schema");
  const value *values = value_get(effort, "values"), *first = value_get(effort, "default");
  bool list = value_is(values, VALUE_ARRAY), good = t->v.version >= 15 && builder->kind == VALUE_OBJECT;
  if (effort) good = good && list && value_is(first, VALUE_STRING);
  size_t most = list ? values->count : 0, n = 0;
  const char **efforts = arena_array(&t->memory, most, sizeof *efforts);
  if (!efforts) return error_memory(t->error, most * sizeof *efforts);
  bool found = !effort;
  for (const value *v = good && list ? values->first : NULL; v && good; v = v->next) {
    good = v->kind == VALUE_STRING;
    if (!good) break;
    found |= slice_equal(v->text, first->text);
    efforts[n] = arena_string(&t->memory, v->text.s, v->text.n);
    if (!efforts[n++]) return error_memory(t->error, v->text.n);
  }
  if (!good || !found)
    return error_set(t->error, GALE_E_FORMAT,
                     "%s: model_settings_builder: an object is accepted, from version v15 on, with "
                     "reasoning_effort.values, a list of strings, and reasoning_effort.default, one of them",
                     t->source);
  t->settings = (model_settings){.efforts = efforts, .n_efforts = n, .schema = schema != NULL};
  if (effort) t->settings.default_effort = string_of(t, effort, "default");
  if (effort && !t->settings.default_effort) return error_memory(t->error, first->text.n);
  t->v.settings = &t->settings;
  return GALE_OK;
}

/* ---- Control tokens ---- */

static gale_status special_error(const tekken *t, size_t i, const char *what) {
  return error_set(t->error, GALE_E_FORMAT, "%s: special_tokens[%zu].%s", t->source, i, what);
}

static gale_status set_special(tekken *t, const value *entry, size_t i, size_t n) {
  const value *text = value_get(entry, "token_str");
  int64_t rank;
  if (!value_int64(value_get(entry, "rank"), &rank) || rank < 0 || (uint64_t)rank >= n)
    return special_error(t, i, "rank: ranks from 0 to the number of special tokens less one are accepted");
  if (!value_is(text, VALUE_STRING) || text->text.n > UINT16_MAX)
    return special_error(t, i, "token_str: a string of at most 65535 bytes is accepted");
  if (t->tokens[rank]) return special_error(t, i, "rank: another special token has it too");
  t->tokens[rank] = text->text.s;
  t->lengths[rank] = (uint32_t)text->text.n;
  return GALE_OK;
}

/* Ranks that have no token get a text that only serves to name them. */
static gale_status read_special(tekken *t) {
  const value *list = value_given(t->root, "special_tokens");
  bool missing = !list;
  size_t n = missing ? N_DEFAULT_SPECIAL : list->count;
  if (missing && t->v.version > 7)
    return error_set(t->error, GALE_E_FORMAT, "%s: special_tokens: missing; version v%d must list them", t->source,
                     t->v.version);
  if ((!missing && list->kind != VALUE_ARRAY) || n > t->n_special)
    return error_set(t->error, GALE_E_FORMAT, "%s: special_tokens: a list of at most %zu tokens is accepted", t->source,
                     t->n_special);
  gale_status status = GALE_OK;
  const value *entry = missing ? NULL : list->first;
  for (size_t i = 0; i < n && !status; i++) {
    if (missing) {
      t->tokens[i] = DEFAULT_SPECIAL[i];
      t->lengths[i] = (uint32_t)strlen(DEFAULT_SPECIAL[i]);
    } else {
      status = set_special(t, entry, i, n);
      entry = entry->next;
    }
  }
  for (size_t i = 0; i < t->n_special && !status; i++) {
    if (i >= n) {
      t->tokens[i] = arena_printf(&t->memory, "<SPECIAL_%zu>", i);
      if (!t->tokens[i]) return error_memory(t->error, 24);
      t->lengths[i] = (uint32_t)strlen(t->tokens[i]);
    }
    t->types[i] = TOKEN_CONTROL;
    slice text = {t->tokens[i], t->lengths[i]};
    if (slice_is(text, "<s>") && t->v.bos < 0) t->v.bos = (int32_t)i;
    if (slice_is(text, "</s>") && t->v.eos < 0) t->v.eos = (int32_t)i;
  }
  if (!status && (t->v.bos < 0 || t->v.eos < 0))
    status = error_set(t->error, GALE_E_FORMAT, "%s: special_tokens: <s> and </s> must be among them", t->source);
  return status;
}

/* ---- Words ---- */

/* What each character counts in base64, plus 1; 0: it is none of its digits. */
static const uint8_t BASE64[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64};

/* Writes the bytes that n characters stand for; false if they are not whole base64 with its padding. */
static bool base64_decode(const char *s, size_t n, unsigned char *to, size_t *length) {
  if (n % 4) return false;
  *length = 0;
  for (size_t i = 0; i < n; i += 4) {
    size_t padding = i + 4 < n ? 0 : (size_t)(s[i + 3] == '=') + (s[i + 3] == '=' && s[i + 2] == '=');
    uint32_t bits = 0;
    for (size_t k = 0; k < 4; k++) {
      uint32_t digit = k < 4 - padding ? BASE64[(unsigned char)s[i + k]] : 1;
      if (digit == 0) return false;
      bits = bits << 6 | (digit - 1);
    }
    for (size_t k = 0; k < 3 - padding; k++) to[(*length)++] = (unsigned char)(bits >> (16 - 8 * k));
  }
  return true;
}

static gale_status word_error(const tekken *t, size_t i, const char *what) {
  return error_set(t->error, GALE_E_FORMAT, "%s: vocab[%zu].%s", t->source, i, what);
}

enum { LONGEST_BASE64 = 1368 }; /* of LONGEST_PIECE bytes */

static gale_status set_word(tekken *t, const value *entry, size_t i) {
  unsigned char bytes[LONGEST_BASE64 / 4 * 3];
  const value *base64 = value_get(entry, "token_bytes");
  slice digits = value_is(base64, VALUE_STRING) ? base64->text : (slice){0};
  int64_t rank = -1;
  size_t n;
  value_int64(value_get(entry, "rank"), &rank);
  if (rank != (int64_t)i)
    return error_set(t->error, GALE_E_FORMAT, "%s: vocab[%zu].rank is %lld; %zu is accepted, as ranks have no gaps",
                     t->source, i, (long long)rank, i);
  if (digits.n == 0 || digits.n > LONGEST_BASE64 || !base64_decode(digits.s, digits.n, bytes, &n))
    return word_error(t, i, "token_bytes: not base64 of 1 to 1024 bytes");
  if (i < 256 && (n != 1 || bytes[0] != i))
    return word_error(t, i, "token_bytes: the first 256 are the bytes in order");
  char *text = arena_alloc(&t->memory, 2 * n + 1);
  if (!text) return error_memory(t->error, 2 * n);
  size_t written = 0;
  for (size_t k = 0; k < n; k++) written += (size_t)utf8_encode(alphabet_character(bytes[k]), text + written);
  t->tokens[t->n_special + i] = text;
  t->lengths[t->n_special + i] = (uint32_t)written;
  t->types[t->n_special + i] = TOKEN_NORMAL;
  return GALE_OK;
}

/* No two words may have the same bytes: what text becomes would depend on their order. */
static gale_status check_unique(tekken *t) {
  uint32_t *at = arena_array(&t->memory, t->n_words + 1, sizeof *at);
  size_t total = 0;
  for (size_t i = 0; i < t->n_words; i++) total += t->lengths[t->n_special + i];
  char *bytes = arena_alloc(&t->memory, total);
  lookup words;
  const text_key key = text_key_draw();
  if (!at || !bytes || total > UINT32_MAX || !lookup_create(&words, &t->memory, &key, (texts){bytes, at}, t->n_words))
    return error_memory(t->error, total);
  for (uint32_t i = 0; i < t->n_words; i++) {
    size_t length = t->lengths[t->n_special + i];
    memcpy(bytes + at[i], t->tokens[t->n_special + i], length);
    at[i + 1] = at[i] + (uint32_t)length;
    if (!lookup_add(&words, i)) return word_error(t, i, "token_bytes: another token has the same");
  }
  return GALE_OK;
}

static gale_status read_words(tekken *t) {
  gale_status status = GALE_OK;
  const value *entry = t->list->first;
  for (size_t i = 0; i < t->n_words && !status; i++, entry = entry->next) status = set_word(t, entry, i);
  return status ? status : check_unique(t);
}

gale_status vocabulary_from_tekken(const char *source, const value *root, const tokenizer_hints *hints,
                                   vocabulary_fn use, void *user, gale_error *error) {
  tekken t = {.source = source,
              .root = root,
              .config = value_get(root, "config"),
              .list = value_get(root, "vocab"),
              .v = {.kind = VOCABULARY_BPE,
                    .source = source,
                    .merge_by_id = true,
                    .ignore_merges = true,
                    .bos = -1,
                    .eos = -1,
                    .unk = -1,
                    .add_bos = true},
              .error = error};
  gale_status status = read_version(&t);
  if (!status) status = read_pattern(&t);
  if (!status) status = read_sizes(&t);
  if (!status) status = read_settings(&t);
  if (!status) status = read_special(&t);
  if (!status) status = read_words(&t);
  t.v.tokens = t.tokens;
  t.v.lengths = t.lengths;
  t.v.types = t.types;
  if (!status) status = vocabulary_apply(&t.v, hints, error);
  if (!status) status = use(&t.v, user, error);
  arena_free(&t.memory);
  return status;
}
