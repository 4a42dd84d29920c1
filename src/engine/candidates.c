#include "engine/candidates.h"

#include "base/error.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MASS_BUCKETS = 2048 };

size_t sampler_scratch_bytes(int32_t vocab_size) {
  size_t n = (size_t)vocab_size, blocks = scan_blocks(n);
  return sizeof(sampler_scratch) + (MASS_BUCKETS + n + blocks) * sizeof(uint64_t) + (2 * n + blocks) * sizeof(float) +
         2 * n * sizeof(int32_t);
}

gale_status sampler_scratch_open(int32_t vocab_size, const char *isa, sampler_scratch **scratch, gale_error *error) {
  if (vocab_size < 1) return error_set(error, GALE_E_ARGUMENT, "vocab_size is %d: 1 or more is accepted", vocab_size);
  size_t n = (size_t)vocab_size, blocks = scan_blocks(n);
  sampler_scratch *c = calloc(1, sampler_scratch_bytes(vocab_size));
  if (!c) return error_memory(error, sampler_scratch_bytes(vocab_size));
  *c = (sampler_scratch){.scan = scan_find(isa), .vocab_size = vocab_size};
  c->mass = (uint64_t *)(void *)(c + 1);
  c->weight = c->mass + MASS_BUCKETS;
  c->sums = c->weight + n;
  c->row = (float *)(void *)(c->sums + blocks);
  c->logit = c->row + n;
  c->maxima = c->logit + n;
  c->token = (int32_t *)(void *)(c->maxima + blocks);
  c->active = c->token + n;
  *scratch = c;
  return GALE_OK;
}

uint32_t *sampler_scratch_mask(sampler_scratch *scratch, size_t words) {
  if (words > scratch->mask_words) {
    uint32_t *mask = realloc(scratch->mask, words * sizeof *mask);
    if (!mask) return NULL;
    scratch->mask = mask;
    scratch->mask_words = words;
  }
  return scratch->mask;
}

void sampler_scratch_close(sampler_scratch **scratch) {
  if (*scratch) free((*scratch)->mask);
  free(*scratch);
  *scratch = NULL;
}

/* ---- From a row ---- */

void candidates_look(sampler_scratch *c, const float *row, size_t n, float *top) {
  c->scan->maxima(row, n, c->maxima);
  float most = -INFINITY;
  for (size_t b = 0; b < scan_blocks(n); b++) most = c->maxima[b] > most ? c->maxima[b] : most;
  *top = most;
}

int32_t candidates_first(const sampler_scratch *c, const float *row, size_t n, float top) {
  size_t b = 0;
  while (c->maxima[b] != top) b++;
  size_t i = b * SCAN_BLOCK;
  while (i + 1 < n && row[i] != top) i++;
  return (int32_t)i;
}

/* Lets heap[i] sink to its place in a heap of n with the least on top. */
static void sink(float *heap, size_t n, size_t i) {
  for (;;) {
    size_t least = i, left = 2 * i + 1, right = left + 1;
    if (left < n && heap[left] < heap[least]) least = left;
    if (right < n && heap[right] < heap[least]) least = right;
    if (least == i) return;
    float swap = heap[i];
    heap[i] = heap[least];
    heap[least] = swap;
    i = least;
  }
}

/* Each block has a maximum, and k tokens reach the k-th largest of these. */
float candidates_reached_by(sampler_scratch *c, size_t n, size_t k) {
  size_t blocks = scan_blocks(n);
  if (k == 0 || k > blocks) return -INFINITY;
  float *heap = c->logit; /* free until candidates are taken */
  memcpy(heap, c->maxima, k * sizeof *heap);
  for (size_t i = k / 2; i-- > 0;) sink(heap, k, i);
  for (size_t b = k; b < blocks; b++) {
    if (!(c->maxima[b] > heap[0])) continue;
    heap[0] = c->maxima[b];
    sink(heap, k, 0);
  }
  return heap[0];
}

