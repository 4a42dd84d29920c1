/* Building a tokenizer from a vocabulary, with every check on what the file says. */
#include "tokenizer/built.h"

#include <math.h>
#include <stdlib.h>

#include "base/utf8.h"

enum { MAX_TOKENS = 1 << 24 };

static const char SPACE[] = "\xE2\x96\x81"; /* U+2581 */

int alphabet_byte(uint32_t c) {
  /* Printable bytes stand for themselves; the other 68, in order, for U+0100 and on. */
  if ((c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF)) return (int)c;
  if (c >= 0x100 && c <= 0x120) return (int)(c - 0x100);
  if (c >= 0x121 && c <= 0x142) return (int)(c - 0x121 + 0x7F);
  return c == 0x143 ? 0xAD : -1;
}

uint32_t alphabet_character(unsigned char byte) {
  if (alphabet_byte(byte) == byte) return byte;
  if (byte == 0xAD) return 0x143;
  return byte <= 0x20 ? 0x100u + byte : 0x121u + byte - 0x7F;
}

size_t plain_text(vocabulary_kind kind, const char *text, size_t length, char *to) {
  size_t n = 0;
  for (size_t i = 0; i < length;) {
    if (kind == VOCABULARY_SENTENCEPIECE) {
      bool space = length - i >= 3 && memcmp(text + i, SPACE, 3) == 0;
      to[n++] = space ? ' ' : text[i];
      i += space ? 3 : 1;
      continue;
    }
    size_t step;
    uint32_t c = utf8_at(text + i, length - i, &step);
    int byte = c == CHAR_INVALID ? -1 : alphabet_byte(c);
    if (byte < 0) {
      /* A token that is not written in the alphabet stands for its own bytes. */
      memcpy(to, text, length);
      return length;
    }
    to[n++] = (char)byte;
    i += step;
  }
  return n;
}

static int hex_digit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                : -1;
}

