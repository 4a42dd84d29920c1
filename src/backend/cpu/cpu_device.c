/* The CPU as a device: memory, packing, contexts. */
#include "backend/cpu/cpu_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const cpu_device *cpu_of(const be_device *d) {
  return (const cpu_device *)d;
}

static void device_close(be_device *d) {
  free(d);
}

static const char *device_name(const be_device *d) {
  return cpu_isa_name(cpu_of(d)->isa);
}

static void *device_alloc(const be_device *d, size_t bytes, bool large, gale_error *error) {
  (void)d;
  void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    error_memory(error, bytes);
    return NULL;
  }
  /* Memory that is read from end to end for every token: large pages spare most of the walks through page tables. */
  if (large) madvise(p, bytes, MADV_HUGEPAGE);
  return p;
}

static void device_release(const be_device *d, void *memory, size_t bytes) {
  (void)d;
  if (memory) munmap(memory, bytes ? bytes : 1);
}

static void device_copy_page(const be_device *d, void *to, const void *from, size_t bytes) {
  (void)d;
  memcpy(to, from, bytes);
}

static void device_fill(const be_device *d, void *memory, uint8_t byte, size_t bytes) {
  (void)d;
  memset(memory, byte, bytes);
}

/* ---- Packing ---- */

static size_t weight_bytes(const be_device *d, quant_type type, int64_t rows, int64_t cols) {
  (void)d;
  return (size_t)((rows + PANEL_ROWS - 1) / PANEL_ROWS) * quant_panel_bytes(type, (size_t)cols);
}

static void weight_pack(const be_device *d, quant_type type, int64_t cols, const void *rows, int n, void *panel) {
  (void)d;
  const quant_info *q = quant_get(type);
  size_t packed = (size_t)cols / (size_t)q->block * (size_t)(q->panel_levels + q->panel_scales);
  /* Panels are kept in files: equal weights are to give equal bytes, and nothing else that was in memory. */
  memset((char *)panel + packed, 0, quant_panel_bytes(type, (size_t)cols) - packed);
  q->pack(q, panel, rows, (size_t)quant_bytes(type, (uint64_t)cols), n, (size_t)cols);
}

/* ---- Contexts ---- */

/* Where the areas of a context's memory begin. */
typedef struct context_areas {
  size_t n_partials, partials, q_level, q_scale, q_neg_sum, tiles, tile_bytes, gated_bytes, worker_bytes, total;
} context_areas;

/* False where the sizes overflow. */
static bool context_layout(const be_context *c, size_t tokens, size_t workers, context_areas *p) {
  size_t heads = (size_t)c->n_heads, dim = (size_t)c->head_dim;
  size_t blocks = (dim + QUANT_BLOCK - 1) / QUANT_BLOCK, whole = tokens < PARTIAL_TOKENS ? tokens : PARTIAL_TOKENS;
  if (__builtin_mul_overflow(whole * heads, (size_t)c->max_blocks, &p->n_partials) ||
      p->n_partials > SIZE_MAX / 16 / (2 + dim))
    return false;
  p->partials = 0;
  p->q_level = p->partials + cpu_align(p->n_partials * (2 + dim) * sizeof(float));
  p->q_scale = p->q_level + cpu_align(tokens * heads * blocks * QUANT_BLOCK);
  p->q_neg_sum = p->q_scale + cpu_align(tokens * heads * blocks * sizeof(float));
  p->tiles = p->q_neg_sum + cpu_align(tokens * heads * blocks * 2 * sizeof(int16_t));
  p->tile_bytes = cpu_align(3 * ATTEND_QUERIES * (2 + dim) * sizeof(float));
  p->gated_bytes = cpu_align(2 * GATED_FLOATS * sizeof(float));
  p->worker_bytes = p->tile_bytes + p->gated_bytes + cpu_align(c->device->kernels.linear_scratch);
  p->total = p->tiles + workers * p->worker_bytes;
  return true;
}

static void context_place(be_context *c, const context_areas *p, int workers) {
  char *base = c->memory;
  c->attend = (attend_scratch){.partials = (float *)(base + p->partials),
                               .n_partials = (int64_t)p->n_partials,
                               .q_level = (int8_t *)(base + p->q_level),
                               .q_scale = (float *)(base + p->q_scale),
                               .q_neg_sum = (int16_t *)(base + p->q_neg_sum)};
  for (int i = 0; i < workers; i++) {
    char *own = base + p->tiles + (size_t)i * p->worker_bytes;
    c->workers[i] = (be_worker){.context = c,
                                .tile = (float *)own,
                                .gated = (float *)(own + p->tile_bytes),
                                .linear = own + p->tile_bytes + p->gated_bytes};
  }
}

