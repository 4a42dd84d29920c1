#include "constraint/mask_table.h"

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/built.h"

#include <stdlib.h>
#include <string.h>

static bool has_text(const gale_tokenizer *t, uint32_t id) {
  token_type type = (token_type)t->types[id];
  return type != TOKEN_CONTROL && type != TOKEN_UNKNOWN;
}

static bool is_end(const gale_tokenizer *t, uint32_t id) {
  return gale_tokenizer_is_end(t, (int32_t)id);
}

/* Characters at the beginning of a text that a JSON string holds unescaped, and their bytes. */
static uint32_t prefix_of(const token_text *t, uint32_t *bytes) {
  uint32_t n = 0, at = 0, c;
  while (at < t->n) {
    int length = utf8_decode(t->s + at, t->n - at, &c);
    if (length <= 0 || c < 0x20 || c == '"' || c == '\\') break;
    at += (uint32_t)length;
    n++;
  }
  *bytes = at;
  return n;
}

typedef struct builder {
  gale_mask_table *table;
  token_text *texts, *some; /* [n] tokens; room for as many */
  size_t n;
  uint32_t *prefix, *bytes; /* of each */
} builder;

static gale_status list_tokens(builder *b, gale_error *error) {
  const gale_tokenizer *t = b->table->tokenizer;
  size_t size = t->n_tokens + 1;
  b->texts = malloc(size * sizeof *b->texts);
  b->some = malloc(size * sizeof *b->some);
  b->prefix = malloc(size * sizeof *b->prefix);
  b->bytes = malloc(size * sizeof *b->bytes);
  b->table->ends = malloc(size * sizeof *b->table->ends);
  if (!b->texts || !b->some || !b->prefix || !b->bytes || !b->table->ends)
    return error_memory(error, size * sizeof *b->texts);
  for (uint32_t id = 0; id < t->n_tokens; id++) {
    if (is_end(t, id)) {
      b->table->ends[b->table->n_ends++] = (int32_t)id;
      continue;
    }
    if (!has_text(t, id)) continue;
    size_t length;
    const char *text = texts_get(&t->plain, id, &length);
    if (length == 0) continue;
    token_text *to = &b->texts[b->n];
    *to = (token_text){text, (uint32_t)length, (int32_t)id};
    b->prefix[b->n] = prefix_of(to, &b->bytes[b->n]);
    if (to->n > b->table->longest) b->table->longest = to->n;
    b->n++;
  }
  return GALE_OK;
}

static gale_status build_inside(builder *b, gale_error *error) {
  gale_mask_table *t = b->table;
  for (uint32_t k = 0; k <= PREFIX_MOST + 1; k++) {
    t->inside[k] = calloc(t->words, sizeof **t->inside);
    if (!t->inside[k]) return error_memory(error, t->words * sizeof **t->inside);
    for (size_t i = 0; i < b->n; i++)
      if (b->bytes[i] == b->texts[i].n && (k > PREFIX_MOST || b->prefix[i] <= k))
        t->inside[k][b->texts[i].id / 32] |= UINT32_C(1) << (b->texts[i].id % 32);
  }
  return GALE_OK;
}

/* The bytes of a text's first k characters. */
static uint32_t skip_characters(const token_text *t, uint32_t k) {
  uint32_t at = 0;
  while (k-- > 0) {
    size_t length;
    utf8_at(t->s + at, t->n - at, &length);
    at += (uint32_t)length;
  }
  return at;
}

/* Tokens that are more than a prefix, by what is behind it; of the last number of characters all that are longer. */
static gale_status build_behind(builder *b, uint32_t k, bool exact, token_trie *trie, gale_error *error) {
  size_t n = 0;
  for (size_t i = 0; i < b->n; i++) {
    bool inside = b->bytes[i] == b->texts[i].n, rest = exact && k == PREFIX_MOST && b->prefix[i] >= k;
    bool wanted = rest ? !inside || b->prefix[i] > k : !inside && (exact ? b->prefix[i] == k : b->prefix[i] >= k);
    if (!wanted) continue;
    uint32_t at = rest ? skip_characters(&b->texts[i], k) : b->bytes[i];
    b->some[n++] = (token_text){b->texts[i].s + at, b->texts[i].n - at, b->texts[i].id};
  }
  return token_trie_build(b->some, n, trie, error);
}

