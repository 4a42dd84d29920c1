/* The tokens of one row that may still be drawn, and the steps that make them fewer.
 *
 * Candidates are in order of the vocabulary. They rank by logit, of equal ones the smaller token first. Weights are
 * whole numbers, so that sums of them are exact in any order. */
#ifndef ENGINE_CANDIDATES_H
#define ENGINE_CANDIDATES_H

#include "engine/sampler.h"
#include "engine/scan.h"

struct sampler_scratch {
  const scan_kernels *scan;
  int32_t vocab_size;
  float *row;     /* [vocab_size]: logits after bias, penalties and bans */
  float *maxima;  /* [blocks]: of the row that is looked at */
  uint64_t *sums; /* [blocks]: of its weights */
  float *logit;   /* [vocab_size]: candidates 0 .. n - 1 */
  int32_t *token; /* likewise */
  uint64_t *weight;
  int32_t *active; /* [vocab_size]: numbers of candidates */
  uint64_t *mass;  /* [MASS_BUCKETS] */
  uint32_t *mask;  /* [mask_words], where a mask was asked for */
  size_t mask_words;
  size_t n;
  uint64_t total; /* of the candidates' weights */
  scan_scale by;
};

/* Looks at a row: *top becomes its largest finite logit, -INFINITY if there is none. */
void candidates_look(sampler_scratch *c, const float *row, size_t n, float *top);

/* The first token of the row that has this logit, which is the largest. */
int32_t candidates_first(const sampler_scratch *c, const float *row, size_t n, float top);

/* A logit that at least k of the row reach, -INFINITY where none is easily known. */
float candidates_reached_by(sampler_scratch *c, size_t n, size_t k);

/* Takes the tokens of the row whose logits are finite and at least `floor`. */
void candidates_take(sampler_scratch *c, const float *row, size_t n, double floor);

/* Weighs the candidates, by c->by. Until then only candidates_keep_best() may be called. */
void candidates_weigh(sampler_scratch *c);

/* Keeps the k that rank first. */
void candidates_keep_best(sampler_scratch *c, size_t k);

/* The least whole number that is at least share of total, and at least 1. */
uint64_t candidates_share(uint64_t total, double share);

/* Keeps as few of the first, by rank, as weigh at least `target` together; all if they weigh less. */
void candidates_keep_weight(sampler_scratch *c, uint64_t target);

/* Keeps a share of c->total likewise, ranking by how near the surprise of a token is to the expected one. */
void candidates_keep_typical(sampler_scratch *c, double share);

/* Keeps those whose weight is at least least times the largest one. */
void candidates_keep_above(sampler_scratch *c, double least);

/* Of those whose probability is at least threshold, drops all but the last in rank. */
void candidates_drop_top(sampler_scratch *c, double threshold);

/* The candidate in whose weights, laid end to end, lies the point random / 2^64 of their total. */
int32_t candidates_draw(const sampler_scratch *c, uint64_t random);

/* The same for all tokens of a row, whose weights c->sums holds. */
int32_t candidates_draw_row(sampler_scratch *c, const float *row, size_t n, uint64_t random);

#endif
