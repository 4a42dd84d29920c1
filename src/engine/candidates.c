#include "engine/candidates.h"

#include "base/error.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIGIT = 11, MASS_BUCKETS = 1 << DIGIT };

size_t sampler_scratch_bytes(int32_t vocab_size) {
  size_t n = (size_t)vocab_size, blocks = scan_blocks(n);
  return sizeof(sampler_scratch) + (MASS_BUCKETS + n + blocks) * sizeof(uint64_t) + (2 * n + blocks) * sizeof(float) +
         n * sizeof(int32_t);
}

gale_status sampler_scratch_open(int32_t vocab_size, sampler_scratch **scratch, gale_error *error) {
  if (vocab_size < 1) return error_set(error, GALE_E_ARGUMENT, "vocab_size is %d: 1 or more is accepted", vocab_size);
  size_t n = (size_t)vocab_size, blocks = scan_blocks(n);
  sampler_scratch *c = malloc(sampler_scratch_bytes(vocab_size));
  if (!c) return error_memory(error, sampler_scratch_bytes(vocab_size));
  *c = (sampler_scratch){.scan = scan_detect(), .vocab_size = vocab_size};
  c->mass = (uint64_t *)(void *)(c + 1);
  c->weight = c->mass + MASS_BUCKETS;
  c->sums = c->weight + n;
  c->row = (float *)(void *)(c->sums + blocks);
  c->logit = c->row + n;
  c->maxima = c->logit + n;
  c->token = (int32_t *)(void *)(c->maxima + blocks);
  *scratch = c;
  return GALE_OK;
}

void sampler_scratch_close(sampler_scratch **scratch) {
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
  float *heap = c->logit; /* which belongs to candidates that are yet to be taken */
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
  c->n = 0;
  if (floor < -DBL_MAX) floor = -DBL_MAX;
  for (size_t b = 0; b < scan_blocks(n); b++) {
    if (!((double)c->maxima[b] >= floor)) continue;
    size_t first = b * SCAN_BLOCK, end = n - first < SCAN_BLOCK ? n : first + SCAN_BLOCK;
    for (size_t i = first; i < end; i++) {
      /* Without a branch: a candidate that is none is written over by the next. */
      c->logit[c->n] = row[i];
      c->token[c->n] = (int32_t)i;
      c->n += (double)row[i] >= floor && row[i] <= c->maxima[b];
    }
  }
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

/* What candidates are ordered by, ascending: 64 bits of which the lowest `unused` are 0. */
typedef struct order {
  enum { BY_RANK, BY_DISTANCE } kind;
  int unused;
  double expected; /* BY_DISTANCE: to it, of (logit - top) * scale */
} order;

static uint64_t key_of(const sampler_scratch *c, const order *o, size_t i) {
  if (o->kind == BY_DISTANCE) {
    double x = ((double)c->logit[i] - c->by.top) * c->by.scale, distance = fabs(x - o->expected);
    uint64_t bits;
    memcpy(&bits, &distance, sizeof bits);
    return bits;
  }
  float logit = c->logit[i] + 0.0f; /* -0 is equal to 0 */
  uint32_t bits;
  memcpy(&bits, &logit, sizeof bits);
  uint32_t descending = bits >> 31 ? bits : ~bits & 0x7FFFFFFFu;
  return (uint64_t)descending << 32;
}

/* Keeps as few of the first candidates in an order as hold at least `target` of the mass: of their weights, or of 1 for
 * each. Of equal keys the smaller token comes first. The key of the last one is found digit by digit from above, with
 * the mass of each value of a digit. target is in [1, the mass of all]. */
static void keep_first(sampler_scratch *c, const order *o, bool by_weight, uint64_t target) {
  uint64_t prefix = 0, before = 0;
  for (int shift = 64; shift > o->unused;) {
    int low = shift > DIGIT + o->unused ? shift - DIGIT : o->unused;
    uint64_t known = shift == 64 ? 0 : ~(uint64_t)0 << shift, values = (uint64_t)1 << (shift - low);
    memset(c->mass, 0, values * sizeof *c->mass);
    for (size_t i = 0; i < c->n; i++) {
      uint64_t key = key_of(c, o, i);
      if ((key & known) == prefix) c->mass[key >> low & (values - 1)] += by_weight ? c->weight[i] : 1;
    }
    uint64_t digit = 0;
    while (digit + 1 < values && before + c->mass[digit] < target) before += c->mass[digit++];
    prefix |= digit << low;
    shift = low;
  }
  size_t kept = 0;
  for (size_t i = 0; i < c->n; i++) {
    uint64_t key = key_of(c, o, i);
    if (key > prefix || (key == prefix && before >= target)) continue;
    if (key == prefix) before += by_weight ? c->weight[i] : 1;
    move(c, i, kept++);
  }
  set_kept(c, kept);
}

static const order by_rank = {.kind = BY_RANK, .unused = 32};

void candidates_keep_best(sampler_scratch *c, size_t k) {
  if (k < c->n) keep_first(c, &by_rank, false, k);
}

/* The least whole number that is at least share of total. */
static uint64_t part_of(uint64_t total, double share) {
  double part = ceil(share * (double)total);
  return part < 1 ? 1 : part >= (double)total ? total : (uint64_t)part;
}

void candidates_keep_share(sampler_scratch *c, double share, uint64_t total) {
  uint64_t target = part_of(total, share);
  if (target < c->total) keep_first(c, &by_rank, true, target);
}

void candidates_keep_typical(sampler_scratch *c, double share) {
  double sum = 0;
  for (size_t i = 0; i < c->n; i++) sum += (double)c->weight[i] * (((double)c->logit[i] - c->by.top) * c->by.scale);
  order o = {.kind = BY_DISTANCE, .expected = sum / (double)c->total};
  uint64_t target = part_of(c->total, share);
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
  double floor = threshold * (double)c->total;
  size_t last = c->n; /* in rank, of those at or above the threshold */
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
