/* What the machine can do: the limits that speeds are compared with. */
#include "backend/backend.h"
#include "base/cache_size.h"
#include "base/cpu.h"
#include "base/sized.h"
#include "gale_tools.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { LEAST_PASSES = 3, MOST_PASSES = 1000, MAX_THREADS = 1024, MAX_SECONDS = 60 };

struct gale_probe {
  gale_probe_options options;
  be_device *device;
  be_context *context;
  void *memory;
};

void gale_probe_defaults_sized(gale_probe_options *options, size_t size) {
  const gale_probe_options defaults = {.seconds = 0.1};
  sized_write(options, size, &defaults, sizeof defaults);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What the workers of a pass get. */
typedef struct pass {
  const be_ops *ops;
  be_probe kind;
  const void *memory;
  uint64_t amount;
  _Atomic uint64_t done; /* every worker says the same */
} pass;

static void run_pass(void *argument, be_worker *w) {
  pass *p = argument;
  p->done = p->ops->probe(w, p->kind, p->memory, p->amount);
}

/* Seconds that a pass took. */
static double time_pass(be_context *c, pass *p) {
  double start = now();
  p->ops->run(c, run_pass, p);
  return now() - start;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Bytes or operations a second. */
typedef struct rate {
  double best, median;
} rate;

/* Of the passes that begin within `seconds`; of very many, the last ones. */
static rate rate_of(be_context *c, pass *p, double seconds) {
  double rates[MOST_PASSES], start = now();
  size_t n = 0;
  for (; n < LEAST_PASSES || now() - start < seconds; n++) {
    double took = time_pass(c, p);
    rates[n % MOST_PASSES] = took > 0 ? (double)p->done / took : 0;
  }
  if (n > MOST_PASSES) n = MOST_PASSES;
  qsort(rates, n, sizeof *rates, by_value);
  return (rate){rates[n - 1], (rates[(n - 1) / 2] + rates[n / 2]) / 2};
}

/* A pass is long enough for starting the workers not to count. */
static rate arithmetic_rate(const gale_probe *g, be_probe kind) {
  const double least = 0.005;
  pass p = {.ops = g->device->ops, .kind = kind, .amount = 1000};
  while (time_pass(g->context, &p) < least && p.amount < UINT64_MAX / 4) p.amount *= 2;
  return rate_of(g->context, &p, g->options.seconds);
}

static gale_status check(const gale_probe_options *o, gale_error *error) {
  if (o->threads < 0 || o->threads > MAX_THREADS)
    return error_set(error, GALE_E_ARGUMENT, "threads is %d: 0 to %d is accepted", o->threads, MAX_THREADS);
  if (!(o->seconds >= 0 && o->seconds <= (double)MAX_SECONDS))
    return error_set(error, GALE_E_ARGUMENT, "seconds is %g: 0 to %d is accepted", o->seconds, MAX_SECONDS);
  if (o->bytes > SIZE_MAX / 4)
    return error_set(error, GALE_E_ARGUMENT, "bytes is %" PRIu64 ": 0 to %zu is accepted", o->bytes, SIZE_MAX / 4);
  return GALE_OK;
}

static gale_status open_parts(gale_probe *p, gale_error *error) {
  enum { CACHES = 8, LEAST = 1 << 28, UNIT = 4096 };
  gale_probe_options *o = &p->options;
  gale_status status = be_open(o->cpu, &p->device, error);
  if (status) return status;
  const be_ops *ops = p->device->ops;
  if (o->threads == 0) o->threads = cpu_count();
  if (o->bytes == 0) o->bytes = (uint64_t)cache_bytes() * CACHES > LEAST ? (uint64_t)cache_bytes() * CACHES : LEAST;
  o->bytes = (o->bytes + UNIT - 1) / UNIT * UNIT;
  const be_context_options context = {
      .threads = o->threads, .give_way = true, .max_tokens = 1, .n_heads = 1, .head_dim = QUANT_BLOCK, .max_blocks = 1};
  status = ops->context_open(p->device, &context, &p->context, error);
  if (status) return status;
  p->memory = ops->alloc(p->device, o->bytes, true, error);
  if (!p->memory) return GALE_E_MEMORY;
  ops->fill(p->device, p->memory, 1, o->bytes); /* the system may map all pages that were never written to one */
  return GALE_OK;
}

gale_status gale_probe_open(const gale_probe_options *options, gale_probe **probe, gale_error *error) {
  gale_probe_options o;
  gale_probe_defaults(&o);
  gale_status status = options ? sized_read(&o, sizeof o, options, "gale_probe_options", error) : GALE_OK;
  if (!status) status = check(&o, error);
  if (status) return status;
  gale_probe *p = calloc(1, sizeof *p);
  if (!p) return error_memory(error, sizeof *p);
  p->options = o;
  status = open_parts(p, error);
  if (status)
    gale_probe_close(&p);
  else
    *probe = p;
  return status;
}

void gale_probe_close(gale_probe **probe) {
  gale_probe *p = *probe;
  if (!p) return;
  if (p->device) {
    const be_ops *ops = p->device->ops;
    ops->context_close(&p->context);
    ops->release(p->device, p->memory, p->options.bytes);
    ops->close(p->device);
  }
  free(p);
  *probe = NULL;
}

void gale_probe_run_sized(gale_probe *p, gale_limits *limits, size_t size) {
  const be_ops *ops = p->device->ops;
  pass read = {.ops = ops, .kind = BE_PROBE_READ, .memory = p->memory, .amount = p->options.bytes};
  rate bytes = rate_of(p->context, &read, p->options.seconds);
  rate int8 = arithmetic_rate(p, BE_PROBE_INT8), floats = arithmetic_rate(p, BE_PROBE_FLOAT);
  const gale_limits all = {.cpu = ops->name(p->device),
                           .threads = p->options.threads,
                           .best = {bytes.best, int8.best, floats.best},
                           .sustained = {bytes.median, int8.median, floats.median}};
  sized_write(limits, size, &all, sizeof all);
}
