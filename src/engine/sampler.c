/* Choosing the next token from its logits.
 *
 * In order: repeat penalty, top-k, top-p, min-p (both on the probabilities at temperature 1), temperature,
 * draw. Probabilities are doubles, summed in order of the vocabulary; equal logits rank by the smaller id. */
#include "base/error.h"
#include "base/random.h"
#include "base/sized.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct candidate {
  double weight; /* exp(logit - largest logit) */
  float logit;
  int32_t id;
} candidate;

struct gale_sampler {
  gale_sampler_options options;
  int32_t vocab_size;
  uint64_t draws;        /* made so far */
  candidate *candidates; /* [vocab_size] */
  int32_t *count;        /* [vocab_size]: how often an id is among the last repeat_last */
  int32_t *history;      /* ring of repeat_last ids; NULL where nothing is ever forgotten */
  int64_t n_history;     /* accepted in all */
};

void gale_sampler_defaults_sized(gale_sampler_options *options, size_t size) {
  const gale_sampler_options defaults = {
      .temperature = 0.8, .top_k = 40, .top_p = 0.95, .min_p = 0.05, .repeat_penalty = 1.0, .repeat_last = 64};
  sized_write(options, size, &defaults, sizeof defaults);
}

static gale_status check_options(const gale_sampler_options *o, gale_error *error) {
  const struct {
    const char *name, *range;
    double value;
    bool accepted;
  } checks[] = {
      {"temperature", "0 to 100", o->temperature, o->temperature >= 0 && o->temperature <= 100},
      {"top_k", "0 (off) or more", o->top_k, o->top_k >= 0},
      {"top_p", "above 0 up to 1", o->top_p, o->top_p > 0 && o->top_p <= 1},
      {"min_p", "0 to 1", o->min_p, o->min_p >= 0 && o->min_p <= 1},
      {"repeat_penalty", "above 0 up to 100", o->repeat_penalty, o->repeat_penalty > 0 && o->repeat_penalty <= 100},
      {"repeat_last", "-1 (all) to 1048576", o->repeat_last, o->repeat_last >= -1 && o->repeat_last <= 1 << 20},
  };
  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
    if (!checks[i].accepted)
      return error_set(error, GALE_E_ARGUMENT, "%s is %g: %s is accepted", checks[i].name, checks[i].value,
                       checks[i].range);
  return GALE_OK;
}

gale_status gale_sampler_open(const gale_sampler_options *options, int32_t vocab_size, gale_sampler **sampler,
                              gale_error *error) {
  gale_sampler_options o;
  gale_sampler_defaults(&o);
  gale_status status = options ? sized_read(&o, sizeof o, options, "gale_sampler_options", error) : GALE_OK;
  if (!status) status = check_options(&o, error);
  if (status) return status;
  if (vocab_size < 1) return error_set(error, GALE_E_ARGUMENT, "vocab_size is %d", vocab_size);
  gale_sampler *s = calloc(1, sizeof *s);
  if (!s) return error_memory(error, sizeof *s);
  s->options = o;
  s->vocab_size = vocab_size;
  s->candidates = malloc((size_t)vocab_size * sizeof *s->candidates);
  s->count = calloc((size_t)vocab_size, sizeof *s->count);
  if (o.repeat_last > 0) s->history = malloc((size_t)o.repeat_last * sizeof *s->history);
  if (!s->candidates || !s->count || (o.repeat_last > 0 && !s->history)) {
    gale_sampler_close(&s);
    return error_memory(error, (uint64_t)vocab_size * sizeof(candidate));
  }
  *sampler = s;
  return GALE_OK;
}

void gale_sampler_close(gale_sampler **sampler) {
  gale_sampler *s = *sampler;
  if (!s) return;
  free(s->candidates);
  free(s->count);
  free(s->history);
  free(s);
  *sampler = NULL;
}

gale_status gale_sampler_accept(gale_sampler *s, int32_t token, gale_error *error) {
  if (token < 0 || token >= s->vocab_size)
    return error_set(error, GALE_E_ARGUMENT, "token is %d: 0 to %d is accepted", token, s->vocab_size - 1);
  if (s->options.repeat_last == 0) return GALE_OK;
  if (s->history) {
    int32_t *oldest = &s->history[s->n_history % s->options.repeat_last];
    if (s->n_history >= s->options.repeat_last) s->count[*oldest]--;
    *oldest = token;
  }
  s->count[token]++;
  s->n_history++;
  return GALE_OK;
}

