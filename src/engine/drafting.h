/* How many tokens of drafts a step has: as many as give the most tokens for its time, by how often drafts were right
 * and by what steps of so many tokens took. */
#ifndef ENGINE_DRAFTING_H
#define ENGINE_DRAFTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STEP_TIMES = 128 };

/* What steps of a size took. */
typedef struct step_time {
  double time;    /* the least of the first few, then an average */
  uint32_t n;     /* of the first few that were seen */
  uint32_t noted; /* when the last was, by the clock */
} step_time;

/* What steps of single tokens and drafts took, by how many tokens they had. What was not seen for long is forgotten, so
 * that it is tried again. Zeroed: nothing is known. */
typedef struct step_times {
  step_time of[STEP_TIMES + 1];
  uint32_t clock; /* of steps */
} step_times;

/* A step of n >= 1 tokens took so long, in whatever unit. */
void step_times_note(step_times *t, size_t n, double time);

/* What a step of n >= 1 tokens is expected to take; 0 if nothing is known. */
double step_times_expect(const step_times *t, size_t n);

/* A draft that may follow a token of a step. */
typedef struct draft_outlook {
  double right; /* how likely its first token is right, and each further one if those before it were */
  size_t most;  /* tokens that it may have */
  double round; /* time that each of them takes beforehand, for all drafts that have such a time together; 0: none */
  size_t n;     /* that it gets, */
  double next;  /* and how likely the one behind them is right */
} draft_outlook;

/* Chooses n for each of the drafts of a step that has `base` tokens without them, of which each gives one; together at
 * most `room`. */
void drafts_choose(const step_times *t, size_t base, size_t room, draft_outlook *drafts, size_t n_drafts);

#endif
