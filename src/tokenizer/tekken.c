#include "tokenizer/tekken.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/unicode.h"

typedef struct tekken {
  const char *source;
  const json_t *root, *config;
  const tekken_words *words;
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

bool is_tekken(const json_t *root) {
  return json_is_array(json_object_get(root, "vocab")) && json_is_object(json_object_get(root, "config"));
}

/* ---- Settings ---- */

static gale_status read_version(tekken *t) {
  const char *text = json_string_value(json_object_get(t->config, "version"));
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
  const char *pattern = json_string_value(json_object_get(t->config, "pattern"));
  const pretokenizer *row = pattern ? pretokenizer_by_pattern(pattern) : NULL;
  t->v.pre = row ? row->name : NULL;
  if (row) return GALE_OK;
  return error_set(t->error, GALE_E_UNSUPPORTED,
                   "%s: config.pattern is \"%.320s\"; the patterns of tekken, Llama 3 and GPT-2 are accepted",
                   t->source, pattern ? pattern : "(no string)");
}

/* How many control tokens and words there are; the list of words may be longer than what counts of it. */
static gale_status read_sizes(tekken *t) {
  const json_t *size = json_object_get(t->config, "default_vocab_size");
  const json_t *special = json_object_get(t->config, "default_num_special_tokens");
  size_t listed = t->words->n;
  json_int_t n = json_integer_value(size), n_special = json_integer_value(special);
  if (!json_is_integer(special) || n_special < 3 || n_special > 1 << 20)
    return error_set(t->error, GALE_E_FORMAT,
                     "%s: config.default_num_special_tokens: a number from 3 to 1048576 is accepted", t->source);
  if (!json_is_integer(size) || n < n_special + 256 || (uint64_t)(n - n_special) > listed)
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
  const json_t *builder = json_object_get(t->root, "model_settings_builder");
  if (!builder || json_is_null(builder)) return GALE_OK;
  const json_t *effort = json_object_get(builder, "reasoning_effort"),
               *schema = json_object_get(builder, "json_schema");
  const json_t *values = json_object_get(effort, "values"), *first = json_object_get(effort, "default");
  bool none = !effort || json_is_null(effort);
  bool good =
      t->v.version >= 15 && json_is_object(builder) && (none || (json_is_array(values) && json_is_string(first)));
  size_t n = json_array_size(values);
  const char **efforts = arena_array(&t->memory, n, sizeof *efforts);
  if (!efforts) return error_memory(t->error, n * sizeof *efforts);
  bool found = none;
  for (size_t i = 0; i < n && good; i++) {
    efforts[i] = json_string_value(json_array_get(values, i));
    good = efforts[i] != NULL;
    found |= good && strcmp(efforts[i], json_string_value(first)) == 0;
  }
  if (!good || !found)
    return error_set(t->error, GALE_E_FORMAT,
                     "%s: model_settings_builder: an object is accepted, from version v15 on, with "
                     "reasoning_effort.values, a list of strings, and reasoning_effort.default, one of them",
                     t->source);
  t->settings = (model_settings){.efforts = efforts,
                                 .n_efforts = n,
                                 .default_effort = none ? NULL : json_string_value(first),
                                 .schema = schema && !json_is_null(schema)};
  t->v.settings = &t->settings;
  return GALE_OK;
}

/* ---- Control tokens ---- */

static gale_status special_error(const tekken *t, size_t i, const char *what) {
  return error_set(t->error, GALE_E_FORMAT, "%s: special_tokens[%zu].%s", t->source, i, what);
}

static gale_status set_special(tekken *t, const json_t *entry, size_t i, size_t n) {
  const json_t *rank = json_object_get(entry, "rank"), *text = json_object_get(entry, "token_str");
  if (!json_is_integer(rank) || json_integer_value(rank) < 0 || (uint64_t)json_integer_value(rank) >= n)
    return special_error(t, i, "rank: ranks from 0 to the number of special tokens less one are accepted");
  if (!json_is_string(text) || json_string_length(text) > UINT16_MAX)
    return special_error(t, i, "token_str: a string of at most 65535 bytes is accepted");
  size_t at = (size_t)json_integer_value(rank);
  if (t->tokens[at]) return special_error(t, i, "rank: another special token has it too");
  t->tokens[at] = json_string_value(text);
  t->lengths[at] = (uint32_t)json_string_length(text);
  return GALE_OK;
}

/* Ranks that have no token get a text that only serves to name them. */
static gale_status read_special(tekken *t) {
  const json_t *list = json_object_get(t->root, "special_tokens");
  bool missing = !list || json_is_null(list);
  size_t n = missing ? N_DEFAULT_SPECIAL : json_array_size(list);
  if (missing && t->v.version > 7)
    return error_set(t->error, GALE_E_FORMAT, "%s: special_tokens: missing; version v%d must list them", t->source,
                     t->v.version);
  if ((!missing && !json_is_array(list)) || n > t->n_special)
    return error_set(t->error, GALE_E_FORMAT, "%s: special_tokens: a list of at most %zu tokens is accepted", t->source,
                     t->n_special);
  gale_status status = GALE_OK;
  for (size_t i = 0; i < n && !status; i++) {
    if (missing) {
      t->tokens[i] = DEFAULT_SPECIAL[i];
      t->lengths[i] = (uint32_t)strlen(DEFAULT_SPECIAL[i]);
    } else {
      status = set_special(t, json_array_get(list, i), i, n);
    }
  }
  for (size_t i = 0; i < t->n_special && !status; i++) {
    if (i >= n) {
      t->tokens[i] = arena_printf(&t->memory, "<SPECIAL_%zu>", i);
      if (!t->tokens[i]) return error_memory(t->error, 24);
      t->lengths[i] = (uint32_t)strlen(t->tokens[i]);
    }
    t->types[i] = TOKEN_CONTROL;
    if (strcmp(t->tokens[i], "<s>") == 0 && t->v.bos < 0) t->v.bos = (int32_t)i;
    if (strcmp(t->tokens[i], "</s>") == 0 && t->v.eos < 0) t->v.eos = (int32_t)i;
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

/* The character that an escape in a JSON string stands for, or 0 for those that base64 has no use for. */
static char unescape(const char *s, size_t *length) {
  *length = s[1] == 'u' ? 6 : 2;
  if (s[1] == '/') return '/';
  if (s[1] != 'u') return 0;
  char digits[5] = {s[2], s[3], s[4], s[5]};
  unsigned long c = strtoul(digits, NULL, 16);
  return c < 128 ? (char)c : 0;
}

/* The characters of token_bytes, *n of them: as they are written, or in `to` where some are escaped. */
static const char *base64_text(slice written, char to[LONGEST_BASE64], size_t *n) {
  *n = written.n;
  if (!written.n || !memchr(written.s, '\\', written.n)) return written.s;
  *n = 0;
  for (size_t i = 0, step; i < written.n && *n < LONGEST_BASE64; i += step) {
    step = 1;
    to[(*n)++] = written.s[i] == '\\' ? unescape(written.s + i, &step) : written.s[i];
  }
  return to;
}

static gale_status set_word(tekken *t, const tekken_word *entry, size_t i) {
  char unescaped[LONGEST_BASE64];
  unsigned char bytes[LONGEST_BASE64 / 4 * 3];
  size_t n, length;
  if (entry->rank != (int64_t)i)
    return error_set(t->error, GALE_E_FORMAT, "%s: vocab[%zu].rank is %lld; %zu is accepted, as ranks have no gaps",
                     t->source, i, (long long)entry->rank, i);
  const char *base64 = base64_text(entry->base64, unescaped, &length);
  if (length == 0 || length > LONGEST_BASE64 || !base64_decode(base64, length, bytes, &n))
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

/* Each word must be the only one with its bytes: what text becomes would hang on the order otherwise. */
static gale_status check_unique(tekken *t) {
  uint32_t *at = arena_array(&t->memory, t->n_words + 1, sizeof *at);
  size_t total = 0;
  for (size_t i = 0; i < t->n_words; i++) total += t->lengths[t->n_special + i];
  char *bytes = arena_alloc(&t->memory, total);
  lookup words;
  if (!at || !bytes || total > UINT32_MAX || !lookup_create(&words, &t->memory, (texts){bytes, at}, t->n_words))
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
  for (size_t i = 0; i < t->n_words && !status; i++) status = set_word(t, &t->words->words[i], i);
  return status ? status : check_unique(t);
}

gale_status vocabulary_from_tekken(const char *source, const json_t *root, const tekken_words *words,
                                   const tokenizer_hints *hints, vocabulary_fn use, void *user, gale_error *error) {
  tekken t = {.source = source,
              .root = root,
              .words = words,
              .config = json_object_get(root, "config"),
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
