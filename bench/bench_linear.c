/* Times the linear operation: for each storage type and number of tokens, operations a second (a multiply-add is
 * two) and the rate at which packed weights are read, the best of several runs. Around them stand probes of the
 * machine, on the same number of threads. */
#include "backend/backend.h"
#include "base/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_TOKENS = 512 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

_Noreturn static void fail(const char *what) {
  fprintf(stderr, "bench_linear: %s\n", what);
  exit(1);
}

static void print_probes(const char *level, int threads) {
  gale_error error = {0};
  gale_probe_options options;
  gale_probe_defaults(&options);
  options.cpu = level;
  options.threads = threads;
  gale_probe *machine;
  gale_limits l;
  if (gale_probe_open(&options, &machine, &error)) fail(error.message);
  gale_probe_run(machine, &l);
  gale_probe_close(&machine);
  printf("%s: reads %.1f GB/s, int8 %.0f GOPS, float %.0f GFLOPS\n", l.cpu, l.read_bytes_per_second * 1e-9,
         l.int8_ops_per_second * 1e-9, l.float_ops_per_second * 1e-9);
}

/* ---- Linear ---- */

typedef struct setting {
  int64_t rows, cols;
  int threads;
  int32_t n_tokens; /* 0: several */
  double seconds;   /* for each figure */
  const char *level;
} setting;

typedef struct linear_call {
  const be_ops *ops;
  be_act x;
  be_product product;
  int32_t n;
} linear_call;

static void *zeroed(size_t n, size_t size) {
  void *p = calloc(n, size);
  if (!p) fail("out of memory");
  return p;
}

/* Activations of quiet noise; the values don't matter to the time. */
static be_act activations(int64_t cols, bool is_float) {
  size_t n = MAX_TOKENS * (size_t)cols, n_blocks = n / QUANT_BLOCK;
  be_act x = {.cols = cols, .f32 = zeroed(n, sizeof *x.f32)};
  for (size_t i = 0; i < n; i++) x.f32[i] = (float)(i * 7 % 13) - 6;
  if (is_float) return x;
  x.level = zeroed(n, 1);
  x.scale = zeroed(n_blocks, sizeof *x.scale);
  x.neg_sum = zeroed(2 * n_blocks, sizeof *x.neg_sum);
  for (size_t i = 0; i < n; i++) {
    x.level[i] = (int8_t)(i * 37 % 255 - 127);
    x.neg_sum[i / 16] = (int16_t)(x.neg_sum[i / 16] - x.level[i]);
    x.scale[i / QUANT_BLOCK] = 0.01f;
  }
  return x;
}

static void release(be_act *x) {
  free(x->f32);
  free(x->level);
  free(x->scale);
  free(x->neg_sum);
}

static void forward(void *argument, be_worker *w) {
  const linear_call *c = argument;
  c->ops->linear(w, &c->x, &c->product, 1, c->n, false);
}

/* A matrix of random weights, packed. */
static be_weight packed_weight(const be_device *d, const setting *s, quant_type type, size_t bytes) {
  const quant_info *q = quant_get(type);
  size_t panel_bytes = d->ops->weight_bytes(d, type, PANEL_ROWS, s->cols);
  char *memory = d->ops->alloc(d, bytes, true, NULL);
  void *rows = malloc((size_t)quant_bytes(type, (uint64_t)(PANEL_ROWS * s->cols)));
  if (!memory || !rows) fail("out of memory");
  for (int64_t r = 0; r < s->rows; r += PANEL_ROWS) {
    int64_t n = s->rows - r < PANEL_ROWS ? s->rows - r : PANEL_ROWS;
    q->synthesize(q, rows, (size_t)(n * s->cols), (uint64_t)(r * s->cols), 1, 0.02f);
    d->ops->weight_pack(d, type, s->cols, rows, (int)n, memory + (size_t)(r / PANEL_ROWS) * panel_bytes);
  }
  free(rows);
  return (be_weight){.type = type, .rows = s->rows, .cols = s->cols, .data = memory};
}

