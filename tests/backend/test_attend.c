/* How attention is cut into items, and what comes out on several workers against blocks that are computed by the
 * portable kernel and folded one after another, by spans. */
#include "backend/cpu/attend_plan.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/portable/math.h"
#include "op_buffers.h"

#include <stdlib.h>

enum { MOST_TABLES = 48, MOST_TOKENS = 640 };

/* A step's tokens, and the layout and window of what they see. */
typedef struct step {
  int32_t token[MOST_TOKENS], position[MOST_TOKENS], table[MOST_TOKENS];
  be_batch batch;
  kv_view kv;
  int n_tables;
  int32_t longest;
} step;

static void *room(size_t bytes) {
  void *p = calloc(1, bytes ? bytes : 1);
  assert_non_null(p);
  return p;
}

static step *step_new(gale_kv_type type, int n_kv, int head_dim, int window) {
  step *s = room(sizeof *s);
  s->kv = (kv_view){.layout = kv_layout_make(type, n_kv, head_dim), .window = window};
  s->batch = (be_batch){.token = s->token, .position = s->position, .table = s->table};
  return s;
}

/* A sequence of which n tokens come after `depth` positions. */
static void add_sequence(step *s, int32_t depth, int n) {
  assert_true(s->batch.n_tokens + n <= MOST_TOKENS && s->n_tables < MOST_TABLES);
  for (int i = 0; i < n; i++) {
    s->position[s->batch.n_tokens] = depth + i;
    s->table[s->batch.n_tokens++] = s->n_tables;
  }
  s->n_tables++;
  if (depth + n > s->longest) s->longest = depth + n;
}

/* ---- Items ---- */

/* Work is measured in queries and blocks; reading a block counts as 8 queries. */
static double work_of(const step *s, const attend_tile *t, int n_heads, int64_t blocks) {
  return (double)blocks * (double)((t->end - t->first) * (n_heads / s->kv.layout.n_kv_heads) + 8);
}

typedef struct cut {
  double total, largest, busiest; /* busiest: worker, where whoever is free takes the next item */
} cut;

/* Follows the plan, checks that every block that a token sees is in one item, and that partial results and folds are
 * numbered without gaps. */
static cut follow(const step *s, int n_heads, int threads, int64_t most_partials) {
  attend_plan p = attend_plan_make(&s->batch, &s->kv, n_heads, threads, most_partials);
  int n_kv = s->kv.layout.n_kv_heads;
  int64_t items = 0, folds = 0, partials = 0, tokens = s->batch.n_tokens;
  double busy[64] = {0};
  cut c = {0};
  assert_in_range(threads, 1, 64);
  for (attend_tile t = attend_first_tile(&p); t.end > 0; attend_next_tile(&p, &t)) {
    assert_int_equal(t.end, tokens);
    assert_int_equal(t.item, items);
    for (tokens--; tokens > t.first; tokens--) assert_int_equal(s->table[tokens], s->table[tokens - 1]);
    assert_int_equal(t.block, kv_first_seen(&s->kv, s->position[t.first]) / KV_BLOCK);
    assert_int_equal(t.block + t.n_blocks - 1, s->position[t.end - 1] / KV_BLOCK);
    assert_in_range(t.run, 1, t.n_blocks);
    if (attend_is_divided(&t)) {
      assert_int_equal(t.fold, folds);
      assert_int_equal(t.partial, partials);
      folds += n_kv;
      partials += attend_tile_partials(&p, &t);
    }
    for (int32_t block = 0; block < t.n_blocks; block += t.run)
      for (int head = 0; head < n_kv; head++, items++) {
        double work = work_of(s, &t, n_heads, t.n_blocks - block < t.run ? t.n_blocks - block : t.run);
        int next = 0;
        for (int w = 1; w < threads; w++) next = busy[w] < busy[next] ? w : next;
        busy[next] += work;
        c.total += work;
        c.largest = work > c.largest ? work : c.largest;
      }
  }
  assert_int_equal(tokens, 0);
  assert_int_equal(p.n_items, items);
  assert_int_equal(p.n_folds, folds);
  assert_true(partials <= most_partials);
  for (int w = 0; w < threads; w++) c.busiest = busy[w] > c.busiest ? busy[w] : c.busiest;
  return c;
}