void candidates_take(sampler_scratch *c, const float *row, size_t n, double floor) {
  size_t taken = 0;
  float *logit = c->logit;
  int32_t *token = c->token;
  if (floor < -DBL_MAX) floor = -DBL_MAX;
  for (size_t b = 0; b < scan_blocks(n); b++) {
    float most = c->maxima[b];
    if (!((double)most >= floor)) continue;
    size_t first = b * SCAN_BLOCK, end = n - first < SCAN_BLOCK ? n : first + SCAN_BLOCK;
    for (size_t i = first; i < end; i++) {
      /* Without a branch: one that is no candidate is written over by the next. */
      logit[taken] = row[i];
      token[taken] = (int32_t)i;
      taken += ((double)row[i] >= floor) & (row[i] <= most);
    }
  }
  c->n = taken;
}

void candidates_weigh(sampler_scratch *c) {
  c->scan->weights(c->logit, c->n, &c->by, c->weight);
  c->total = 0;
  for (size_t i = 0; i < c->n; i++) c->total += c->weight[i];
}

/* ---- Fewer ---- */

static void move(sampler_scratch *c, size_t from, size_t to) {
  c->logit[to] = c->logit[from];
  c->token[to] = c->token[from];
  c->weight[to] = c->weight[from];
}

static void set_kept(sampler_scratch *c, size_t n) {
  c->n = n;
  c->total = 0;
  for (size_t i = 0; i < n; i++) c->total += c->weight[i];
}

/* What candidates are ordered by, ascending: minus their logit, or how far (logit - top) * scale is from `expected`. */
typedef struct order {
  enum { BY_RANK, BY_DISTANCE } kind;
  double expected;
} order;

static double key_of(const sampler_scratch *c, const order *o, size_t i) {
  if (o->kind == BY_RANK) return -(double)c->logit[i];
  return fabs(((double)c->logit[i] - c->by.top) * c->by.scale - o->expected);
}

/* A range of keys in buckets of equal width; `key` is in bucket (key - low) * per_key. */
typedef struct buckets {
  double low, high, per_key;
} buckets;

/* The range of n active candidates. */
static buckets spread(const sampler_scratch *c, const order *o, size_t n) {
  buckets b = {INFINITY, -INFINITY, 0};
  for (size_t i = 0; i < n; i++) {
    double key = key_of(c, o, (size_t)c->active[i]);
    b.low = key < b.low ? key : b.low;
    b.high = key > b.high ? key : b.high;
  }
  b.per_key = (MASS_BUCKETS - 1) / (b.high - b.low);
  return b;
}

static size_t bucket_of(const buckets *b, double key) {
  size_t i = (size_t)((key - b->low) * b->per_key);
  return i < MASS_BUCKETS ? i : MASS_BUCKETS - 1;
}

/* The key of the candidate with which the mass of the first ones in an order reaches `target`: their weights, or 1 for
 * each. *before becomes the mass of those with smaller keys. What is left to look at is the one bucket in which the
 * target is reached, then one of the buckets into which that is divided, and so on until all its keys are equal: the
 * lowest and the highest never share one, and so it takes few rounds. */
static double key_that_reaches(sampler_scratch *c, const order *o, bool by_weight, uint64_t target, uint64_t *before) {
  size_t n = c->n;
  *before = 0;
  for (size_t i = 0; i < n; i++) c->active[i] = (int32_t)i;
  for (;;) {
    buckets b = spread(c, o, n);
    if (b.low == b.high) return b.low;
    memset(c->mass, 0, MASS_BUCKETS * sizeof *c->mass);
    for (size_t i = 0; i < n; i++) {
      size_t at = (size_t)c->active[i];
      c->mass[bucket_of(&b, key_of(c, o, at))] += by_weight ? c->weight[at] : 1;
    }
    size_t wanted = 0, left = 0;
    while (wanted + 1 < MASS_BUCKETS && *before + c->mass[wanted] < target) *before += c->mass[wanted++];
    for (size_t i = 0; i < n; i++) {
      int32_t at = c->active[i];
      c->active[left] = at;
      left += bucket_of(&b, key_of(c, o, (size_t)at)) == wanted;
    }
    n = left;
  }
}