/* ---- Choosing ---- */

/* A logit after the repeat penalty. */
static float penalised(const gale_sampler *s, const float *logits, int32_t id) {
  float logit = logits[id];
  if (s->count[id] == 0 || s->options.repeat_penalty == 1) return logit;
  double penalty = s->options.repeat_penalty;
  return (float)(logit > 0 ? (double)logit / penalty : (double)logit * penalty);
}

/* True if a ranks before b. */
static bool before(const candidate *a, const candidate *b) {
  return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static int by_rank(const void *a, const void *b) {
  return before(a, b) ? -1 : 1;
}

static int by_id(const void *a, const void *b) {
  int32_t x = ((const candidate *)a)->id, y = ((const candidate *)b)->id;
  return (x > y) - (x < y);
}

static void sift_down(candidate *heap, size_t n, size_t i) {
  for (;;) {
    size_t worst = i, left = 2 * i + 1, right = left + 1;
    if (left < n && before(&heap[worst], &heap[left])) worst = left;
    if (right < n && before(&heap[worst], &heap[right])) worst = right;
    if (worst == i) return;
    candidate swap = heap[i];
    heap[i] = heap[worst];
    heap[worst] = swap;
    i = worst;
  }
}

/* Lists the best k finite logits, or all of them, in order of the vocabulary. A heap holds the best so far with
 * the worst of them on top. NaN ranks nowhere. */
static size_t list_candidates(gale_sampler *s, const float *logits, size_t k) {
  candidate *c = s->candidates;
  size_t n = 0;
  for (int32_t id = 0; id < s->vocab_size; id++) {
    candidate one = {.logit = penalised(s, logits, id), .id = id};
    if (!isfinite(one.logit)) continue;
    if (n < k) {
      c[n++] = one;
      if (n == k)
        for (size_t i = n / 2; i-- > 0;) sift_down(c, n, i);
    } else if (before(&one, &c[0])) {
      c[0] = one;
      sift_down(c, n, 0);
    }
  }
  if (k < (size_t)s->vocab_size) qsort(c, n, sizeof *c, by_id);
  return n;
}

static size_t keep_top_p(candidate *c, size_t n, double total, double top_p) {
  qsort(c, n, sizeof *c, by_rank);
  double sum = 0;
  size_t kept = 0;
  while (kept < n && sum < top_p * total) sum += c[kept++].weight;
  qsort(c, kept, sizeof *c, by_id);
  return kept;
}

/* Uniform in [0, 1): the next value of a counter-based generator (splitmix64). */
static double draw(gale_sampler *s) {
  return (double)(random_at(s->options.seed, s->draws++) >> 11) * 0x1p-53;
}

static int32_t draw_from(gale_sampler *s, size_t n, float top) {
  candidate *c = s->candidates;
  double total = 0, sum = 0;
  for (size_t i = 0; i < n; i++) {
    c[i].weight = exp(((double)c[i].logit - (double)top) / s->options.temperature);
    total += c[i].weight;
  }
  double target = draw(s) * total;
  for (size_t i = 0; i < n; i++) {
    sum += c[i].weight;
    if (sum > target) return c[i].id;
  }
  return c[n - 1].id;
}

gale_status gale_sampler_choose(gale_sampler *s, const float *logits, int32_t *token, gale_error *error) {
  const gale_sampler_options *o = &s->options;
  candidate *c = s->candidates;
  size_t k = o->temperature == 0 ? 1 : o->top_k > 0 && o->top_k < s->vocab_size ? (size_t)o->top_k : SIZE_MAX;
  size_t n = list_candidates(s, logits, k);
  if (n == 0) return error_set(error, GALE_E_NUMERIC, "no logit is finite: the model's weights or input are unsound");
  float top = c[0].logit;
  for (size_t i = 1; i < n; i++) top = c[i].logit > top ? c[i].logit : top;
  double total = 0;
  for (size_t i = 0; i < n; i++) total += c[i].weight = exp((double)c[i].logit - (double)top);
  if (o->top_p < 1 && n > 1) n = keep_top_p(c, n, total, o->top_p);
  size_t kept = 0;
  for (size_t i = 0; i < n; i++)
    if (c[i].weight >= o->min_p) c[kept++] = c[i];
  *token = kept == 1 ? c[0].id : draw_from(s, kept, top);
  return GALE_OK;
}
