#include "quant/encode_fit.h"

#include <float.h>
#include <stdbool.h>

typedef int32_t lane_mask __attribute__((vector_size(4 * LANES)));

/* Scales below this give nothing that a half could hold. */
#define LEAST_SCALE 1e-20f

static lanes all(float x) {
  return (lanes){x, x, x, x};
}

static lanes choose(lane_mask m, lanes a, lanes b) {
  return (lanes)((m & (lane_mask)a) | (~m & (lane_mask)b));
}

static lanes magnitude(lanes x) {
  return (lanes)((lane_mask)x & 0x7FFFFFFF);
}

/* 1 / x, and 0 where that would overflow. */
static lanes inverse(lanes x) {
  lane_mask usable = magnitude(x) > LEAST_SCALE;
  return choose(usable, 1 / choose(usable, x, all(1)), all(0));
}

/* a / b, and 0 where b is 0. b >= 0 */
static lanes ratio(lanes a, lanes b) {
  lane_mask usable = b > 0;
  return choose(usable, a / choose(usable, b, all(1)), all(0));
}

/* The nearest level; ties go to the even one. x is far below 2^22. */
static lanes nearest(lanes x, level_range range) {
  const float shift = 0x1.8p23f;    /* floats of this size are integers */
  for (int l = 0; l < LANES; l++) { /* compilers know this as a minimum and a maximum */
    x[l] = x[l] < range.low ? range.low : x[l];
    x[l] = x[l] > range.high ? range.high : x[l];
  }
  return (x + shift) - shift;
}

residue fit_residue(const quad *p, level_range range, line at) {
  residue f = {0};
  lanes per_scale = inverse(at.scale);
  for (int i = 0; i < p->n; i++) {
    lanes x = p->x[i] - at.min, q = nearest(x * per_scale, range), r = x - at.scale * q;
    f.rr += r * r;
    f.rq += r * q;
    f.r += r;
    f.qq += q * q;
    f.q += q;
  }
  return f;
}

void fit_levels(const quad *p, level_range range, line at, lanes level[MOST_WEIGHTS]) {
  lanes per_scale = inverse(at.scale);
  for (int i = 0; i < p->n; i++) level[i] = nearest((p->x[i] - at.min) * per_scale, range);
}

void fit_keep(line *best, lanes *least, line other, lanes error) {
  lane_mask better = error < *least;
  best->scale = choose(better, other.scale, best->scale);
  best->min = choose(better, other.min, best->min);
  *least = choose(better, error, *least);
}

/* The line of least squares through the origin for the levels of `at`. */
static line refit_scale(const residue *f, line at, lanes *error) {
  /* With x = r + scale q + min, sum of x q = rq + scale qq + min q, and likewise for x x. */
  lanes xq = f->rq + at.scale * f->qq + at.min * f->q, step = ratio(xq, f->qq) - at.scale;
  /* r - step q + min is what is left then. */
  *error = f->rr - 2 * step * f->rq + step * step * f->qq + at.min * (2 * (f->r - step * f->q));
  return (line){at.scale + step, all(0)};
}

/* The line of least squares for the levels of `at`. */
static line refit_line(const residue *f, float n, line at, lanes *error) {
  lanes determinant = n * f->qq - f->q * f->q;
  lanes step = ratio(n * f->rq - f->q * f->r, determinant), shift = (f->r - step * f->q) / n;
  *error = f->rr - step * f->rq - shift * f->r;
  return (line){at.scale + step, at.min + shift};
}

static line refit(const quad *p, level_range range, min_rule rule, line at, lanes *error) {
  residue f = fit_residue(p, range, at);
  lanes through_error;
  float n = (float)p->n;
  if (rule == MIN_ZERO) return refit_scale(&f, at, error);
  line fitted = refit_line(&f, n, at, error);
  if (rule == MIN_FREE) return fitted;
  line through = refit_scale(&f, at, &through_error);
  through_error += n * at.min * at.min;
  lane_mask fits = fitted.min <= 0;
  *error = choose(fits, *error, through_error);
  return (line){choose(fits, fitted.scale, through.scale), choose(fits, fitted.min, through.min)};
}

typedef struct search {
  const quad *p;
  level_range range;
  min_rule rule;
  line best;
  lanes least;
} search;

static void consider(search *s, line at) {
  lanes error;
  line fitted = refit(s->p, s->range, s->rule, at, &error);
  fit_keep(&s->best, &s->least, fitted, error);
}

/* Puts the weight of largest magnitude at places around both ends of the range, the ends themselves among them. */
static void search_scales(search *s) {
  const bool fine = s->range.high > 40;
  const float slack = fine ? 1 : 1.25f, step = fine ? 0.25f : 0.125f;
  lanes big = all(0);
  for (int i = 0; i < s->p->n; i++) big = choose(magnitude(s->p->x[i]) > magnitude(big), s->p->x[i], big);
  for (float place = s->range.low - slack; place <= s->range.low + slack; place += step)
    consider(s, (line){big / place, all(0)});
  if (s->range.low == -s->range.high) return;
  for (float place = s->range.high - slack; place <= s->range.high + slack; place += step)
    consider(s, (line){big / place, all(0)});
}

/* Stretches and shrinks the range of levels over the range of weights, from either end and from the middle. */
static void search_lines(search *s) {
  static const float ends[] = {0, 0.5f, 1};
  lanes least = s->p->x[0], most = least;
  for (int i = 1; i < s->p->n; i++) {
    least = choose(s->p->x[i] < least, s->p->x[i], least);
    most = choose(s->p->x[i] > most, s->p->x[i], most);
  }
  if (s->rule == MIN_NOT_POSITIVE) least = choose(least > 0, all(0), least);
  for (float wider = -1; wider <= 2; wider += 0.25f)
    for (int e = 0; e < 3; e++) {
      if (wider == 0 && e) continue;
      lanes scale = (most - least) / (s->range.high + wider);
      consider(s, (line){scale, least + scale * (wider * ends[e])});
    }
}

line fit_search(const quad *p, level_range range, min_rule rule) {
  search s = {.p = p, .range = range, .rule = rule, .least = all(FLT_MAX)};
  if (rule == MIN_ZERO)
    search_scales(&s);
  else
    search_lines(&s);
  for (int i = 0; i < 3; i++) consider(&s, s.best);
  return s.best;
}
