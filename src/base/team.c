#include "base/team.h"

#include "base/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
static void relax(void) {
  _mm_pause();
}
#elif defined(__aarch64__)
static void relax(void) {
  __asm__ volatile("yield");
}
#else
static void relax(void) {}
#endif

/* Values that many threads write lie on cache lines of their own. */
enum { LINE = 128, SPINS = 4000 };

/* ---- Waiting ---- */

/* A number that only grows, and threads that wait for it. */
typedef struct signal_count {
  _Alignas(LINE) atomic_uint count;
  atomic_uint sleepers;
  pthread_mutex_t lock;
  pthread_cond_t changed;
} signal_count;

static void signal_open(signal_count *s) {
  pthread_condattr_t clock;
  atomic_init(&s->count, 0);
  atomic_init(&s->sleepers, 0);
  pthread_mutex_init(&s->lock, NULL);
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&s->changed, &clock);
  pthread_condattr_destroy(&clock);
}

static void signal_close(signal_count *s) {
  pthread_mutex_destroy(&s->lock);
  pthread_cond_destroy(&s->changed);
}

static void signal_raise(signal_count *s) {
  atomic_fetch_add(&s->count, 1);
  if (atomic_load(&s->sleepers) == 0) return;
  pthread_mutex_lock(&s->lock);
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
}

static unsigned signal_now(signal_count *s) {
  return atomic_load_explicit(&s->count, memory_order_acquire);
}

/* Whether a count that wraps has come to `target`. */
static bool reached(unsigned count, unsigned target) {
  return (int)(count - target) >= 0;
}

