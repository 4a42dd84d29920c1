/* What the machine can do at most: only timed. */
#include "check.h"

#include "backend/backend.h"

enum { READ_BYTES = 1 << 28 };

static const char *type_name(int type) {
  static const char *const names[] = {[BE_PROBE_READ] = "read", [BE_PROBE_INT8] = "int8", [BE_PROBE_FLOAT] = "float"};
  return names[type];
}

static bool differs(const cpu_kernels *a, const cpu_kernels *b, int type) {
  (void)type;
  return a->probe_read != b->probe_read;
}

typedef struct job {
  const be_ops *ops;
  be_context *context;
  be_probe kind;
  void *memory;
  uint64_t amount;
  _Atomic uint64_t done; /* every worker says the same */
} job;

static void forward(void *argument, be_worker *w) {
  job *j = argument;
  j->done = j->ops->probe(w, j->kind, j->memory, j->amount);
}

static void run(void *argument) {
  job *j = argument;
  j->ops->run(j->context, forward, j);
}

static void time_probe(const timing *t, int type) {
  be_device *d;
  gale_error error;
  job j = {.kind = (be_probe)type, .amount = type == BE_PROBE_READ ? READ_BYTES : 100000};
  const be_context_options options = {
      .threads = t->threads, .give_way = true, .max_tokens = 1, .n_heads = 1, .head_dim = QUANT_BLOCK, .max_blocks = 1};
  if (be_open(cpu_isa_name(t->isa), &d, &error) || d->ops->context_open(d, &options, &j.context, &error)) {
    printf("probe: %s\n", error.message);
    exit(1);
  }
  j.ops = d->ops;
  j.memory = type == BE_PROBE_READ ? d->ops->alloc(d, READ_BYTES, true, NULL) : NULL;
  if (type == BE_PROBE_READ && !j.memory) exit(1);
  if (j.memory) d->ops->fill(d, j.memory, 1, READ_BYTES);
  char what[80];
  snprintf(what, sizeof what, "probe %s %s, %d threads", type_name(type), cpu_isa_name(t->isa), t->threads);
  double took = timing_best(t, run, &j), done = (double)j.done;
  bool read = type == BE_PROBE_READ;
  timing_print(what, took, read ? done : 0, read ? 0 : done, 0);
  if (j.memory) d->ops->release(d, j.memory, READ_BYTES);
  d->ops->context_close(&j.context);
  d->ops->close(d);
}

const kernel_op op_probe = {.name = "probe", .n_types = 3, .type = type_name, .differs = differs, .time = time_probe};