/* What the busiest worker does is at most `most` times an even share. */
static void expect_even(const step *s, int n_heads, int threads, int64_t most_partials, double most) {
  cut c = follow(s, n_heads, threads, most_partials);
  if (c.busiest * threads > most * c.total)
    fail_msg("%d tokens on %d threads: the busiest has %.3f of an even share", s->batch.n_tokens, threads,
             c.busiest * threads / c.total);
}

static void test_even(void **state) {
  (void)state;
  static const int threads[] = {2, 3, 8, 16};
  for (int i = 0; i < 4; i++) {
    int n = threads[i];
    int64_t partials = 8 * 32 * 128; /* of a context of 32,768 */
    step *uneven = step_new(GALE_KV_F16, 8, 128, 0), *one_long = step_new(GALE_KV_F16, 8, 128, 0);
    step *prompt = step_new(GALE_KV_F16, 8, 128, 0), *mixed = step_new(GALE_KV_F16, 1, 128, 4096);
    for (int k = 0; k < 32; k++) add_sequence(uneven, 64 + (8192 - 64) * (k * 13 % 32) / 31, 1);
    for (int k = 0; k < 12; k++) add_sequence(one_long, k == 5 ? 30000 : 100, 1);
    add_sequence(prompt, 8192, 512);
    for (int k = 0; k < 9; k++) add_sequence(mixed, 700 * k, k == 4 ? 256 : 1);
    expect_even(uneven, 32, n, partials, 1.05);
    expect_even(one_long, 32, n, partials, 1.1);
    expect_even(prompt, 32, n, partials, 1.1);
    expect_even(mixed, 8, n, partials, 1.1);
    free(uneven);
    free(one_long);
    free(prompt);
    free(mixed);
  }
}

static void add_random(step *s, uint64_t *seed, int sequences, int32_t context) {
  for (int i = 0; i < sequences; i++) {
    int n = random_below(seed, 3) ? 1 : random_below(seed, 40) + 1;
    add_sequence(s, random_below(seed, context - n), n);
  }
}

static void test_cover(void **state) {
  (void)state;
  uint64_t seed = 5;
  for (int i = 0; i < 300; i++) {
    int n_kv = 1 << random_below(&seed, 4), group = random_below(&seed, 9) == 0 ? 71 : random_below(&seed, 8) + 1;
    step *s = step_new(GALE_KV_F16, n_kv, 64, random_below(&seed, 2) ? random_below(&seed, 3000) + 1 : 0);
    add_random(s, &seed, random_below(&seed, 12) + 1, random_below(&seed, 20000) + 50);
    follow(s, n_kv * group, random_below(&seed, 64) + 1, random_below(&seed, 5000));
    free(s);
  }
}

/* ---- Results ---- */

typedef struct run_of {
  step *s;
  const be_ops *be;
  int n_heads;
  float *q, scale, cap;
  be_act out;
} run_of;

/* Pages of small positive numbers in every type of cache, one after the other in each table. */
static void fill_pages(step *s, uint64_t *seed) {
  s->kv.n_slots = s->longest / KV_PAGE + 1;
  s->kv.page_bytes = s->kv.layout.layer_bytes;
  size_t pages = (size_t)s->n_tables * (size_t)s->kv.n_slots, bytes = pages * s->kv.page_bytes;
  int32_t *tables = room(pages * sizeof *tables);
  for (size_t i = 0; i < pages; i++) tables[i] = (int32_t)i;
  s->kv.tables = tables;
  s->kv.pool = aligned_alloc(64, (bytes + 63) / 64 * 64);
  assert_non_null(s->kv.pool);
  for (size_t i = 0; i < bytes; i++) s->kv.pool[i] = (char)(random_bits(seed) & 0x3F);
}

