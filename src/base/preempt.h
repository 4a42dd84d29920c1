/* The policy for busy machines: what a worker thread does when another program takes its processor.
 *
 * A worker that is preempted while it holds an item of work makes all others wait for some milliseconds, until the
 * scheduler gives the processor back. So a worker that finds itself preempted repeatedly works in bursts for a while:
 * shorter than the time slice after which the scheduler would interrupt it, with rests between them, which it takes
 * while it holds no item.
 *
 * On a busy machine the scheduler may also put two workers on one processor, where they preempt each other. A worker
 * that sees this narrows its affinity to processors where no other worker was seen, and gives back what it had when the
 * bursts end. An affinity that somebody else has set meanwhile is left as it is.
 *
 * A preempt belongs to one thread, which makes all calls; preempt_processors is shared by the threads of a team. */
#ifndef BASE_PREEMPT_H
#define BASE_PREEMPT_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The processor on which each of n workers was seen last; -1: none was. */
typedef struct preempt_processors {
  int n;
  atomic_int *seen;
} preempt_processors;

/* Times are in nanoseconds of the monotonic clock. */
typedef struct preempt {
  const preempt_processors *processors;
  int index;                /* of this worker in it */
  bool may_move;            /* its affinity may be narrowed: not that of a thread which is the caller's */
  bool bursts;              /* works in bursts */
  bool apart;               /* its affinity is narrowed */
  cpu_set_t before, narrow; /* what it was, and what it is while it is narrowed */
  int64_t wall, cpu;  /* of the last look: the clock, and the thread's processor time; wall 0: none since it slept */
  long switches;      /* involuntary context switches until then */
  int64_t preempted;  /* when a preemption was last seen */
  int64_t bursts_end; /* when the worker returns to working without rests */
  int64_t burst_start, rest_end;
} preempt;

void preempt_open(preempt *p, const preempt_processors *processors, int index, bool may_move);

int64_t preempt_clock(void);

/* Looks, at most once in a millisecond, whether the processor was taken since the last look. To be called often, while
 * the thread holds no item. */
void preempt_watch(preempt *p);

/* Whether the worker should rest, until rest_end. */
bool preempt_wants_rest(preempt *p);

/* To be called after the thread slept: time asleep is not time lost to another program. */
static inline void preempt_slept(preempt *p) {
  p->wall = 0;
}

/* To be called after a rest. */
void preempt_rested(preempt *p);

#endif
