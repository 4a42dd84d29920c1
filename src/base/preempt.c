#include "base/preempt.h"

#include <sys/resource.h>
#include <time.h>

enum { MICROSECOND = 1000, MILLISECOND = 1000 * MICROSECOND };

enum {
  LOOK_EVERY = MILLISECOND,
  LOST = 500 * MICROSECOND, /* more than that between two looks was taken by another thread */
  /* Two preemptions within this time are a program that computes; one that only looks in does not come back so soon. */
  REPEATED = 20 * MILLISECOND,
  BURSTS = 200 * MILLISECOND, /* how long a worker works in bursts after the last preemption */
  /* A burst ends before the scheduler would take the processor, the rest leaves the other program its half. */
  BURST = 2 * MILLISECOND,
  REST = 2500 * MICROSECOND
};

static int64_t clock_of(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t preempt_clock(void) {
  return clock_of(CLOCK_MONOTONIC);
}

void preempt_open(preempt *p, const preempt_processors *processors, int index, bool may_move) {
  *p = (preempt){.processors = processors, .index = index, .may_move = may_move};
}

/* The processors on which other workers were seen last. */
static void others_of(const preempt *p, cpu_set_t *set) {
  CPU_ZERO(set);
  for (int i = 0; i < p->processors->n; i++) {
    int processor = atomic_load_explicit(&p->processors->seen[i], memory_order_relaxed);
    if (i != p->index && processor >= 0 && processor < CPU_SETSIZE) CPU_SET(processor, set);
  }
}

/* Gives back the affinity that the thread had, unless somebody else has set one meanwhile. */
static void move_back(preempt *p) {
  cpu_set_t present;
  p->apart = false;
  if (sched_getaffinity(0, sizeof present, &present) == 0 && CPU_EQUAL(&present, &p->narrow))
    sched_setaffinity(0, sizeof p->before, &p->before);
}

static void move_apart(preempt *p, const cpu_set_t *others) {
  if (p->apart) move_back(p);
  if (sched_getaffinity(0, sizeof p->before, &p->before) != 0) return;
  CPU_XOR(&p->narrow, &p->before, others);
  CPU_AND(&p->narrow, &p->narrow, &p->before);
  if (CPU_COUNT(&p->narrow) > 0 && sched_setaffinity(0, sizeof p->narrow, &p->narrow) == 0) p->apart = true;
}

static void preempted(preempt *p, int64_t now) {
  cpu_set_t others;
  int processor = sched_getcpu();
  others_of(p, &others);
  bool by_worker = processor >= 0 && processor < CPU_SETSIZE && CPU_ISSET(processor, &others);
  if (by_worker && !p->may_move) return;
  if (by_worker) move_apart(p, &others);
  bool repeated = now - p->preempted < REPEATED;
  p->preempted = now;
  if (!repeated) return;
  p->bursts_end = now + BURSTS;
  p->burst_start = now;
}

void preempt_watch(preempt *p) {
  int64_t now = preempt_clock();
  if (p->wall != 0 && now - p->wall < LOOK_EVERY) return;
  int64_t cpu = clock_of(CLOCK_THREAD_CPUTIME_ID), lost = p->wall != 0 ? now - p->wall - (cpu - p->cpu) : 0;
  struct rusage usage = {0};
  getrusage(RUSAGE_THREAD, &usage);
  atomic_store_explicit(&p->processors->seen[p->index], sched_getcpu(), memory_order_relaxed);
  if (lost > LOST && usage.ru_nivcsw > p->switches) preempted(p, now);
  p->wall = now;
  p->cpu = cpu;
  p->switches = usage.ru_nivcsw;
  p->bursts = now < p->bursts_end;
  if (!p->bursts && p->apart) move_back(p);
}

bool preempt_wants_rest(preempt *p) {
  if (!p->bursts) return false;
  int64_t now = preempt_clock();
  if (now < p->rest_end) return true;
  if (now - p->burst_start < BURST) return false;
  p->rest_end = now + REST;
  return true;
}

void preempt_rested(preempt *p) {
  preempt_slept(p);
  p->burst_start = preempt_clock();
}