static double best_time(be_context *context, linear_call *call, double seconds) {
  double best = 1e30, start = now(), end;
  do {
    double before = now();
    call->ops->run(context, forward, call);
    end = now();
    if (end - before < best) best = end - before;
  } while (end - start < seconds);
  return best;
}

static void time_type(const be_device *d, be_context *context, const setting *s, quant_type type) {
  static const int32_t counts[] = {1, 2, 4, 6, 8, 16, 64, MAX_TOKENS};
  const quant_info *q = quant_get(type);
  if (s->cols % q->block) fail("COLS is not a multiple of the type's block");
  size_t bytes = d->ops->weight_bytes(d, type, s->rows, s->cols);
  be_weight packed = packed_weight(d, s, type, bytes);
  linear_call call = {.ops = d->ops, .x = activations(s->cols, q->is_float), .product.weight = &packed};
  call.product.out = zeroed((size_t)s->rows * MAX_TOKENS, sizeof(float));
  printf("%s %s %lld x %lld, %d threads\n", q->name, d->ops->name(d), (long long)s->rows, (long long)s->cols,
         s->threads);
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    call.n = s->n_tokens ? s->n_tokens : counts[i];
    double took = best_time(context, &call, s->seconds);
    double ops = 2.0 * (double)s->rows * (double)s->cols * call.n;
    printf("  %4d tokens %8.3f ms %7.1f GOPS %6.1f GB/s\n", call.n, took * 1e3, ops / took * 1e-9,
           (double)bytes / took * 1e-9);
    fflush(stdout);
    if (s->n_tokens) break;
  }
  free(call.product.out);
  release(&call.x);
  d->ops->release(d, packed.data, bytes);
}

static void usage(void) {
  fprintf(stderr,
          "usage: bench_linear [-t THREADS] [-l LEVEL] [-r ROWS] [-c COLS] [-n TOKENS] [-s SECONDS] [TYPE ...]\n"
          "COLS is a multiple of the block of each TYPE: 32, or 256 for Q2_K to Q6_K and IQ4_XS; all types if none is "
          "named.\n");
  exit(2);
}

static double number(const char *text, double least, double most) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value >= least && value <= most)) usage();
  return value;
}

int main(int argc, char **argv) {
  setting s = {.rows = 65536, .cols = 4096, .threads = cpu_count(), .seconds = 0.5};
  for (int option; (option = getopt(argc, argv, "t:l:r:c:n:s:")) != -1;) switch (option) {
    case 't':
      s.threads = (int)number(optarg, 1, 1024);
      break;
    case 'l':
      s.level = optarg;
      break;
    case 'r':
      s.rows = (int64_t)number(optarg, 1, 1 << 24);
      break;
    case 'c':
      s.cols = (int64_t)number(optarg, QUANT_BLOCK, 1 << 20);
      break;
    case 'n':
      s.n_tokens = (int32_t)number(optarg, 1, MAX_TOKENS);
      break;
    case 's':
      s.seconds = number(optarg, 0.001, 1000);
      break;
    default:
      usage();
    }
  if (s.cols % QUANT_BLOCK) usage();
  be_device *d;
  be_context *context;
  gale_error error;
  if (be_open(s.level, &d, &error)) fail(error.message);
  if (d->ops->context_open(d, s.threads, MAX_TOKENS, 1, 32, 1, &context, &error)) fail(error.message);
  print_probes(s.level, s.threads);
  for (int i = optind; i < argc; i++) {
    quant_type type;
    if (!quant_from_name(argv[i], &type)) usage();
    time_type(d, context, &s, type);
  }
  for (int type = 0; optind == argc && type < QUANT_TYPES; type++) time_type(d, context, &s, (quant_type)type);
  print_probes(s.level, s.threads);
  d->ops->context_close(&context);
  d->ops->close(d);
}
