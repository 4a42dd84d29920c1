/* How a text is cut to measure a model on it. */
#ifndef GALE_QUALITY_PASSAGES_H
#define GALE_QUALITY_PASSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Passage i is the ids from i * step on, each computed from an empty cache. The logits at its positions first to
 * length - 2 count: they predict the id that follows in the same passage, from at least first + 1 ids before it. */
typedef struct passages {
  int32_t *ids; /* owned */
  size_t n_ids;
  int32_t bos; /* takes the place of each passage's first id, unless it is -1 */
  int32_t length, step, first;
  int32_t count;
} passages;

enum { PASSAGE_LENGTH = 512, PASSAGE_LEAST = 4 };

/* Sets how passages are laid out: one after another, the second half of each counting; or, where stride is
 * not 0, one every stride ids, the last stride predictions of each counting. False unless length is at least
 * PASSAGE_LEAST and 0 <= stride < length. */
bool passages_lay_out(passages *p, int32_t length, int32_t stride);

/* How many passages n_ids ids have, the ends being left out that fill none. */
int32_t passages_in(const passages *p, size_t n_ids);

/* Ids that count passages reach over. */
uint64_t passages_reach(const passages *p, int32_t count);

/* Predictions that count in one passage, and in all. */
int32_t passages_scored(const passages *p);
uint64_t passages_total(const passages *p);

/* The stride that the passages were laid out with. */
int32_t passages_stride(const passages *p);

void passages_free(passages *p);

#endif
