/* The tables that the encoder works with, built once from a checked vocabulary. */
#include <stdlib.h>

#include "base/utf8.h"
#include "tokenizer/built.h"

/* ---- Merges ---- */

/* The symbol of a text; *special: a token that text is cut at before it could merge. */
static uint32_t symbol_of(const gale_tokenizer *t, const char *s, size_t n, bool *special) {
  uint32_t symbol = lookup_find(&t->words, s, n);
  if (symbol < t->n_tokens) return symbol;
  symbol = find_sorted(t->user, t->n_user, &t->plain, s, n);
  if (symbol == SYMBOL_NONE) symbol = find_sorted(t->control, t->n_control, &t->stored, s, n);
  *special |= symbol != SYMBOL_NONE;
  return symbol;
}

static gale_status add_listed_merge(gale_tokenizer *t, const vocabulary *v, size_t i, char *plain, gale_error *error) {
  const char *text = v->merges[i];
  size_t n = v->merge_lengths[i];
  const char *space = n > 1 ? memchr(text + 1, ' ', n - 1) : NULL;
  if (!space || space + 1 == text + n)
    return error_set(error, GALE_E_FORMAT, "%s: merge %zu is \"%.*s\"; two tokens with a space between are accepted",
                     v->source, i, (int)(n < 64 ? n : 64), text);
  size_t n_left = plain_text(t->kind, text, (size_t)(space - text), plain);
  size_t n_right = plain_text(t->kind, space + 1, (size_t)(text + n - space - 1), plain + n_left);
  bool special = false;
  merge pair = {.left = symbol_of(t, plain, n_left, &special),
                .right = symbol_of(t, plain + n_left, n_right, &special),
                .rank = (uint32_t)i,
                .symbol = symbol_of(t, plain, n_left + n_right, &special)};
  if (pair.left == SYMBOL_NONE || pair.right == SYMBOL_NONE || pair.symbol == SYMBOL_NONE)
    return error_set(error, GALE_E_FORMAT, "%s: merge %zu, \"%.*s\", names or makes a token that the vocabulary lacks",
                     v->source, i, (int)(n < 64 ? n : 64), text);
  if (!special) merge_table_add(&t->merges, pair);
  return GALE_OK;
}

static gale_status listed_merges(gale_tokenizer *t, const vocabulary *v, gale_error *error) {
  size_t longest = 0;
  for (size_t i = 0; i < v->n_merges; i++)
    if (v->merge_lengths[i] > longest) longest = v->merge_lengths[i];
  char *plain = malloc(longest + 1);
  if (!plain || !merge_table_create(&t->merges, &t->memory, &t->key, v->n_merges)) {
    free(plain);
    return error_memory(error, v->n_merges * 2 * sizeof(merge));
  }
  gale_status status = GALE_OK;
  for (size_t i = 0; i < v->n_merges && !status; i++) status = add_listed_merge(t, v, i, plain, error);
  free(plain);
  return status;
}

static int compare_scores(const void *a, const void *b, void *scores) {
  float x = ((const float *)scores)[*(const uint32_t *)a], y = ((const float *)scores)[*(const uint32_t *)b];
  return (x < y) - (x > y);
}

/* rank[id] of each token by its id, or by its score: the best is 0, equal scores share a rank. */
static uint32_t *token_ranks(const vocabulary *v) {
  uint32_t *order = malloc(v->n_tokens * sizeof *order), *rank = calloc(v->n_tokens, sizeof *rank);
  if (v->merge_by_id) {
    for (size_t i = 0; rank && i < v->n_tokens; i++) rank[i] = (uint32_t)i;
    free(order);
    return rank;
  }
  if (order && rank) {
    for (size_t i = 0; i < v->n_tokens; i++) order[i] = (uint32_t)i;
    qsort_r(order, v->n_tokens, sizeof *order, compare_scores, (void *)v->scores);
    uint32_t r = 0;
    for (size_t i = 0; i < v->n_tokens; i++) {
      if (i > 0 && v->scores[order[i]] < v->scores[order[i - 1]]) r++;
      rank[order[i]] = r;
    }
  } else {
    free(rank);
    rank = NULL;
  }
  free(order);
  return rank;
}

/* Bytes of what may not be cut at s: a character in SentencePiece, a byte otherwise. */
static size_t uncut(const gale_tokenizer *t, const char *s, size_t n) {
  size_t step = 1;
  if (t->kind == VOCABULARY_SENTENCEPIECE) utf8_at(s, n, &step);
  return step;
}

typedef struct merge_list {
  merge *pairs;
  size_t n, capacity;
} merge_list;

static bool add_pair(merge_list *list, merge pair) {
  if (list->n == list->capacity) {
    size_t capacity = 2 * list->capacity + 4096;
    merge *grown = realloc(list->pairs, capacity * sizeof *grown);
    if (!grown) return false;
    list->pairs = grown;
    list->capacity = capacity;
  }
  list->pairs[list->n++] = pair;
  return true;
}

/* A place where a piece may be cut, and the hashes of what it leaves. */
typedef struct cut {
  size_t at;
  uint64_t left, right;
} cut;

/* Lists every way to cut piece `id` into two symbols; false when out of memory. The table of words is far larger than
 * the caches, and what a cut will look at is fetched while others are hashed. */
