#include "tokenizer/merges.h"

#include <stdlib.h>

/* Words up to this long are scanned for their best pair, which beats a heap there. */
enum { SHORT_WORD = 48 };

bool merge_table_create(merge_table *m, arena *memory, const text_key *key, size_t n) {
  size_t slots = 16;
  int shift = 60;
  for (; slots < 2 * n; slots *= 2) shift--;
  if (slots > UINT32_MAX / 2) return false;
  *m = (merge_table){.key = *key,
                     .mask = (uint32_t)(slots - 1),
                     .shift = shift,
                     .slots = arena_array(memory, slots, sizeof *m->slots)};
  if (!m->slots) return false;
  memset(m->slots, 0xFF, slots * sizeof *m->slots);
  return true;
}

void merge_table_add(merge_table *m, merge pair) {
  merge *slot = &m->slots[merge_find(m, pair.left, pair.right) - m->slots];
  if (slot->rank == RANK_NONE) *slot = pair;
}

bool word_reserve(word *w, size_t n) {
  if (n <= w->capacity) return true;
  if (n < 2 * w->capacity) n = 2 * w->capacity;
  uint32_t *symbols = realloc(w->symbols, n * sizeof *symbols);
  if (!symbols) return false;
  w->symbols = symbols;
  uint32_t *at = realloc(w->at, n * sizeof *at);
  if (!at) return false;
  w->at = at;
  w->capacity = n;
  return true;
}

void word_free(word *w) {
  free(w->symbols);
  free(w->at);
  free(w->ranks);
  free(w->next);
  free(w->previous);
  free(w->heap);
  *w = (word){0};
}

static void merge_short(word *w, const merge_table *m, size_t least) {
  uint32_t rank[SHORT_WORD], joined[SHORT_WORD];
  uint32_t *symbols = w->symbols, *at = w->at;
  size_t n = w->n;
  for (size_t i = 0; i + 1 < n; i++) {
    const merge *pair = merge_find(m, symbols[i], symbols[i + 1]);
    rank[i] = pair->rank;
    joined[i] = pair->symbol;
  }
  while (n > 1 && n > least) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; i++)
      if (rank[i] < rank[best]) best = i;
    if (rank[best] == RANK_NONE) break;
    symbols[best] = joined[best];
    n--;
    for (size_t i = best + 1; i < n; i++) {
      symbols[i] = symbols[i + 1];
      at[i] = at[i + 1];
      rank[i - 1] = rank[i];
      joined[i - 1] = joined[i];
    }
    for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
      const merge *pair = merge_find(m, symbols[i], symbols[i + 1]);
      rank[i] = pair->rank;
      joined[i] = pair->symbol;
    }
  }
  w->n = n;
}

static bool reserve_scratch(word *w, size_t n) {
  if (n <= w->scratch) return true;
  uint32_t **arrays[3] = {&w->ranks, &w->next, &w->previous};
  w->scratch = 0;
  for (int i = 0; i < 3; i++) {
    free(*arrays[i]);
    *arrays[i] = malloc(n * sizeof **arrays[i]);
    if (!*arrays[i]) return false;
  }
  /* A merge takes one entry out and puts at most two in, so n - 1 first entries never exceed 2 n. */
  free(w->heap);
  w->heap = malloc(2 * n * sizeof *w->heap);
  if (!w->heap) return false;
  w->scratch = n;
  return true;
}

static void sift_down(uint64_t *heap, size_t n, size_t i) {
  uint64_t moving = heap[i];
  for (size_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= moving) break;
    heap[i] = heap[child];
  }
  heap[i] = moving;
}

static void heap_push(uint64_t *heap, size_t *n, uint64_t key) {
  size_t i = (*n)++;
  for (size_t parent; i > 0 && heap[parent = (i - 1) / 2] > key; i = parent) heap[i] = heap[parent];
  heap[i] = key;
}

/* Looks the pair at i up again and, if it can merge, queues it by rank and then place. */
static void queue_pair(word *w, const merge_table *m, uint32_t i, size_t *n_heap) {
  uint32_t right = w->next[i];
  w->ranks[i] = right < w->n ? merge_find(m, w->symbols[i], w->symbols[right])->rank : RANK_NONE;
  if (w->ranks[i] != RANK_NONE) heap_push(w->heap, n_heap, (uint64_t)w->ranks[i] << 32 | i);
}

static void merge_long(word *w, const merge_table *m, size_t least) {
  uint32_t n = (uint32_t)w->n;
  size_t left = n;
  size_t n_heap = 0;
  for (uint32_t i = 0; i < n; i++) {
    w->next[i] = i + 1;
    w->previous[i] = i - 1;
    w->ranks[i] = i + 1 < n ? merge_find(m, w->symbols[i], w->symbols[i + 1])->rank : RANK_NONE;
    if (w->ranks[i] != RANK_NONE) w->heap[n_heap++] = (uint64_t)w->ranks[i] << 32 | i;
  }
  for (size_t i = n_heap / 2; i-- > 0;) sift_down(w->heap, n_heap, i);
  while (n_heap > 0 && left > least) {
    uint64_t key = w->heap[0];
    w->heap[0] = w->heap[--n_heap];
    if (n_heap > 0) sift_down(w->heap, n_heap, 0);
    uint32_t i = (uint32_t)key;
    /* An entry whose pair has changed since is stale; its place has a newer one, or none. */
    if (w->ranks[i] != (uint32_t)(key >> 32)) continue;
    uint32_t right = w->next[i], behind = w->next[right];
    w->symbols[i] = merge_find(m, w->symbols[i], w->symbols[right])->symbol;
    w->ranks[right] = RANK_NONE;
    w->next[i] = behind;
    if (behind < n) w->previous[behind] = i;
    left--;
    queue_pair(w, m, i, &n_heap);
    if (i > 0) queue_pair(w, m, w->previous[i], &n_heap);
  }
  size_t kept = 0;
  for (uint32_t i = 0; i < n; i = w->next[i], kept++) {
    w->symbols[kept] = w->symbols[i];
    w->at[kept] = w->at[i];
  }
  w->n = kept;
}

bool word_merge(word *w, const merge_table *m, size_t least) {
  if (w->n <= SHORT_WORD) {
    merge_short(w, m, least);
    return true;
  }
  if (!reserve_scratch(w, w->n)) return false;
  merge_long(w, m, least);
  return true;
}