/* Keeps as few of the first candidates in an order as hold at least `target` of the mass, which is in [1, the mass of
 * all]. Of equal keys the smaller token comes first. */
static void keep_first(sampler_scratch *c, const order *o, bool by_weight, uint64_t target) {
  uint64_t mass;
  double last = key_that_reaches(c, o, by_weight, target, &mass);
  size_t kept = 0;
  for (size_t i = 0; i < c->n; i++) {
    double key = key_of(c, o, i);
    bool equal = key == last && mass < target;
    if (equal) mass += by_weight ? c->weight[i] : 1;
    move(c, i, kept);
    kept += key < last || equal;
  }
  set_kept(c, kept);
}

static const order by_rank = {.kind = BY_RANK};

void candidates_keep_best(sampler_scratch *c, size_t k) {
  if (k < c->n) keep_first(c, &by_rank, false, k);
}

uint64_t candidates_share(uint64_t total, double share) {
  double wanted = ceil(share * (double)total);
  return wanted < 1 ? 1 : wanted >= (double)total ? total : (uint64_t)wanted;
}

void candidates_keep_weight(sampler_scratch *c, uint64_t target) {
  if (target < c->total) keep_first(c, &by_rank, true, target);
}

void candidates_keep_typical(sampler_scratch *c, double share) {
  double sum = 0;
  for (size_t i = 0; i < c->n; i++) sum += (double)c->weight[i] * (((double)c->logit[i] - c->by.top) * c->by.scale);
  order o = {.kind = BY_DISTANCE, .expected = sum / (double)c->total};
  uint64_t target = candidates_share(c->total, share);
  if (target < c->total) keep_first(c, &o, true, target);
}

static uint64_t largest_weight(const sampler_scratch *c) {
  uint64_t most = 0;
  for (size_t i = 0; i < c->n; i++) most = c->weight[i] > most ? c->weight[i] : most;
  return most;
}

void candidates_keep_above(sampler_scratch *c, double least) {
  double floor = least * (double)largest_weight(c);
  size_t kept = 0;
  for (size_t i = 0; i < c->n; i++)
    if ((double)c->weight[i] >= floor) move(c, i, kept++);
  set_kept(c, kept);
}

void candidates_drop_top(sampler_scratch *c, double threshold) {
  double floor = fmax(threshold * (double)c->total, 1); /* what weighs nothing is no candidate */
  size_t last = c->n;                                   /* in rank, of those at or above the threshold */
  for (size_t i = 0; i < c->n; i++)
    if ((double)c->weight[i] >= floor && (last == c->n || c->logit[i] <= c->logit[last])) last = i;
  size_t kept = 0;
  for (size_t i = 0; i < c->n; i++)
    if ((double)c->weight[i] < floor || i == last) move(c, i, kept++);
  set_kept(c, kept);
}

/* ---- Drawing ---- */

/* floor(a * b / 2^64). */
static uint64_t multiply_high(uint64_t a, uint64_t b) {
  uint64_t a1 = a >> 32, a0 = a & UINT32_MAX, b1 = b >> 32, b0 = b & UINT32_MAX;
  uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
  return a1 * b1 + (middle >> 32) + ((a0 * b1 + (middle & UINT32_MAX)) >> 32);
}

/* The number of the weight that holds the point. */
static size_t find(const uint64_t *weight, uint64_t point) {
  size_t i = 0;
  while (point >= weight[i]) point -= weight[i++];
  return i;
}

int32_t candidates_draw(const sampler_scratch *c, uint64_t random) {
  return c->token[find(c->weight, multiply_high(random, c->total))];
}

int32_t candidates_draw_row(sampler_scratch *c, const float *row, size_t n, uint64_t random) {
  uint64_t point = multiply_high(random, c->total);
  size_t b = 0;
  while (point >= c->sums[b]) point -= c->sums[b++];
  size_t first = b * SCAN_BLOCK;
  c->scan->weights(row + first, n - first < SCAN_BLOCK ? n - first : SCAN_BLOCK, &c->by, c->weight);
  return (int32_t)(first + find(c->weight, point));
}