static bool cut_piece(const gale_tokenizer *t, uint32_t id, uint32_t rank, merge_list *list) {
  enum { BATCH = 16 };
  cut cuts[BATCH];
  const lookup *words = &t->words;
  size_t n;
  const char *s = texts_get(&t->plain, id, &n);
  if (n == 0 || lookup_find(words, s, n) != id) return true;
  for (size_t k = uncut(t, s, n); k < n;) {
    size_t count = 0;
    for (; count < BATCH && k < n; k += uncut(t, s + k, n - k), count++) {
      cuts[count] = (cut){k, text_hash(&words->key, s, k), text_hash(&words->key, s + k, n - k)};
      __builtin_prefetch(&words->slots[lookup_place(words, cuts[count].left)]);
      __builtin_prefetch(&words->slots[lookup_place(words, cuts[count].right)]);
    }
    for (size_t i = 0; i < count; i++) {
      size_t at = cuts[i].at;
      uint32_t left = lookup_find_hashed(words, s, at, cuts[i].left);
      if (left == SYMBOL_NONE) continue;
      uint32_t right = lookup_find_hashed(words, s + at, n - at, cuts[i].right);
      if (right != SYMBOL_NONE && !add_pair(list, (merge){left, right, rank, id})) return false;
    }
  }
  return true;
}

static bool fill_merges(gale_tokenizer *t, const merge_list *list) {
  enum { AHEAD = 8 };
  if (!merge_table_create(&t->merges, &t->memory, &t->key, list->n)) return false;
  for (size_t i = 0; i < list->n; i++) {
    const merge *later = &list->pairs[i + AHEAD < list->n ? i + AHEAD : i];
    __builtin_prefetch(&t->merges.slots[merge_place(&t->merges, later->left, later->right)], 1);
    merge_table_add(&t->merges, list->pairs[i]);
  }
  return true;
}

static gale_status possible_merges(gale_tokenizer *t, const vocabulary *v, gale_error *error) {
  merge_list list = {0};
  uint32_t *ranks = token_ranks(v);
  bool ok = ranks != NULL;
  for (uint32_t i = 0; i < t->n_tokens && ok; i++) ok = cut_piece(t, i, ranks[i], &list);
  ok = ok && fill_merges(t, &list);
  free(ranks);
  free(list.pairs);
  return ok ? GALE_OK : error_memory(error, list.n * 2 * sizeof(merge));
}

gale_status build_merges(gale_tokenizer *t, const vocabulary *v, gale_error *error) {
  bool listed = v->n_merges || (v->kind == VOCABULARY_BPE && !v->merge_by_id);
  return listed ? listed_merges(t, v, error) : possible_merges(t, v, error);
}

/* ---- Shortcuts of the encoder ---- */

static void char_pairs_add(char_pairs *p, uint32_t left, uint32_t right) {
  if ((left | right) < 128) {
    p->ascii[left][right >> 3] |= (uint8_t)(1 << (right & 7));
    return;
  }
  uint32_t bit = (uint32_t)(hash_mix(&p->key, (uint64_t)left << 32 | right) >> 40) & p->mask;
  p->bits[bit >> 6] |= UINT64_C(1) << (bit & 63);
}

bool build_pairs(gale_tokenizer *t) {
  /* Vocabularies have fewer pairs than pieces: four bits for each keep wrong answers rare. */
  size_t bits = 1 << 12;
  while (bits < 4 * (size_t)t->n_tokens && bits < 1 << 22) bits *= 2;
  t->pairs.bits = arena_array(&t->memory, bits / 64, sizeof *t->pairs.bits);
  if (!t->pairs.bits) return false;
  t->pairs.mask = (uint32_t)(bits - 1);
  t->pairs.key = t->key;
  for (uint32_t i = 0; i < t->n_tokens; i++) {
    size_t n, step;
    const char *s = texts_get(&t->plain, i, &n);
    if (!mergeable(t, i)) continue;
    uint32_t left = utf8_at(s, n, &step);
    for (size_t k = step; k < n; k += step) {
      uint32_t right = utf8_at(s + k, n - k, &step);
      char_pairs_add(&t->pairs, left, right);
      left = right;
    }
  }
  return true;
}

/* The two symbols that the last merge into an unused token joins: such a token is never written, and
 * goes back to what it was made of. */
static bool find_halves(gale_tokenizer *t, uint32_t id, const char *s, size_t n, word *w) {
  if (!encode_word_symbols(t, s, n, 2, w)) return false;
  bool made = w->n == 2 && merge_find(&t->merges, w->symbols[0], w->symbols[1])->symbol == id;
  t->halves[id][0] = made ? w->symbols[0] : SYMBOL_NONE;
  t->halves[id][1] = made ? w->symbols[1] : SYMBOL_NONE;
  return true;
}

bool build_alone(gale_tokenizer *t, bool ignore_merges) {
  word w = {0};
  bool ok = true, unused = false;
  for (uint32_t i = 0; i < t->n_tokens; i++) unused |= t->types[i] == TOKEN_UNUSED;
  t->alone = arena_alloc(&t->memory, t->n_tokens);
  t->halves = unused ? arena_array(&t->memory, t->n_tokens, sizeof *t->halves) : NULL;
  if (!t->alone || (unused && !t->halves)) return false;
  for (uint32_t i = 0; i < t->n_tokens && ok; i++) {
    size_t n;
    const char *s = texts_get(&t->plain, i, &n);
    if (!mergeable(t, i)) continue;
    if (t->halves && t->types[i] == TOKEN_UNUSED) {
      ok = find_halves(t, i, s, n, &w);
    } else if (lookup_find(&t->words, s, n) == i) {
      ok = ignore_merges || encode_word_symbols(t, s, n, 1, &w);
      t->alone[i] = ignore_merges || (ok && w.n == 1 && w.symbols[0] == i);
    }
  }
  word_free(&w);
  return ok;
}
