#include "backend/cpu/kernels/lanes/linear_parts.h"

/* The part's panels for its tokens, all blocks. */
static void sum_panels(const part_kernel *k, part *p) {
  const part_shape *s = k->shape;
  int64_t all = p->task->x->cols / QUANT_BLOCK;
  for (p->block = 0; p->block < all; p->block += s->blocks) {
    p->blocks = all - p->block < s->blocks ? (int)(all - p->block) : s->blocks;
    k->pack(p);
    for (int64_t panel = p->first; panel < p->end; panel += s->tile_panels) {
      for (int i = 0; i < s->tile_panels; i++) k->unpack(p, panel + i, i);
      k->sum(p, panel);
    }
  }
  k->store(p);
}

int32_t linear_parts_tokens(const linear_task *t, const part_shape *s) {
  int32_t rest = t->n_tokens % s->tile_tokens;
  if (t->n_tokens < s->min_tokens) return 0;
  return rest < s->min_rest ? t->n_tokens - rest : t->n_tokens;
}

void linear_parts(const linear_task *t, const part_kernel *k) {
  const part_shape *s = k->shape;
  int32_t n = linear_parts_tokens(t, s);
  if (n == 0) return;
  int32_t parts = (n + s->tokens - 1) / s->tokens, tiles = (n + s->tile_tokens - 1) / s->tile_tokens;
  int32_t most = (tiles + parts - 1) / parts * s->tile_tokens;
  for (int32_t token = 0; token < n; token += most)
    for (int64_t panel = 0; panel < t->n_panels; panel += s->panels) {
      part p = {.task = t, .token = token, .tokens = n - token < most ? n - token : most, .first = panel};
      p.end = panel + s->panels < t->n_panels ? panel + s->panels : t->n_panels;
      sum_panels(k, &p);
    }
}

void linear_parts_rest(const linear_task *t, const part_shape *s, linear_kernel few) {
  int32_t done = linear_parts_tokens(t, s);
  if (done == t->n_tokens) return;
  const be_act x = act_from(t->x, done);
  linear_task left = *t;
  left.x = &x;
  left.n_tokens -= done;
  left.out += done * t->stride;
  few(&left);
}