static void step_free(step *s) {
  free((void *)(uintptr_t)s->kv.tables);
  free(s->kv.pool);
  free(s);
}

static void job_attend(void *argument, be_worker *w) {
  run_of *r = argument;
  r->be->attend(w, &r->out, r->q, r->n_heads, r->scale, r->cap, &r->s->batch, &r->s->kv);
}

/* One query over one block: max, sum, values. */
static void plain_block(const run_of *r, const cpu_kernels *k, int64_t token, int head, int32_t block, float *to) {
  const step *s = r->s;
  const kv_layout *l = &s->kv.layout;
  int kv_head = head / (r->n_heads / l->n_kv_heads);
  int32_t position = s->position[token], first = kv_first_seen(&s->kv, position), start = block * KV_BLOCK;
  float padded[256] = {0}, scale[8];
  int8_t level[256];
  int16_t neg_sum[16];
  memcpy(padded, r->q + (token * r->n_heads + head) * l->head_dim, (size_t)l->head_dim * sizeof(float));
  const be_act levels = {.level = level, .scale = scale, .neg_sum = neg_sum};
  k->quantize_query(padded, l->head_pad, &levels, 0);
  attend_task t = {.head_dim = l->head_dim,
                   .head_pad = l->head_pad,
                   .n_queries = 1,
                   .scale = r->scale,
                   .cap = r->cap,
                   .block_start = start,
                   .q = {padded},
                   .q_level = {level},
                   .q_scale = {scale},
                   .q_neg_sum = {neg_sum},
                   .first = {first > start ? first : start},
                   .last = {position < start + KV_BLOCK ? position : start + KV_BLOCK - 1},
                   .max = to,
                   .sum = to + 1,
                   .out = to + 2};
  for (int32_t page = t.first[0] / KV_PAGE; page <= t.last[0] / KV_PAGE; page++) {
    char *at = kv_page(&s->kv, s->table[token], page * KV_PAGE);
    t.keys[page % (KV_BLOCK / KV_PAGE)] = kv_keys(&s->kv, at, kv_head);
    t.values[page % (KV_BLOCK / KV_PAGE)] = kv_values(&s->kv, at, kv_head);
  }
  k->attend[l->type](&t);
}

/* acc and one more partial result. */
static void plain_fold(float *acc, const float *partial, int dim) {
  float top = partial[0] > acc[0] ? partial[0] : acc[0], a = math_exp(acc[0] - top), b = math_exp(partial[0] - top);
  acc[0] = top;
  for (int i = 1; i < dim + 2; i++) acc[i] = fmaf(partial[i], b, acc[i] * a);
}

/* acc and one more partial result; or the first. */
static void plain_add(float *acc, const float *partial, int dim, bool first) {
  if (first)
    memcpy(acc, partial, (size_t)(dim + 2) * sizeof *acc);
  else
    plain_fold(acc, partial, dim);
}

static void plain_query(const run_of *r, const cpu_kernels *k, int64_t token, int head, float *out) {
  int dim = r->s->kv.layout.head_dim;
  float all[2 + 256] = {0}, span[2 + 256] = {0}, partial[2 + 256];
  int32_t position = r->s->position[token], first = kv_first_seen(&r->s->kv, position);
  for (int32_t p = first; p <= position;) {
    int32_t span_end = (p / 4096 + 1) * 4096, span_first = p;
    for (; p < span_end && p <= position; p = (p / 256 + 1) * 256) {
      plain_block(r, k, token, head, p / 256, partial);
      plain_add(span, partial, dim, p == span_first);
    }
    plain_add(all, span, dim, span_first == first);
  }
  for (int d = 0; d < dim; d++) out[d] = all[2 + d] * (1.0f / all[1]);
}