static gale_status build_leaving(builder *b, gale_error *error) {
  size_t n = 0;
  for (size_t i = 0; i < b->n; i++)
    if (b->bytes[i] < b->texts[i].n) b->some[n++] = b->texts[i];
  return token_trie_build(b->some, n, &b->table->leaving, error);
}

static bool is_within(const token_text *t, expr_text_kind kind) {
  uint32_t n = 0, c;
  for (uint32_t at = 0; at < t->n; n++) {
    int length = utf8_decode(t->s + at, t->n - at, &c);
    if (length <= 0 || !text_kind_has(kind, c)) return false;
    at += (uint32_t)length;
  }
  return n <= MOST_WITHIN;
}

static gale_status build_kind(builder *b, expr_text_kind kind, gale_error *error) {
  gale_mask_table *t = b->table;
  t->within[kind] = calloc(t->words, sizeof **t->within);
  if (!t->within[kind]) return error_memory(error, t->words * sizeof **t->within);
  size_t n = 0;
  for (size_t i = 0; i < b->n; i++)
    if (is_within(&b->texts[i], kind))
      t->within[kind][b->texts[i].id / 32] |= UINT32_C(1) << (b->texts[i].id % 32);
    else
      b->some[n++] = b->texts[i];
  return token_trie_build(b->some, n, &t->beyond[kind], error);
}

static gale_status build_starting(builder *b, gale_error *error) {
  const gale_tokenizer *t = b->table->tokenizer;
  size_t n = 0;
  for (size_t i = 0; i < b->n; i++) {
    token_text text = b->texts[i];
    if (*text.s == ' ' && t->types[text.id] != TOKEN_BYTE) {
      text.s++;
      text.n--;
    }
    b->some[n++] = text;
  }
  b->table->drops_space = true;
  return token_trie_build(b->some, n, &b->table->starting, error);
}

static gale_status build(builder *b, gale_error *error) {
  gale_status status = list_tokens(b, error);
  if (!status) status = build_inside(b, error);
  for (uint32_t k = 0; k <= PREFIX_MOST && !status; k++) {
    status = build_behind(b, k, true, &b->table->exact[k], error);
    if (!status) status = build_behind(b, k, false, &b->table->from[k], error);
  }
  if (!status) status = build_leaving(b, error);
  for (int kind = 0; kind < TEXT_KINDS && !status; kind++) status = build_kind(b, (expr_text_kind)kind, error);
  if (!status && b->table->tokenizer->add_space_prefix) status = build_starting(b, error);
  if (!status) status = token_trie_build(b->texts, b->n, &b->table->all, error); /* this sorts texts: it comes last */
  return status;
}

gale_status gale_mask_table_open(const gale_tokenizer *tokenizer, gale_mask_table **table, gale_error *error) {
  gale_mask_table *t = calloc(1, sizeof *t);
  if (!t) return error_memory(error, sizeof *t);
  t->tokenizer = tokenizer;
  t->words = ((size_t)gale_tokenizer_size(tokenizer) + 31) / 32;
  builder b = {.table = t};
  gale_status status = build(&b, error);
  free(b.texts);
  free(b.some);
  free(b.prefix);
  free(b.bytes);
  if (status)
    gale_mask_table_close(&t);
  else
    *table = t;
  return status;
}

void gale_mask_table_close(gale_mask_table **table) {
  if (!table || !*table) return;
  gale_mask_table *t = *table;
  for (int k = 0; k <= PREFIX_MOST; k++) {
    token_trie_free(&t->exact[k]);
    token_trie_free(&t->from[k]);
  }
  for (int k = 0; k <= PREFIX_MOST + 1; k++) free(t->inside[k]);
  token_trie_free(&t->all);
  for (int kind = 0; kind < TEXT_KINDS; kind++) {
    free(t->within[kind]);
    token_trie_free(&t->beyond[kind]);
  }
  token_trie_free(&t->leaving);
  token_trie_free(&t->starting);
  free(t->ends);
  free(t);
  *table = NULL;
}

size_t gale_mask_table_words(const gale_mask_table *table) {
  return table->words;
}
