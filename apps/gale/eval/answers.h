/* Numbers in generated answers, and which answers are the same. */
#ifndef GALE_EVAL_ANSWERS_H
#define GALE_EVAL_ANSWERS_H

#include "json/value.h"

/* What an answer without a number counts as. */
#define NO_ANSWER "[invalid]"

/* Each gives part of the text, or NO_ANSWER.
 *   strict    the first match of `#### (\-?[0-9\.\,]+)`; of a chain of thought of `The answer is (\-?[0-9\.\,]+).`,
 *             whose last dot is any character but a newline
 *   flexible  the last match of `(-?[$0-9.,]{2,})|(-?[0-9]+)`
 *   vote      the first match of `The answer is (\-?[0-9\.\,]*[0-9]+)` */
slice answer_strict(slice response, bool chain);
slice answer_flexible(slice response);
slice answer_vote(slice response);

/* Whether an answer is the right one, once commas, dollars, all up to the last "#### ", one dot at the end, and case
 * are gone from both. False also when out of memory. */
bool answer_is(slice answer, slice right);

/* Which of n >= 1 answers is the most frequent, of equally frequent ones the first. */
int32_t answers_vote(const slice *answers, int32_t n);

/* Where the first of the stops (ended by NULL) begins, or the text's length. */
size_t answer_end(slice response, const char *const *stops);

#endif