static float *plain_attend(const run_of *r) {
  int dim = r->s->kv.layout.head_dim;
  cpu_kernels k;
  cpu_kernels_fill(&k, CPU_GENERIC);
  float *out = room((size_t)r->s->batch.n_tokens * (size_t)(r->n_heads * dim) * sizeof *out);
  for (int64_t token = 0; token < r->s->batch.n_tokens; token++)
    for (int head = 0; head < r->n_heads; head++)
      plain_query(r, &k, token, head, out + (token * r->n_heads + head) * dim);
  return out;
}

/* The portable kernels and those of this processor, on some numbers of threads, with room for the partial results of
 * the whole context and of little of it. */
static void expect_plain(run_of *r, const float *expected) {
  const step *s = r->s;
  size_t values = (size_t)s->batch.n_tokens * (size_t)r->out.cols;
  for (int i = 0; i < 8; i++) {
    gale_error error = {0};
    be_device *device = NULL;
    be_context *context = NULL;
    assert_int_equal(be_open(i % 4 ? NULL : "generic", &device, &error), GALE_OK);
    r->be = device->ops;
    const be_context_options options = {.threads = i % 4 + 1,
                                        .give_way = true,
                                        .max_tokens = s->batch.n_tokens,
                                        .n_heads = r->n_heads,
                                        .head_dim = s->kv.layout.head_dim,
                                        .max_blocks = i < 4 ? s->longest / KV_BLOCK + 1 : 1};
    assert_int_equal(r->be->context_open(device, &options, &context, &error), GALE_OK);
    memset(r->out.f32, 0x7F, values * sizeof(float));
    r->be->run(context, job_attend, r);
    assert_same_floats(r->out.f32, expected, values, "attention");
    r->be->context_close(&context);
    r->be->close(device);
  }
}

static void expect_results(step *s, int group, float cap, uint64_t *seed) {
  int dim = s->kv.layout.head_dim;
  run_of r = {.s = s, .n_heads = group * s->kv.layout.n_kv_heads, .scale = 0x1p-9f, .cap = cap};
  fill_pages(s, seed);
  r.out.cols = r.n_heads * dim;
  size_t values = (size_t)s->batch.n_tokens * (size_t)r.out.cols;
  r.q = room(values * sizeof(float));
  r.out.f32 = room(values * sizeof(float));
  for (size_t i = 0; i < values; i++) r.q[i] = random_unit(seed) * 4;
  float *expected = plain_attend(&r);
  expect_plain(&r, expected);
  free(expected);
  free(r.q);
  free(r.out.f32);
  step_free(s);
}

static void test_results(void **state) {
  (void)state;
  static const gale_kv_type types[] = {GALE_KV_F16, GALE_KV_F32, GALE_KV_Q8};
  uint64_t seed = 9;
  for (int i = 0; i < 6; i++) {
    step *many = step_new(types[i % 3], 2, 8 + 24 * (i % 2), i < 3 ? 0 : 700);
    for (int k = 0; k < 20; k++) add_sequence(many, k * k * 4, k % 9 == 8 ? 11 : 1);
    expect_results(many, 2, i % 2 ? 30.0f : 0, &seed);
    step *few = step_new(types[i % 3], 1, 16, i < 3 ? 0 : 1000);
    add_sequence(few, 2500, 5);
    add_sequence(few, 0, 3);
    expect_results(few, 50, 0, &seed);
    /* Around the ends of spans: whole ones, one of a single position, a window that begins in one of them. */
    step *deep = step_new(types[i % 3], 1, 32, i < 3 ? 0 : 4200);
    add_sequence(deep, 13000, 1);
    add_sequence(deep, 4090, 9);
    add_sequence(deep, 8190, 4);
    add_sequence(deep, 4095, 1);
    expect_results(deep, 2, 0, &seed);
    /* So many deep ones that runs are longer than a span. */
    step *equal = step_new(types[i % 3], 1, 8, i < 3 ? 0 : 9000);
    for (int k = 0; k < 24; k++) add_sequence(equal, 13000 - 37 * k, 1);
    expect_results(equal, 2, 0, &seed);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_even), cmocka_unit_test(test_cover),
                                     cmocka_unit_test(test_results)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