int spelled_byte(const char *s, size_t n) {
  if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
  int high = hex_digit(s[3]), low = hex_digit(s[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static gale_status check_id(const vocabulary *v, const char *name, int32_t id, gale_error *error) {
  if (id >= -1 && id < (int64_t)v->n_tokens) return GALE_OK;
  return error_set(error, GALE_E_FORMAT, "%s: %s is %d, but the vocabulary has %zu tokens", v->source, name, (int)id,
                   v->n_tokens);
}

static gale_status check_token(const vocabulary *v, size_t i, gale_error *error) {
  token_type type = vocabulary_type(v, i);
  if (type < TOKEN_NORMAL || type > TOKEN_BYTE)
    return error_set(error, GALE_E_FORMAT, "%s: token %zu has type %d; types are 1 to 6", v->source, i, (int)type);
  if (type == TOKEN_BYTE && spelled_byte(v->tokens[i], v->lengths[i]) < 0)
    return error_set(error, GALE_E_FORMAT, "%s: byte token %zu is \"%.*s\"; <0x00> to <0xFF> are accepted", v->source,
                     i, (int)(v->lengths[i] < 64 ? v->lengths[i] : 64), v->tokens[i]);
  bool merges = v->kind == VOCABULARY_SENTENCEPIECE && (type == TOKEN_NORMAL || type == TOKEN_UNUSED);
  /* Every way to cut a piece in two is looked up, which takes the square of its length; and a user-defined
   * token may be compared with the text at each of its bytes. */
  if ((merges || type == TOKEN_USER_DEFINED) && v->lengths[i] > LONGEST_PIECE)
    return error_set(error, GALE_E_FORMAT, "%s: piece %zu has %u bytes; at most %d are accepted", v->source, i,
                     (unsigned)v->lengths[i], LONGEST_PIECE);
  if (v->kind != VOCABULARY_SENTENCEPIECE) return GALE_OK;
  if (v->scores && !isfinite(v->scores[i]))
    return error_set(error, GALE_E_FORMAT, "%s: the score of token %zu is not finite", v->source, i);
  return GALE_OK;
}

static gale_status check_vocabulary(const vocabulary *v, gale_error *error) {
  if (v->n_tokens == 0 || v->n_tokens > MAX_TOKENS)
    return error_set(error, GALE_E_FORMAT, "%s: the vocabulary has %zu tokens; 1 to %d are accepted", v->source,
                     v->n_tokens, MAX_TOKENS);
  if (v->kind == VOCABULARY_SENTENCEPIECE && !v->scores && v->n_merges == 0)
    return error_set(error, GALE_E_FORMAT, "%s: the pieces have neither scores nor merges", v->source);
  if (v->n_merges > UINT32_MAX / 4)
    return error_set(error, GALE_E_FORMAT, "%s: %zu merges are too many", v->source, v->n_merges);
  uint64_t bytes = 0;
  for (size_t i = 0; i < v->n_tokens; i++) {
    gale_status status = check_token(v, i, error);
    if (status) return status;
    bytes += v->lengths[i];
  }
  if (bytes > UINT32_MAX / 2)
    return error_set(error, GALE_E_FORMAT, "%s: the tokens' texts are longer than 2 GiB", v->source);
  gale_status status = check_id(v, "the id of BOS", v->bos, error);
  if (!status) status = check_id(v, "the id of EOS", v->eos, error);
  if (!status) status = check_id(v, "the id of the unknown token", v->unk, error);
  for (size_t i = 0; i < v->n_ends && !status; i++) status = check_id(v, "the id of an end token", v->ends[i], error);
  return status;
}

/* How many different characters the tokens hold; SIZE_MAX when out of memory. */
static size_t count_characters(const vocabulary *v) {
  uint8_t *seen = calloc(0x110000 / 8, 1);
  if (!seen) return SIZE_MAX;
  size_t count = 0, step;
  for (size_t i = 0; i < v->n_tokens; i++) {
    for (size_t k = 0; k < v->lengths[i]; k += step) {
      uint32_t c = utf8_at(v->tokens[i] + k, v->lengths[i] - k, &step);
      if (c == CHAR_INVALID || (seen[c >> 3] >> (c & 7) & 1)) continue;
      seen[c >> 3] |= (uint8_t)(1 << (c & 7));
      count++;
    }
  }
  free(seen);
  return count;
}

/* Copies the tokens' texts, as they are stored and as the bytes they stand for, with room for `chars`
 * single characters that may be added as symbols. */
static bool copy_texts(gale_tokenizer *t, const vocabulary *v, size_t chars) {
  size_t total = 0, n = v->n_tokens;
  for (size_t i = 0; i < n; i++) total += v->lengths[i];
  char *stored = arena_alloc(&t->memory, total), *plain = arena_alloc(&t->memory, total + 4 * chars);
  uint32_t *stored_at = arena_array(&t->memory, n + 1, sizeof *stored_at);
  uint32_t *plain_at = arena_array(&t->memory, n + 1 + chars, sizeof *plain_at);
  if (!stored || !plain || !stored_at || !plain_at) return false;
  uint32_t s = 0, p = 0;
  for (size_t i = 0; i < n; i++) {
    stored_at[i] = s;
    plain_at[i] = p;
    if (v->lengths[i]) memcpy(stored + s, v->tokens[i], v->lengths[i]);
    s += v->lengths[i];
    bool raw = t->kind == VOCABULARY_BPE && t->types[i] != TOKEN_NORMAL && t->types[i] != TOKEN_UNUSED;
    if (t->types[i] == TOKEN_BYTE) {
      plain[p++] = (char)spelled_byte(v->tokens[i], v->lengths[i]);
    } else if (raw) {
      if (v->lengths[i]) memcpy(plain + p, v->tokens[i], v->lengths[i]);
      p += v->lengths[i];
    } else {
      p += (uint32_t)plain_text(t->kind, v->tokens[i], v->lengths[i], plain + p);
    }
    if (v->lengths[i] > t->longest) t->longest = v->lengths[i];
  }
  stored_at[n] = s;
  plain_at[n] = p;
  t->stored = (texts){stored, stored_at};
  t->plain = (texts){plain, plain_at};
  t->n_tokens = t->n_symbols = (uint32_t)n;
  return true;
}

/* ---- Sorted lists of tokens ---- */

static int compare_texts(const char *a, size_t n_a, const char *b, size_t n_b) {
  size_t n = n_a < n_b ? n_a : n_b;
  int order = n ? memcmp(a, b, n) : 0;
  return order ? order : (n_a > n_b) - (n_a < n_b);
}

static int compare_ids(const void *a, const void *b, void *context) {
  uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
  size_t n_i, n_j;
  const char *s_i = texts_get(context, i, &n_i), *s_j = texts_get(context, j, &n_j);
  int order = compare_texts(s_i, n_i, s_j, n_j);
  return order ? order : (i > j) - (i < j);
}

bool sorted_tokens(gale_tokenizer *t, token_type type, texts *text, uint32_t **list, uint32_t *n) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < t->n_tokens; i++) count += t->types[i] == type;
  *list = arena_array(&t->memory, count, sizeof **list);
  if (!*list) return false;
  *n = 0;
  for (uint32_t i = 0; i < t->n_tokens; i++)
    if (t->types[i] == type) (*list)[(*n)++] = i;
  qsort_r(*list, *n, sizeof **list, compare_ids, text);
  return true;
}

uint32_t find_sorted(const uint32_t *list, uint32_t n, const texts *text, const char *s, size_t length) {
  uint32_t low = 0, high = n;
  size_t n_text;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    const char *at = texts_get(text, list[middle], &n_text);
    if (compare_texts(at, n_text, s, length) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == n) return SYMBOL_NONE;
  const char *found = texts_get(text, list[low], &n_text);
  return compare_texts(found, n_text, s, length) == 0 ? list[low] : SYMBOL_NONE;
}

int32_t tokenizer_control(const gale_tokenizer *t, const char *text) {
  uint32_t id = find_sorted(t->control, t->n_control, &t->stored, text, strlen(text));
  return id == SYMBOL_NONE ? -1 : (int32_t)id;
}

/* ---- What text can become ---- */

bool mergeable(const gale_tokenizer *t, uint32_t id) {
  if (t->types[id] != TOKEN_NORMAL && t->types[id] != TOKEN_UNUSED) return false;
  size_t n, n_stored;
  const char *plain = texts_get(&t->plain, id, &n), *stored = texts_get(&t->stored, id, &n_stored);
  if (n == 0) return false;
  if (t->kind == VOCABULARY_SENTENCEPIECE) {
    /* Spaces are U+2581 in the text that SentencePiece looks at, so that no piece with U+0020 is found. */
    return !memchr(stored, ' ', n_stored) && utf8_valid(plain, n);
  }
  for (size_t i = 0; i < n_stored;) {
    size_t step;
    uint32_t c = utf8_at(stored + i, n_stored - i, &step);
    if (c == CHAR_INVALID || alphabet_byte(c) < 0) return false;
    i += step;
  }
  return true;
}

/* Makes symbols of the characters that occur in pieces without being pieces: two symbols also merge
 * where one of them is no token of its own. */
static void add_characters(gale_tokenizer *t, lookup *l) {
  char *bytes = (char *)t->plain.bytes;
  uint32_t *at = (uint32_t *)t->plain.at;
  for (uint32_t i = 0; i < t->n_tokens; i++) {
    size_t n, step;
    const char *s = texts_get(&t->plain, i, &n);
    if (!mergeable(t, i)) continue;
    for (size_t k = 0; k < n; k += step) {
      utf8_at(s + k, n - k, &step);
      if (lookup_find(l, s + k, step) != SYMBOL_NONE) continue;
      uint32_t symbol = t->n_symbols++;
      memcpy(bytes + at[symbol], s + k, step);
      at[symbol + 1] = at[symbol] + (uint32_t)step;
      lookup_add(l, symbol);
    }
  }
}

static bool build_words(gale_tokenizer *t, size_t chars) {
  if (!lookup_create(&t->words, &t->memory, &t->key, t->plain, t->n_tokens + chars)) return false;
  for (uint32_t i = 0; i < t->n_tokens; i++)
    if (mergeable(t, i)) lookup_add(&t->words, i);
  if (t->kind == VOCABULARY_SENTENCEPIECE) add_characters(t, &t->words);
  memset(t->bytes, 0xFF, sizeof t->bytes);
  for (uint32_t i = 0; i < t->n_tokens; i++) {
    if (t->types[i] != TOKEN_BYTE) continue;
    uint32_t *token = &t->bytes[(unsigned char)t->plain.bytes[t->plain.at[i]]];
    if (*token == SYMBOL_NONE) *token = i;
  }
  for (unsigned c = 0; c < 256; c++) {
    char byte = (char)c;
    if (t->kind == VOCABULARY_BPE) t->bytes[c] = lookup_find(&t->words, &byte, 1);
    if (c < 128) t->ascii[c] = lookup_find(&t->words, &byte, 1);
  }
  return true;
}

/* ---- Creation ---- */

/* Copies the model's settings. */
static gale_status set_settings(gale_tokenizer *t, const model_settings *from, gale_error *error) {
  if (!from) return GALE_OK;
  model_settings *to = arena_alloc(&t->memory, sizeof *to);
  const char **efforts = arena_array(&t->memory, from->n_efforts, sizeof *efforts);
  if (!to || !efforts) return error_memory(error, sizeof *to);
  *to = (model_settings){.efforts = efforts, .n_efforts = from->n_efforts, .schema = from->schema};
  for (size_t i = 0; i < from->n_efforts; i++) {
    efforts[i] = arena_string(&t->memory, from->efforts[i], strlen(from->efforts[i]));
    if (!efforts[i]) return error_memory(error, strlen(from->efforts[i]));
    if (from->default_effort && strcmp(efforts[i], from->default_effort) == 0) to->default_effort = efforts[i];
  }
  t->settings = to;
  return GALE_OK;
}

static gale_status set_pretokenizer(gale_tokenizer *t, const vocabulary *v, gale_error *error) {
  t->kind_name = "SentencePiece";
  if (v->kind != VOCABULARY_BPE) return GALE_OK;
  t->pre = pretokenizer_find(v->pre ? v->pre : "default");
  if (!v->pre)
    t->note =
        "the file does not name its pre-tokeniser; \"default\" is used, which may cut words in another way than the "
        "model knows (for Llama 3: --override tokenizer.ggml.pre=llama-bpe)";
  if (!t->pre) {
    char names[200];
    pretokenizer_names(names, sizeof names);
    return error_set(error, GALE_E_UNSUPPORTED,
                     "%s: the pre-tokeniser \"%.64s\" is not known; known ones: %s; one of them can be named, e.g. by "
                     "--override tokenizer.ggml.pre=llama-bpe",
                     v->source, v->pre, names);
  }
  t->kind_name = t->pre->kind;
  return GALE_OK;
}

static gale_status build(gale_tokenizer *t, const vocabulary *v, gale_error *error) {
  gale_status status = set_pretokenizer(t, v, error);
  if (status) return status;
  size_t chars = v->kind == VOCABULARY_SENTENCEPIECE ? count_characters(v) : 0;
  t->types = arena_alloc(&t->memory, v->n_tokens);
  if (!t->types || chars == SIZE_MAX) return error_memory(error, v->n_tokens);
  if ((status = build_types(t, v, error))) return status;
  uint64_t bytes = 0;
  for (size_t i = 0; i < v->n_tokens; i++) bytes += v->lengths[i];
  if (!copy_texts(t, v, chars)) return error_memory(error, bytes);
  if ((status = build_chat(t, v, error))) return status;
  if ((status = set_settings(t, v->settings, error))) return status;
  if (!build_words(t, chars) || !sorted_tokens(t, TOKEN_USER_DEFINED, &t->plain, &t->user, &t->n_user))
    return error_memory(error, bytes);
  if ((status = build_merges(t, v, error))) return status;
  bool ok = t->kind != VOCABULARY_SENTENCEPIECE || build_pairs(t);
  ok = ok && build_alone(t, v->ignore_merges || (t->pre && t->pre->ignore_merges));
  if (!ok) return error_memory(error, bytes);
  for (uint32_t i = 0; i < t->n_user; i++) {
    size_t n;
    const char *s = texts_get(&t->plain, t->user[i], &n);
    if (n > 0) t->user_first[(unsigned char)s[0]] = true;
  }
  return GALE_OK;
}

static gale_status find_token(const vocabulary *v, const char *what, const char *text, int32_t *id, gale_error *error) {
  size_t n = strlen(text);
  for (size_t i = 0; i < v->n_tokens; i++) {
    if (v->lengths[i] != n || memcmp(v->tokens[i], text, n) != 0) continue;
    *id = (int32_t)i;
    return GALE_OK;
  }
  return error_set(error, GALE_E_FORMAT,
                   "%s: the vocabulary has no token \"%.64s\", which the model's files name as %s", v->source, text,
                   what);
}

gale_status vocabulary_apply(vocabulary *v, const tokenizer_hints *hints, gale_error *error) {
  if (!hints) return GALE_OK;
  gale_status status = GALE_OK;
  v->n_rows = hints->n_rows;
  if (hints->chat_template) v->chat_template = hints->chat_template;
  if (hints->bos) status = find_token(v, "BOS", hints->bos, &v->bos, error);
  if (hints->eos && !status) status = find_token(v, "EOS", hints->eos, &v->eos, error);
  if (hints->add_bos) v->add_bos = *hints->add_bos;
  if (hints->n_ends) {
    v->ends = hints->ends;
    v->n_ends = hints->n_ends;
  }
  return status;
}

gale_status tokenizer_create(const vocabulary *v, gale_tokenizer **tokenizer, gale_error *error) {
  gale_status status = check_vocabulary(v, error);
  if (status) return status;
  gale_tokenizer *t = calloc(1, sizeof *t);
  if (!t) return error_memory(error, sizeof *t);
  t->key = text_key_draw();
  t->kind = v->kind;
  status = build(t, v, error);
  if (status)
    gale_tokenizer_close(&t);
  else
    *tokenizer = t;
  return status;
}

gale_status vocabulary_create(const vocabulary *v, void *tokenizer, gale_error *error) {
  return tokenizer_create(v, tokenizer, error);
}

void gale_tokenizer_close(gale_tokenizer **tokenizer) {
  if (!tokenizer || !*tokenizer) return;
  arena_free(&(*tokenizer)->memory);
  free(*tokenizer);
  *tokenizer = NULL;
}

int32_t tokenizer_rows(const gale_tokenizer *t) {
  return (int32_t)t->n_rows;
}

/* ---- What gale.h tells of a tokenizer ---- */

int32_t gale_tokenizer_size(const gale_tokenizer *tokenizer) {
  return (int32_t)tokenizer->n_tokens;
}

int32_t gale_tokenizer_bos(const gale_tokenizer *tokenizer) {
  return tokenizer->bos;
}

int32_t gale_tokenizer_eos(const gale_tokenizer *tokenizer) {
  return tokenizer->eos;
}

bool gale_tokenizer_is_end(const gale_tokenizer *tokenizer, int32_t id) {
  for (size_t i = 0; i < tokenizer->n_ends; i++)
    if (tokenizer->ends[i] == id) return true;
  return false;
}

bool gale_tokenizer_adds_bos(const gale_tokenizer *tokenizer) {
  return tokenizer->add_bos;
}

const char *gale_tokenizer_note(const gale_tokenizer *tokenizer) {
  return tokenizer->note;
}

const char *gale_tokenizer_kind(const gale_tokenizer *tokenizer) {
  return tokenizer->kind_name;
}

bool gale_tokenizer_token(const gale_tokenizer *tokenizer, int32_t id, const char **text, size_t *length,
                          bool *control) {
  if (id < 0 || (uint32_t)id >= tokenizer->n_tokens) return false;
  *text = texts_get(&tokenizer->stored, (uint32_t)id, length);
  *control = tokenizer->types[id] == TOKEN_CONTROL;
  return true;
}
