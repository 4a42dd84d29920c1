#include "quant/quant_encode.h"

#include "base/half.h"
#include "quant/encode_fit.h"

#include <math.h>

enum { MOST_QUADS = 4, LARGEST_HALF = 0x7BFF };

typedef struct encoder {
  void (*encode)(const quant_info *q, const struct encoder *e, const float *from, uint8_t *to, size_t n);
  level_range range; /* true levels */
  min_rule rule;
  int neighbours; /* small blocks: halves tried on either side of the nearest scale */
  int shared;     /* superblocks: weights that share a factor */
  float most;     /* superblocks: the largest factor */
} encoder;

/* ---- Halves ---- */

static uint16_t half_nearest(float x) {
  float cut = x > QUANT_LARGEST ? QUANT_LARGEST : x < -QUANT_LARGEST ? -QUANT_LARGEST : x;
  return half_from_float(cut);
}

/* The half that is `steps` further from zero than the nearest one. */
static float half_beside(float x, int steps) {
  uint16_t h = half_nearest(x);
  int magnitude = (h & 0x7FFF) + steps;
  magnitude = magnitude < 0 ? 0 : magnitude > LARGEST_HALF ? LARGEST_HALF : magnitude;
  return half_to_float((uint16_t)((h & 0x8000) | magnitude));
}

/* The least half that is not below x >= 0. */
static float half_above(float x) {
  float h = half_beside(x, 0);
  return h < x ? half_beside(x, 1) : h;
}

static lanes halves_beside(lanes x, int steps) {
  for (int l = 0; l < LANES; l++) x[l] = half_beside(x[l], steps);
  return x;
}

/* ---- Quads ---- */

/* Takes up to four sub-blocks; lanes without one are zero. */
static void gather(quad *p, int n, const float *from, size_t n_from) {
  p->n = n;
  for (int l = 0; l < LANES; l++) {
    size_t first = (size_t)(l * n);
    for (int i = 0; i < n; i++) p->x[i][l] = first < n_from ? from[first + (size_t)i] : 0;
  }
}

static void set_levels(const quant_info *q, const lanes level[MOST_WEIGHTS], int lane, int n, uint8_t *to) {
  for (int i = 0; i < n; i++) to[i] = (uint8_t)((int)level[i][lane] + q->zero);
}

/* ---- Blocks of 32 ---- */

/* The best of the lines near `ideal` whose numbers are halves. */
static line round_line(const quad *p, const encoder *e, line ideal) {
  line best = {0};
  lanes least = fit_residue(p, e->range, best).rr;
  for (int steps = -e->neighbours; steps <= e->neighbours; steps++) {
    line at = {halves_beside(ideal.scale, steps), ideal.min};
    if (e->rule == MIN_FREE) {
      lanes shift = fit_residue(p, e->range, at).r / (float)p->n;
      at.min = halves_beside(at.min + shift, 0);
    }
    fit_keep(&best, &least, at, fit_residue(p, e->range, at).rr);
  }
  return best;
}

static void encode_blocks(const quant_info *q, const encoder *e, const float *from, uint8_t *to, size_t n) {
  for (size_t at = 0; at < n; at += LANES * QUANT_BLOCK) {
    quad p;
    lanes level[MOST_WEIGHTS];
    gather(&p, QUANT_BLOCK, from + at, n - at);
    line best = round_line(&p, e, fit_search(&p, e->range, e->rule));
    fit_levels(&p, e->range, best, level);
    for (int l = 0; l < LANES && at + (size_t)(l * QUANT_BLOCK) < n; l++, to += q->block_bytes) {
      quant_block numbers = {
          .d = half_from_float(best.scale[l]), .m = half_from_float(best.min[l]), .scale = {1, 1}, .min = {1, 1}};
      set_levels(q, level, l, QUANT_BLOCK, numbers.level);
      memset(to, 0, (size_t)q->block_bytes);
      q->store(to, 0, &numbers);
    }
  }
}

/* ---- Superblocks of 256: the line of a sub-block is {d * factor.scale, -m * factor.min} ---- */

typedef struct superblock {
  const encoder *e;
  int n_quads;
  quad quads[MOST_QUADS];
  float d, m;
  line factor[MOST_QUADS]; /* integers */
  double error;
} superblock;

