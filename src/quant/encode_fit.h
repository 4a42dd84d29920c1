/* Fitting scale * level + min to a few weights: the search inside quant_encode().
 *
 * Four parts are fitted side by side, a part being the 16 or 32 weights that share a scale, and each has a lane of its
 * own from beginning to end. So the processor's narrowest vectors are put to use, and what becomes of a part depends on
 * nothing else. */
#ifndef QUANT_ENCODE_FIT_H
#define QUANT_ENCODE_FIT_H

#include <stdint.h>

enum { LANES = 4, MOST_WEIGHTS = 32 };

typedef float lanes __attribute__((vector_size(4 * LANES)));

/* Four parts of n weights: x[i] holds weight i of each. */
typedef struct parts {
  int n;
  lanes x[MOST_WEIGHTS];
} parts;

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

residue fit_residue(const parts *p, level_range range, line at);

/* The levels themselves. */
void fit_levels(const parts *p, level_range range, line at, lanes level[MOST_WEIGHTS]);

/* The best line that the search finds. */
line fit_search(const parts *p, level_range range, min_rule rule);

/* Takes `other` where its error is below *least. */
void fit_keep(line *best, lanes *least, line other, lanes error);

#endif
