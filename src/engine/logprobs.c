/* Log-probabilities: l - top - ln(sum of weights), with the weights of sampling at temperature 1. */
#include "base/error.h"
#include "base/exponential.h"
#include "engine/candidates.h"

#include <math.h>

static double logprob_of(float logit, float top, double ln_total) {
  if (!isfinite(logit)) return -INFINITY;
  return ((double)logit - (double)top) - ln_total;
}

/* Lists the k candidates that rank first, one by one: k is small, or there are few rows. */
static void list_best(sampler_scratch *c, float top, double ln_total, size_t k, gale_logprob *best) {
  for (size_t i = 0; i < k; i++) {
    size_t first = 0;
    for (size_t j = 1; j < c->n; j++)
      if (c->logit[j] > c->logit[first]) first = j;
    best[i] = (gale_logprob){c->token[first], logprob_of(c->logit[first], top, ln_total)};
    c->logit[first] = -INFINITY;
  }
}

gale_status sampler_logprobs(sampler_scratch *c, const float *logits, int32_t n_tokens, gale_logprob *chosen, size_t k,
                             gale_logprob *best, size_t *n_best, gale_error *error) {
  size_t n = (size_t)n_tokens;
  float top;
  candidates_look(c, logits, n, &top);
  if (!isfinite(top))
    return error_set(error, GALE_E_NUMERIC, "no logit is finite: the model's weights or input are unsound");
  c->by = (scan_scale){.top = (double)top, .scale = 1, .one = n < 1 << 20 ? 0x1p44 : 0x1p39};
  uint64_t total = c->scan->sums(logits, n, &c->by, c->sums);
  double ln_total = double_log((double)total / c->by.one);
  if (chosen) chosen->logprob = logprob_of(logits[chosen->token], top, ln_total);
  if (k == 0) return GALE_OK;
  candidates_take(c, logits, n, (double)candidates_reached_by(c, n, k));
  candidates_keep_best(c, k);
  *n_best = c->n;
  list_best(c, top, ln_total, c->n, best);
  return GALE_OK;
}
