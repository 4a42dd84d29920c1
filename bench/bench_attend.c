/* Times attention over blocks of 256 positions on one thread, by cache type and level: decoding (4 queries of one
 * token, blocks read from memory) and a prompt (16 queries, blocks in the cache). The best of several runs. */
#include "backend/cpu/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAGES = KV_BLOCK / KV_PAGE, FAR_BLOCKS = 1024, LARGEST_DIM = 512 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

_Noreturn static void fail(const char *what) {
  fprintf(stderr, "bench_attend: %s\n", what);
  exit(1);
}

/* A run of blocks, and a task for any of them. */
typedef struct cache {
  kv_layout layout;
  char *memory;
  int n_blocks;
  attend_task task;
  float q[LARGEST_DIM], q_scale[LARGEST_DIM], max[ATTEND_QUERIES], sum[ATTEND_QUERIES];
  float out[ATTEND_QUERIES * LARGEST_DIM];
  int8_t q_level[LARGEST_DIM];
  int16_t q_neg_sum[LARGEST_DIM];
} cache;

/* All bytes equal 0x3C: ordinary numbers in every type. */
static cache *cache_new(gale_kv_type type, int head_dim, int n_blocks) {
  cache *c = calloc(1, sizeof *c);
  if (!c) fail("out of memory");
  c->layout = kv_layout_make(type, 1, head_dim);
  c->n_blocks = n_blocks;
  size_t bytes = (size_t)n_blocks * PAGES * c->layout.layer_bytes;
  c->memory = aligned_alloc(64, bytes);
  if (!c->memory) fail("out of memory");
  memset(c->memory, 0x3C, bytes);
  for (int i = 0; i < head_dim; i++) c->q[i] = (float)(i % 7) - 3;
  c->task = (attend_task){.head_dim = head_dim,
                          .head_pad = c->layout.head_pad,
                          .scale = 1 / sqrtf((float)head_dim),
                          .max = c->max,
                          .sum = c->sum,
                          .out = c->out};
  for (int i = 0; i < ATTEND_QUERIES; i++) {
    c->task.q[i] = c->q;
    c->task.q_level[i] = c->q_level;
    c->task.q_scale[i] = c->q_scale;
    c->task.q_neg_sum[i] = c->q_neg_sum;
    c->task.last[i] = KV_BLOCK - 1;
  }
  return c;
}

static void cache_free(cache *c) {
  free(c->memory);
  free(c);
}

static void run_blocks(const cpu_kernels *k, cache *c, int n_queries) {
  c->task.n_queries = n_queries;
  for (int b = 0; b < c->n_blocks; b++) {
    for (int i = 0; i < PAGES; i++) {
      c->task.keys[i] = c->memory + (size_t)(b * PAGES + i) * c->layout.layer_bytes;
      c->task.values[i] = c->task.keys[i] + c->layout.key_bytes;
    }
    k->attend[c->layout.type](&c->task);
  }
}

/* Seconds for one block. */
static double time_blocks(const cpu_kernels *k, cache *c, int n_queries, double seconds) {
  double best = 1e30, start = now(), end;
  do {
    double before = now();
    run_blocks(k, c, n_queries);
    end = now();
    if (end - before < best) best = end - before;
  } while (end - start < seconds);
  return best / c->n_blocks;
}

static void time_type(cpu_level level, gale_kv_type type, int head_dim, int n_blocks, int n_queries, double seconds) {
  static const char *const names[] = {[GALE_KV_F16] = "f16", [GALE_KV_F32] = "f32", [GALE_KV_Q8] = "q8"};
  cpu_kernels k;
  cpu_kernels_fill(&k, level);
  cache *c = cache_new(type, head_dim, n_blocks);
  double took = time_blocks(&k, c, n_queries, seconds);
  double bytes = PAGES * (double)c->layout.layer_bytes, ops = 4.0 * n_queries * KV_BLOCK * head_dim;
  printf("%-8s %-4s %4d %8d %8d %9.2f %7.1f %7.1f\n", cpu_level_name(level), names[type], head_dim, n_queries, n_blocks,
         took * 1e6, bytes / took * 1e-9, ops / took * 1e-9);
  fflush(stdout);
  cache_free(c);
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 0.2;
  int head_dim = argc > 2 ? atoi(argv[2]) : 128;
  if (seconds <= 0 || head_dim < 2 || head_dim > LARGEST_DIM || head_dim % 2) {
    fprintf(stderr, "usage: bench_attend [SECONDS [HEAD_DIM]]   seconds for each line; head_dim even, at most %d\n",
            LARGEST_DIM);
    return 2;
  }
  printf("level    type  dim  queries   blocks  us/block    GB/s  GFLOPS\n");
  for (int l = 0; l < CPU_LEVELS; l++)
    for (int type = 0; type < 3 && cpu_supports((cpu_level)l); type++) {
      int far = l == CPU_GENERIC ? 1 : FAR_BLOCKS;
      time_type((cpu_level)l, (gale_kv_type)type, head_dim, far, 4, seconds);
      time_type((cpu_level)l, (gale_kv_type)type, head_dim, 1, 4, seconds);
      time_type((cpu_level)l, (gale_kv_type)type, head_dim, 1, ATTEND_QUERIES, seconds);
    }
  return 0;
}
