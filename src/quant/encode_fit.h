/* Fitting scale * level + min to a few weights: the search inside quant_encode().
 *
 * A sub-block is the 16 or 32 weights that share a scale. Four of them, a quad, are fitted side by side, each in a lane
 * of its own. So the vectors that every processor has are put to use, and a sub-block's result depends on no other. */
#ifndef QUANT_ENCODE_FIT_H
#define QUANT_ENCODE_FIT_H

#include <stdint.h>

enum { LANES = 4, MOST_WEIGHTS = 32 };

typedef float lanes __attribute__((vector_size(4 * LANES)));

/* Four sub-blocks of n weights: x[i] holds weight i of each. */
typedef struct quad {
  int n;
  lanes x[MOST_WEIGHTS];
} quad;

typedef enum min_rule { MIN_ZERO, MIN_FREE, MIN_NOT_POSITIVE } min_rule;

/* Levels are the integers low .. high. */
typedef struct level_range {
  float low, high;
} level_range;

typedef struct line {
  lanes scale, min;
} line;

/* What is left of the weights when each takes the level nearest to it on a line: sums over r = weight - (scale * q +
 * min) and the levels q. */
typedef struct residue {
  lanes rr, rq, r, qq, q;
} residue;

residue fit_residue(const quad *p, level_range range, line at);

/* The levels themselves. */
void fit_levels(const quad *p, level_range range, line at, lanes level[MOST_WEIGHTS]);

/* The best line that the search finds. */
line fit_search(const quad *p, level_range range, min_rule rule);

/* Takes `other` where its error is below *least. */
void fit_keep(line *best, lanes *least, line other, lanes error);

#endif