static lanes whole(lanes x, float least, float most) {
  for (int l = 0; l < LANES; l++) x[l] = x[l] < least ? least : x[l] > most ? most : rintf(x[l]);
  return x;
}

static line line_of(const superblock *s, line factor) {
  return (line){s->d * factor.scale, -s->m * factor.min};
}

/* Sets d and m so that the largest of the ideal scales and minima are in reach, and the factors nearest to those. */
static void start(superblock *s, const line ideal[MOST_QUADS]) {
  float scale = 0, min = 0, lowest = s->e->rule == MIN_ZERO ? -s->e->most : 0;
  for (int p = 0; p < s->n_quads; p++)
    for (int l = 0; l < LANES; l++) {
      scale = fmaxf(scale, fabsf(ideal[p].scale[l]));
      min = fmaxf(min, -ideal[p].min[l]);
    }
  s->d = half_above(scale / s->e->most);
  s->m = half_above(min / s->e->most);
  for (int p = 0; p < s->n_quads; p++) {
    lanes zero = {0};
    s->factor[p].scale = s->d > 0 ? whole(ideal[p].scale / s->d, lowest, s->e->most) : zero;
    s->factor[p].min = s->m > 0 ? whole(-ideal[p].min / s->m, 0, s->e->most) : zero;
  }
}

/* For the present d and m, moves each sub-block's factors to the best of those beside them. */
static void choose_factors(superblock *s) {
  const encoder *e = s->e;
  float lowest = e->rule == MIN_ZERO ? -e->most : 0;
  int mins = e->rule == MIN_ZERO ? 0 : 1;
  s->error = 0;
  for (int p = 0; p < s->n_quads; p++) {
    line from = s->factor[p];
    lanes least = fit_residue(&s->quads[p], e->range, line_of(s, from)).rr;
    for (int a = -1; a <= 1; a++)
      for (int b = -mins; b <= mins; b++) {
        if (a == 0 && b == 0) continue;
        line at = {whole(from.scale + (float)a, lowest, e->most), whole(from.min + (float)b, 0, e->most)};
        fit_keep(&s->factor[p], &least, at, fit_residue(&s->quads[p], e->range, line_of(s, at)).rr);
      }
    for (int l = 0; l < LANES; l++) s->error += (double)least[l];
  }
}

/* For the present factors and levels, sets d and m to the halves nearest to those of least squares. */
static void refit(superblock *s) {
  double dd = 0, dm = 0, mm = 0, rd = 0, rm = 0; /* products of what d and m multiply, and of the residue with it */
  for (int p = 0; p < s->n_quads; p++) {
    residue f = fit_residue(&s->quads[p], s->e->range, line_of(s, s->factor[p]));
    for (int l = 0; l < LANES; l++) {
      double scale = (double)s->factor[p].scale[l], min = -(double)s->factor[p].min[l];
      dd += scale * scale * (double)f.qq[l];
      dm += scale * min * (double)f.q[l];
      mm += min * min * s->quads[p].n;
      rd += scale * (double)f.rq[l];
      rm += min * (double)f.r[l];
    }
  }
  double determinant = dd * mm - dm * dm;
  double d = (double)s->d, m = (double)s->m;
  if (determinant > 1e-9 * dd * mm) {
    d += (rd * mm - rm * dm) / determinant;
    m += (rm * dd - rd * dm) / determinant;
  } else if (dd > 0) {
    d += rd / dd;
  }
  s->d = half_beside((float)d, 0);
  s->m = half_beside((float)m, 0);
}

static void store_superblock(const quant_info *q, const superblock *s, uint8_t *to) {
  int n = s->e->shared;
  quant_block blocks[8];
  for (int p = 0; p < s->n_quads; p++) {
    lanes level[MOST_WEIGHTS];
    fit_levels(&s->quads[p], s->e->range, line_of(s, s->factor[p]), level);
    for (int l = 0; l < LANES; l++) {
      int first = (p * LANES + l) * n;
      quant_block *numbers = &blocks[first / QUANT_BLOCK];
      numbers->d = half_from_float(s->d);
      numbers->m = half_from_float(-s->m);
      for (int h = first % QUANT_BLOCK / 16; h < (first % QUANT_BLOCK + n) / 16; h++) {
        numbers->scale[h] = (int8_t)s->factor[p].scale[l];
        numbers->min[h] = (int8_t)s->factor[p].min[l];
      }
      set_levels(q, level, l, n, numbers->level + first % QUANT_BLOCK);
    }
  }
  memset(to, 0, (size_t)q->block_bytes);
  for (int p = 0; p < 8; p++) q->store(to, p, &blocks[p]);
}

