/* Log-probabilities from rows of logits. */
#ifndef GALE_EVAL_LOGITS_H
#define GALE_EVAL_LOGITS_H

#include <stdint.h>

/* ln of the sum of e^x over n >= 1 logits, in double, in an order of its own: the same bits on every machine. Not
 * finite where a logit is not. */
double logits_sum(const float *logits, int32_t n);

#endif