static void context_close(be_context **out) {
  be_context *c = *out;
  if (!c) return;
  team_close(&c->team);
  device_release(NULL, c->memory, c->memory_bytes);
  free(c->workers);
  free(c);
  *out = NULL;
}

static gale_status context_open(const be_device *d, const be_context_options *o, be_context **out, gale_error *error) {
  be_context *c = calloc(1, sizeof *c);
  if (!c) return error_memory(error, sizeof *c);
  c->device = cpu_of(d);
  c->n_heads = o->n_heads;
  c->head_dim = o->head_dim;
  c->max_blocks = o->max_blocks;
  context_areas areas = {0};
  gale_status status = GALE_OK;
  if (!context_layout(c, (size_t)o->max_tokens, (size_t)o->threads, &areas))
    status = error_set(error, GALE_E_MEMORY, "the scratch memory of attention is too large for this machine");
  c->workers = calloc((size_t)o->threads, sizeof *c->workers);
  if (!status && !c->workers) status = error_memory(error, (uint64_t)o->threads * sizeof *c->workers);
  if (!status) status = team_open(o->threads, o->give_way, &c->team, error);
  if (!status) {
    c->memory = device_alloc(d, areas.total, false, error);
    c->memory_bytes = areas.total;
    if (!c->memory) status = GALE_E_MEMORY;
  }
  if (status) {
    context_close(&c);
    return status;
  }
  context_place(c, &areas, o->threads);
  *out = c;
  return GALE_OK;
}

static size_t context_bytes(const be_context *c) {
  return c->memory_bytes;
}

static void run_worker(void *argument, team_worker *member) {
  be_context *c = argument;
  be_worker *w = &c->workers[team_index(member)];
  w->member = member;
  c->forward(c->argument, w);
}

static void run(be_context *c, void (*forward)(void *argument, be_worker *w), void *argument) {
  c->forward = forward;
  c->argument = argument;
  team_run(c->team, run_worker, c);
}

static const be_ops cpu_ops = {
    .close = device_close,
    .name = device_name,
    .alloc = device_alloc,
    .release = device_release,
    .weight_bytes = weight_bytes,
    .weight_pack = weight_pack,
    .context_open = context_open,
    .context_close = context_close,
    .context_bytes = context_bytes,
    .run = run,
    .embed = cpu_embed,
    .angles = cpu_angles,
    .norm = cpu_norm,
    .norm_add = cpu_norm_add,
    .linear = cpu_linear,
    .rope_store = cpu_rope_store,
    .attend = cpu_attend,
    .linear_gated = cpu_linear_gated,
    .soft_cap = cpu_soft_cap,
    .route = cpu_route,
    .gather = cpu_gather,
    .linear_experts = cpu_linear_experts,
    .combine = cpu_combine,
    .probe = cpu_probe,
    .copy_page = device_copy_page,
    .fill = device_fill,
};

/* The names of the instruction sets, or of those that are supported, with commas. */
static const char *isa_names(bool supported, char to[64]) {
  size_t used = 0;
  for (int l = 0; l < CPU_ISAS; l++) {
    if (supported && !cpu_supports((cpu_isa)l)) continue;
    used += (size_t)snprintf(to + used, 64 - used, "%s%s", used ? ", " : "", cpu_isa_name((cpu_isa)l));
  }
  return to;
}

gale_status be_open(const char *isa_name, be_device **device, gale_error *error) {
  cpu_isa isa;
  char names[64];
  if (!isa_name)
    isa = cpu_detect();
  else if (!cpu_isa_from_name(isa_name, &isa))
    return error_set(error, GALE_E_ARGUMENT, "cpu \"%s\": accepted are %s", isa_name, isa_names(false, names));
  else if (!cpu_supports(isa))
    return error_set(error, GALE_E_UNSUPPORTED, "cpu \"%s\": this processor has %s", isa_name, isa_names(true, names));
  cpu_device *d = calloc(1, sizeof *d);
  if (!d) return error_memory(error, sizeof *d);
  d->base.ops = &cpu_ops;
  d->isa = isa;
  cpu_kernels_fill(&d->kernels, isa);
  *device = &d->base;
  return GALE_OK;
}