static struct timespec to_timespec(int64_t ns) {
  return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

/* Waits until the count reaches `target`, or until a time of the monotonic clock if that isn't 0. True if it slept. A
 * sleeper counts itself before it looks a last time, and signal_raise() looks for sleepers after it counts: one of the
 * two sees the other. */
static bool signal_wait(signal_count *s, unsigned target, int spins, int64_t until) {
  for (int i = 0; i < spins; i++) {
    if (reached(signal_now(s), target)) return false;
    relax();
  }
  const struct timespec end = to_timespec(until);
  int late = 0;
  pthread_mutex_lock(&s->lock);
  atomic_fetch_add(&s->sleepers, 1);
  while (!reached(atomic_load(&s->count), target) && !late)
    late = until ? pthread_cond_timedwait(&s->changed, &s->lock, &end) : pthread_cond_wait(&s->changed, &s->lock);
  atomic_fetch_sub(&s->sleepers, 1);
  pthread_mutex_unlock(&s->lock);
  return true;
}

/* ---- The team ---- */

/* The present operation in one word, from the lowest bits on: the next piece, how many workers are inside, and the last
 * digits of the operation's number. */
enum { NEXT_BITS = 34, INSIDE_BITS = 11, OP_BITS = 19 };
#define ONE_INSIDE ((uint64_t)1 << NEXT_BITS)
#define ONE_OP ((uint64_t)1 << (NEXT_BITS + INSIDE_BITS))

/* How a worker finds that its processor is not its own, and what it does then. Times are in nanoseconds. */
typedef struct patience {
  int64_t wall, cpu;   /* when it was last looked at, in both clocks; wall 0: not since the worker slept */
  long interrupted;    /* likewise: how often another thread took the processor */
  int64_t last;        /* when it was last seen to be interrupted */
  int64_t shy_until;   /* works in bursts until then */
  int64_t burst, rest; /* when the present burst began; when the present rest ends */
  bool shy, apart;     /* apart: kept off the processors of the other workers */
} patience;

struct team_worker {
  _Alignas(LINE) team *team;
  int index;
  pthread_t thread;
  unsigned op;          /* number of the operation it is in; its last digits count */
  bool inside;          /* counted in the team's state */
  bool gone;            /* what is left of the job is for others */
  int64_t next;         /* piece, of a team of one */
  atomic_int processor; /* when it was last looked at; -1: never */
  patience patience;
};

struct team {
  _Alignas(LINE) _Atomic uint64_t state;
  _Alignas(LINE) atomic_uint runners; /* 2 for each worker inside the run, and 1 while it is open to them */
  atomic_int active;                  /* workers of the run that are not gone */
  signal_count over;                  /* operations that were over while somebody slept */
  signal_count start;                 /* runs begun */
  signal_count done;                  /* runs whose operations are over */
  signal_count left;                  /* runs that the caller left before the others */
  _Alignas(LINE) int size;
  int spins;
  cpu_set_t processors; /* that the workers may run on */
  bool alone;           /* there is a processor for each worker, so that losing it means another program */
  atomic_bool closing;
  void (*job)(void *argument, team_worker *w);
  void *argument;
  unsigned first_op, run; /* of the present run */
  int n_threads;          /* started so far */
  team_worker *workers;
};

static uint64_t op_of(uint64_t state) {
  return state / ONE_OP;
}
static uint64_t inside_of(uint64_t state) {
  return state / ONE_INSIDE % ((uint64_t)1 << INSIDE_BITS);
}
static uint64_t next_of(uint64_t state) {
  return state % ONE_INSIDE;
}

static bool is_over(const team_worker *w, uint64_t state) {
  return op_of(state) != w->op % (1u << OP_BITS); /* a worker lags by the operations of one run at most */
}

/* ---- Busy processors ---- */

/* A burst ends before the scheduler would take the processor away, and the rest after it leaves the other program its
 * half; so the worker is hardly ever interrupted, while an interruption lasts some milliseconds, in which the others
 * wait for its piece. */
enum { MICROSECOND = 1000, LOOK = 1000 * MICROSECOND, LOST = 500 * MICROSECOND };
enum { BURST = 2000 * MICROSECOND, REST = 2500 * MICROSECOND, SHY = 200000 * MICROSECOND };

/* A program that computes takes the processor every few milliseconds; one that only looks in does not come back soon.
 */
enum { SOON = 20000 * MICROSECOND };

static int64_t clock_of(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The processors on which other workers were seen last. */
static void others_of(const team_worker *w, cpu_set_t *set) {
  CPU_ZERO(set);
  for (int i = 0; i < w->team->size; i++) {
    int processor = atomic_load_explicit(&w->team->workers[i].processor, memory_order_relaxed);
    if (i != w->index && processor >= 0 && processor < CPU_SETSIZE) CPU_SET(processor, set);
  }
}

/* A busy processor makes the scheduler put two workers on one, where they only interrupt each other. A thread of the
 * team, not the caller's, then keeps away from the others' processors for as long as it is shy. */
static void move_apart(team_worker *w, const cpu_set_t *others) {
  cpu_set_t set;
  CPU_XOR(&set, &w->team->processors, others);
  CPU_AND(&set, &set, &w->team->processors);
  if (CPU_COUNT(&set) > 0 && sched_setaffinity(0, sizeof set, &set) == 0) w->patience.apart = true;
}

static void interrupted(team_worker *w, int64_t now) {
  cpu_set_t others;
  int processor = sched_getcpu();
  others_of(w, &others);
  bool by_worker = processor >= 0 && processor < CPU_SETSIZE && CPU_ISSET(processor, &others);
  if (by_worker && w->index == 0) return;
  if (by_worker) move_apart(w, &others);
  bool again = now - w->patience.last < SOON;
  w->patience.last = now;
  if (!again) return;
  w->patience.shy_until = now + SHY;
  w->patience.burst = now;
}

/* Time in which a worker was interrupted and did not run is another thread's. */
static void watch(team_worker *w, int64_t now) {
  patience *p = &w->patience;
  if (p->wall != 0 && now - p->wall < LOOK) return;
  int64_t cpu = clock_of(CLOCK_THREAD_CPUTIME_ID), lost = p->wall != 0 ? now - p->wall - (cpu - p->cpu) : 0;
  struct rusage usage = {0};
  getrusage(RUSAGE_THREAD, &usage);
  atomic_store_explicit(&w->processor, sched_getcpu(), memory_order_relaxed);
  if (lost > LOST && usage.ru_nivcsw > p->interrupted) interrupted(w, now);
  p->wall = now;
  p->cpu = cpu;
  p->interrupted = usage.ru_nivcsw;
  p->shy = now < p->shy_until;
  if (p->shy || !p->apart) return;
  sched_setaffinity(0, sizeof w->team->processors, &w->team->processors);
  p->apart = false;
}

/* Whether it is time to let the other program run: a worker that goes by itself is not interrupted. */
static bool is_tired(team_worker *w, int64_t now) {
  patience *p = &w->patience;
  if (!p->shy) return false;
  if (now < p->rest) return true;
  if (now - p->burst < BURST) return false;
  p->rest = now + REST;
  return true;
}

/* Leaves the rest of the job to others, if there are any. */
static void go(team_worker *w) {
  team *t = w->team;
  if (atomic_fetch_sub(&t->active, 1) > 1)
    w->gone = true;
  else
    atomic_fetch_add(&t->active, 1);
}

/* Steps out of the operation, unless that would end it. */
static bool step_out(team_worker *w) {
  uint64_t s = atomic_load(&w->team->state);
  while (w->inside && inside_of(s) > 1)
    if (atomic_compare_exchange_weak(&w->team->state, &s, s - ONE_INSIDE)) w->inside = false;
  return !w->inside;
}

/* ---- Inside a job ---- */

int team_index(const team_worker *w) {
  return w->index;
}

int64_t team_take(team_worker *w, int64_t n) {
  team *t = w->team;
  if (t->size == 1) return (w->next += n) - n;
  if (w->patience.shy && !w->gone && is_tired(w, clock_of(CLOCK_MONOTONIC)) && step_out(w)) go(w);
  if (w->gone) return TEAM_NONE;
  uint64_t s = atomic_load_explicit(&t->state, memory_order_acquire), inside = w->inside ? 0 : ONE_INSIDE;
  do {
    if (is_over(w, s)) return TEAM_NONE;
  } while (!atomic_compare_exchange_weak_explicit(&t->state, &s, s + inside + (uint64_t)n, memory_order_acq_rel,
                                                  memory_order_acquire));
  w->inside = true;
  return (int64_t)next_of(s);
}

/* The last one to leave ends the operation: each of them saw that no pieces are left. */
static void leave(team_worker *w) {
  team *t = w->team;
  uint64_t s = atomic_load_explicit(&t->state, memory_order_relaxed), to;
  do to = inside_of(s) > 1 ? s - ONE_INSIDE : (op_of(s) + 1) * ONE_OP;
  while (!atomic_compare_exchange_weak(&t->state, &s, to));
  w->inside = false;
  if (op_of(to) != op_of(s) && atomic_load(&t->over.sleepers) > 0) signal_raise(&t->over);
}

/* Waits until the worker's operation is over. Looking at the state itself spares the turn to a second cache line. True
 * if it slept; see signal_wait(). */
static bool wait_over(team_worker *w) {
  team *t = w->team;
  for (int i = 0; i < t->spins; i++) {
    if (is_over(w, atomic_load_explicit(&t->state, memory_order_acquire))) return false;
    relax();
  }
  pthread_mutex_lock(&t->over.lock);
  atomic_fetch_add(&t->over.sleepers, 1);
  while (!is_over(w, atomic_load(&t->state))) pthread_cond_wait(&t->over.changed, &t->over.lock);
  atomic_fetch_sub(&t->over.sleepers, 1);
  pthread_mutex_unlock(&t->over.lock);
  return true;
}

void team_barrier(team_worker *w) {
  team *t = w->team;
  w->next = 0;
  if (t->size == 1) return;
  if (!w->inside) team_take(w, 0);
  if (w->inside) leave(w);
  if (!w->gone && wait_over(w)) w->patience.wall = 0;
  w->op++;
  if (t->alone && !w->gone) watch(w, clock_of(CLOCK_MONOTONIC));
}

/* ---- Runs ---- */

/* Runs the job; true if all of it is over. */
static bool work(team_worker *w) {
  team *t = w->team;
  w->op = t->first_op;
  w->gone = false;
  atomic_fetch_add(&t->active, 1);
  t->job(t->argument, w);
  team_barrier(w);
  if (w->gone) return false;
  if (!reached(signal_now(&t->done), t->run)) signal_raise(&t->done);
  return true;
}

static void end_rest(team_worker *w) {
  w->patience.wall = 0;
  w->patience.burst = clock_of(CLOCK_MONOTONIC);
}

static bool enter(team *t) {
  unsigned r = atomic_load(&t->runners);
  while (r % 2 == 1)
    if (atomic_compare_exchange_weak(&t->runners, &r, r + 2)) return true;
  return false;
}

static void *worker_main(void *argument) {
  team_worker *w = argument;
  team *t = w->team;
  for (unsigned seen = 0;;) {
    if (signal_wait(&t->start, seen + 1, t->spins, 0)) w->patience.wall = 0;
    seen = signal_now(&t->start);
    for (bool all = false; !all && !atomic_load(&t->closing) && enter(t);) {
      all = work(w);
      if (atomic_fetch_sub(&t->runners, 2) == 2) signal_raise(&t->left);
      if (all) break;
      const struct timespec end = to_timespec(w->patience.rest);
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
      end_rest(w);
    }
    if (atomic_load(&t->closing)) return NULL;
  }
}

void team_run(team *t, void (*job)(void *argument, team_worker *w), void *argument) {
  team_worker *w = &t->workers[0];
  if (t->size == 1) {
    w->next = 0;
    job(argument, w);
    return;
  }
  w->patience.wall = 0;
  t->job = job;
  t->argument = argument;
  t->first_op = (unsigned)op_of(atomic_load(&t->state));
  t->run = signal_now(&t->done) + 1;
  atomic_store(&t->active, 0);
  atomic_store(&t->runners, 3);
  signal_raise(&t->start);
  while (!work(w)) {
    signal_wait(&t->done, t->run, 0, w->patience.rest);
    end_rest(w);
    if (reached(signal_now(&t->done), t->run)) break;
  }
  unsigned seen = signal_now(&t->left);
  if (atomic_fetch_sub(&t->runners, 3) != 3 && signal_wait(&t->left, seen + 1, t->spins, 0)) w->patience.wall = 0;
}

/* ---- Opening ---- */

gale_status team_open(int n, team **out, gale_error *error) {
  team *t = NULL;
  if (posix_memalign((void **)&t, LINE, sizeof *t) != 0) return error_memory(error, sizeof *t);
  *t = (team){.size = n, .spins = n <= cpu_count() ? SPINS : 1, .alone = n <= cpu_count()};
  if (sched_getaffinity(0, sizeof t->processors, &t->processors) != 0) t->alone = false;
  atomic_init(&t->state, 0);
  atomic_init(&t->runners, 0);
  atomic_init(&t->active, 0);
  atomic_init(&t->closing, false);
  signal_count *signals[] = {&t->over, &t->start, &t->done, &t->left};
  for (int i = 0; i < 4; i++) signal_open(signals[i]);
  if (posix_memalign((void **)&t->workers, LINE, (size_t)n * sizeof *t->workers) != 0) {
    t->workers = NULL;
    team_close(&t);
    return error_memory(error, (uint64_t)n * sizeof *t->workers);
  }
  for (int i = 0; i < n; i++) t->workers[i] = (team_worker){.team = t, .index = i, .processor = -1};
  for (int i = 1; i < n; i++) {
    if (pthread_create(&t->workers[i].thread, NULL, worker_main, &t->workers[i]) != 0) {
      team_close(&t);
      return error_set(error, GALE_E_MEMORY, "thread %d of %d could not be started", i + 1, n);
    }
    t->n_threads++;
  }
  *out = t;
  return GALE_OK;
}

void team_close(team **out) {
  team *t = *out;
  if (!t) return;
  atomic_store(&t->closing, true);
  signal_raise(&t->start);
  for (int i = 1; i <= t->n_threads; i++) pthread_join(t->workers[i].thread, NULL);
  signal_count *signals[] = {&t->over, &t->start, &t->done, &t->left};
  for (int i = 0; i < 4; i++) signal_close(signals[i]);
  free(t->workers);
  free(t);
  *out = NULL;
}

int team_size(const team *t) {
  return t->size;
}
