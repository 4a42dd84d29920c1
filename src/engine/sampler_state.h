/* What a sampler consists of. */
#ifndef ENGINE_SAMPLER_STATE_H
#define ENGINE_SAMPLER_STATE_H

#include "engine/candidates.h"
#include "engine/history.h"

struct sampler {
  gale_sampler_options options; /* its arrays are the sampler's own */
  int32_t n_tokens;
  bool forces; /* some bias is 100 or more */
  history history;
  /* Mirostat: the largest surprise that may be drawn, in bits; and the last choice, which changes it once it is
   * accepted. */
  double most_surprise, chosen_surprise;
  int32_t chosen;
};

/* The row of logits that the sampler chooses from: `logits` itself, or scratch->row where bias, penalties, ends or mask
 * change it. Tokens that are not allowed have -INFINITY. */
const float *sampler_adjust(sampler *s, sampler_scratch *scratch, const float *logits, int64_t position,
                            const uint32_t *mask);

#endif