static void encode_superblock(const quant_info *q, const encoder *e, const float *from, uint8_t *to) {
  enum { ROUNDS = 3 };
  superblock s = {.e = e, .n_quads = q->block / e->shared / LANES};
  line ideal[MOST_QUADS];
  for (int p = 0; p < s.n_quads; p++) {
    gather(&s.quads[p], e->shared, from + p * LANES * e->shared, (size_t)(LANES * e->shared));
    ideal[p] = fit_search(&s.quads[p], e->range, e->rule);
  }
  start(&s, ideal);
  choose_factors(&s);
  for (int i = 1; i < ROUNDS; i++) {
    superblock next = s;
    refit(&next);
    choose_factors(&next);
    if (next.error >= s.error) break;
    s = next;
  }
  store_superblock(q, &s, to);
}

static void encode_superblocks(const quant_info *q, const encoder *e, const float *from, uint8_t *to, size_t n) {
  for (size_t at = 0; at < n; at += (size_t)q->block, to += q->block_bytes) encode_superblock(q, e, from + at, to);
}

/* ---- Floats ---- */

static void encode_f32(const quant_info *q, const encoder *e, const float *from, uint8_t *to, size_t n) {
  (void)q, (void)e;
  memcpy(to, from, n * sizeof *from);
}

static void encode_f16(const quant_info *q, const encoder *e, const float *from, uint8_t *to, size_t n) {
  (void)q, (void)e;
  for (size_t i = 0; i < n; i++) {
    uint16_t h = half_from_float(from[i]);
    memcpy(to + 2 * i, &h, sizeof h);
  }
}

static void encode_bf16(const quant_info *q, const encoder *e, const float *from, uint8_t *to, size_t n) {
  (void)q, (void)e;
  for (size_t i = 0; i < n; i++) {
    uint16_t b = bfloat_from_float(from[i]);
    memcpy(to + 2 * i, &b, sizeof b);
  }
}

/* ---- The table ---- */

/* Q8_0 leaves out -128, which some engines' dot products cannot take. */
static const encoder table[QUANT_TYPES] = {
    [QUANT_F32] = {.encode = encode_f32},
    [QUANT_F16] = {.encode = encode_f16},
    [QUANT_BF16] = {.encode = encode_bf16},
    [QUANT_Q8_0] = {.encode = encode_blocks, .range = {-127, 127}, .rule = MIN_ZERO, .neighbours = 4},
    [QUANT_Q4_0] = {.encode = encode_blocks, .range = {-8, 7}, .rule = MIN_ZERO, .neighbours = 1},
    [QUANT_Q4_1] = {.encode = encode_blocks, .range = {0, 15}, .rule = MIN_FREE, .neighbours = 1},
    [QUANT_Q5_0] = {.encode = encode_blocks, .range = {-16, 15}, .rule = MIN_ZERO, .neighbours = 1},
    [QUANT_Q5_1] = {.encode = encode_blocks, .range = {0, 31}, .rule = MIN_FREE, .neighbours = 1},
    [QUANT_Q4_K] = {.encode = encode_superblocks, .range = {0, 15}, .rule = MIN_NOT_POSITIVE, .shared = 32, .most = 63},
    [QUANT_Q5_K] = {.encode = encode_superblocks, .range = {0, 31}, .rule = MIN_NOT_POSITIVE, .shared = 32, .most = 63},
    [QUANT_Q6_K] = {.encode = encode_superblocks, .range = {-32, 31}, .rule = MIN_ZERO, .shared = 16, .most = 127},
};

bool quant_can_encode(quant_type type) {
  return table[type].encode != NULL;
}

void quant_encode(quant_type type, const float *from, void *to, size_t n) {
  table[type].encode(quant_get(type), &table[type], from, to, n);
}
