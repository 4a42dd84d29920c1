/* The team's shared words and the steps from one value to the next, without memory and threads: team.c makes each step
 * with one atomic operation, and tests/base/test_team_model.c tries all orders in which workers can make them. */
#ifndef BASE_TEAM_STATE_H
#define BASE_TEAM_STATE_H

#include <stdbool.h>
#include <stdint.h>

/* ---- The operation's word ----
 * From the lowest bits on: the next item, the number of workers inside, the last digits of the operation's number. */
enum { TEAM_NEXT_BITS = 34, TEAM_INSIDE_BITS = 11, TEAM_OP_BITS = 19 };
#define TEAM_ONE_INSIDE ((uint64_t)1 << TEAM_NEXT_BITS)
#define TEAM_ONE_OP ((uint64_t)1 << (TEAM_NEXT_BITS + TEAM_INSIDE_BITS))

static inline uint64_t team_op_of(uint64_t state) {
  return state / TEAM_ONE_OP;
}
static inline uint64_t team_inside_of(uint64_t state) {
  return state / TEAM_ONE_INSIDE % ((uint64_t)1 << TEAM_INSIDE_BITS);
}
static inline uint64_t team_next_of(uint64_t state) {
  return state % TEAM_ONE_INSIDE;
}

/* Whether operation op is over. A worker is behind by the operations of one run at most, so the digits suffice. */
static inline bool team_is_over(uint64_t state, unsigned op) {
  return team_op_of(state) != op % (1u << TEAM_OP_BITS);
}

/* Takes n items of an operation that is not over; the first take counts the worker as inside. */
static inline uint64_t team_after_take(uint64_t state, bool inside, uint64_t n) {
  return state + (inside ? 0 : TEAM_ONE_INSIDE) + n;
}

/* A worker that is inside and found no items left leaves; the last one begins the next operation. */
static inline uint64_t team_after_leave(uint64_t state) {
  return team_inside_of(state) > 1 ? state - TEAM_ONE_INSIDE : (team_op_of(state) + 1) * TEAM_ONE_OP;
}

/* A worker that is inside and wants to rest can step out only if another one stays inside: else nobody might be left to
 * end the operation, and those who found no items left would wait for the end of its rest. */
static inline bool team_can_step_out(uint64_t state) {
  return team_inside_of(state) > 1;
}
static inline uint64_t team_after_step_out(uint64_t state) {
  return state - TEAM_ONE_INSIDE;
}

/* ---- The run's word ----
 * One bit says that workers may still come in, the others count those who are in. */
enum { TEAM_RUN_OPEN = 1, TEAM_RUN_WORKER = 2 };

/* The run as its caller begins it: open, and the caller is in. */
enum { TEAM_RUN_BEGIN = TEAM_RUN_OPEN + TEAM_RUN_WORKER };

static inline bool team_can_enter(unsigned run) {
  return run % 2 == TEAM_RUN_OPEN;
}
static inline unsigned team_after_enter(unsigned run) {
  return run + TEAM_RUN_WORKER;
}

/* A worker's exit ends the run if the caller closed it before; the caller closes it as it leaves, and that ends the run
 * if nobody else is in. Both are told by the value before. */
static inline bool team_exit_ends(unsigned before) {
  return before == TEAM_RUN_WORKER;
}
static inline bool team_close_ends(unsigned before) {
  return before == TEAM_RUN_BEGIN;
}

/* ---- The number of active workers ----
 * Those who came into the run, or came again, and have not given up the rest of the job. */

/* Whether a worker may give up the rest, by the number before it took itself off. */
static inline bool team_others_active(int before) {
  return before > 1;
}

#endif
