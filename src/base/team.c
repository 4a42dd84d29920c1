#include "base/team.h"

#include "base/checks.h"
#include "base/cpu.h"
#include "base/preempt.h"
#include "base/team_state.h"
#include "base/wait.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

/* The protocol. Its steps are in team_state.h, and all their interleavings are tried by tests/base/test_team_model.c.
 *
 * An operation is described by one word, `state`: the operation's number, how many workers are inside it, the next
 * item. It changes by compare-and-swap only:
 *   take      the next item grows; a worker's first take of an operation also counts it as inside
 *   leave     at the barrier: one fewer inside; the last one sets the next operation's number, with no item taken
 *   step out  before a rest: one fewer inside, allowed only while another worker is inside
 * Hence:
 *   1. Every item is taken by one worker: within an operation the next item only grows.
 *   2. Who holds an item is inside: it takes, works, and takes again or leaves.
 *   3. When an operation's number is passed, all its items are done: the last one inside found none left before it
 *      left, all others finished theirs before they left or stepped out, and by 2 nobody else holds one.
 *   4. A worker that finds another number than its own takes nothing: its operation is over. So who is late skips what
 *      is done, and nobody waits for a worker that is not inside.
 *   5. What was written in an operation is visible in the later ones: the last to leave has read the word after all
 *      others changed it, and who enters the next operation reads it after that.
 *
 * A run is described by `runners`: whether workers may still come in, and how many are in. `active` counts those who
 * came in and did not give up the rest of the job, in order to sleep.
 *   6. A worker reads the job, its argument and its first operation after it came in, and the caller returns, and
 *      sets others, only when the run is closed and all have gone out.
 *   7. Somebody finishes the job: a worker gives up only while another one is active, and who is active goes through
 *      all operations.
 *   8. `done` reaches the run's number when a worker has finished: by 4 and 7 all operations are over then. A caller
 * that gave up waits for that, or for the end of its rest, after which it runs the job again.
 *   9. The last to go out of a closed run raises `left`, once; a caller that was not the last waits for it. */

/* How often a waiting thread looks before it sleeps: some tens of microseconds. */
enum { SPINS = 4000 };

/* Bytes of a thread's stack. The largest frames below a job are those of attention, which hold 160 KB, and several
 * times that with sanitizers; the default of musl is 128 KB. */
enum { STACK = 1 << 20 };

struct team_worker {
  _Alignas(WAIT_LINE) team *team;
  int index;
  pthread_t thread;
  unsigned op;    /* number of the operation that the worker is at; it wraps */
  bool inside;    /* counted in the team's state */
  bool gone;      /* gave up the rest of the job */
  int64_t next;   /* item, of a team of one */
  preempt policy; /* all zero where the team does not give way */
};

struct team {
  _Alignas(WAIT_LINE) _Atomic uint64_t state;
  _Alignas(WAIT_LINE) atomic_uint runners;
  atomic_int active;
  _Alignas(WAIT_LINE) wait_queue over; /* for the end of an operation */
  wait_count start;                    /* runs begun */
  wait_count done;                     /* runs whose operations are over */
  wait_count left;                     /* runs that the caller left before the others */
  _Alignas(WAIT_LINE) int size;
  int spins;
  bool gives_way;
  atomic_bool closing;
  void (*job)(void *argument, team_worker *w);
  void *argument;
  unsigned first_op, run; /* of the present run */
  int n_threads;          /* started so far */
  team_worker *workers;
  preempt_processors processors;
};

#ifdef GALE_CHECKS
/* Between runs nobody is inside anything. */
static const char *check_idle(const team *t) {
  uint64_t s = atomic_load(&t->state);
  if (team_inside_of(s) != 0) return "a worker is inside an operation between runs";
  if (team_next_of(s) != 0) return "items of an operation are taken between runs";
  if (atomic_load(&t->runners) != 0) return "a run is open, or a worker in it, between runs";
  if (!wait_reached(wait_now(&t->done), t->run)) return "a run has ended before its operations were over";
  for (int i = 0; i < t->size; i++)
    if (t->workers[i].inside) return "a worker takes itself for inside between runs";
  return NULL;
}

/* A change of the word by a worker in a run. */
static const char *check_change(const team *t, uint64_t from, uint64_t to) {
  if (team_inside_of(to) > (uint64_t)t->size) return "more workers are inside an operation than there are";
  if (team_op_of(to) == team_op_of(from)) return team_next_of(to) < team_next_of(from) ? "items were given back" : NULL;
  if (team_inside_of(from) != 1) return "an operation ended with workers inside";
  return team_next_of(to) || team_inside_of(to) ? "an operation began with items taken" : NULL;
}
#endif

/* ---- Inside a job ---- */

int team_index(const team_worker *w) {
  return w->index;
}

/* Steps out of the operation unless that would leave its rest to nobody. */
static bool step_out(team_worker *w) {
  uint64_t s = atomic_load(&w->team->state);
  while (w->inside && team_can_step_out(s))
    if (atomic_compare_exchange_weak(&w->team->state, &s, team_after_step_out(s))) w->inside = false;
  return !w->inside;
}

/* Gives up the rest of the job unless nobody else would do it. */
static void give_up(team_worker *w) {
  team *t = w->team;
  if (team_others_active(atomic_fetch_sub(&t->active, 1)))
    w->gone = true;
  else
    atomic_fetch_add(&t->active, 1);
}

int64_t team_take(team_worker *w, int64_t n) {
  team *t = w->team;
  if (t->size == 1) return (w->next += n) - n;
  if (w->policy.bursts && !w->gone && preempt_wants_rest(&w->policy) && step_out(w)) give_up(w);
  if (w->gone) return TEAM_NONE;
  uint64_t s = atomic_load_explicit(&t->state, memory_order_acquire);
  do {
    if (team_is_over(s, w->op)) return TEAM_NONE;
  } while (!atomic_compare_exchange_weak_explicit(&t->state, &s, team_after_take(s, w->inside, (uint64_t)n),
                                                  memory_order_acq_rel, memory_order_acquire));
  CHECK_INVARIANTS(check_change(t, s, team_after_take(s, w->inside, (uint64_t)n)));
  w->inside = true;
  return (int64_t)team_next_of(s);
}

static void leave(team_worker *w) {
  team *t = w->team;
  uint64_t s = atomic_load_explicit(&t->state, memory_order_relaxed), to;
  do to = team_after_leave(s);
  while (!atomic_compare_exchange_weak(&t->state, &s, to));
  CHECK_INVARIANTS(check_change(t, s, to));
  w->inside = false;
  if (team_op_of(to) != team_op_of(s)) wait_wake(&t->over);
}

static bool is_over(const void *what) {
  const team_worker *w = what;
  return team_is_over(atomic_load(&w->team->state), w->op);
}

/* Spins on the word itself, which its next operation is read from too, so that a second cache line is spared. */
static void wait_over(team_worker *w) {
  team *t = w->team;
  for (int i = 0; i < t->spins; i++) {
    if (team_is_over(atomic_load_explicit(&t->state, memory_order_acquire), w->op)) return;
    wait_relax();
  }
  wait_sleep(&t->over, is_over, w, 0);
  preempt_slept(&w->policy);
}

void team_barrier(team_worker *w) {
  team *t = w->team;
  w->next = 0;
  if (t->size == 1) return;
  if (!w->inside) team_take(w, 0);
  if (w->inside) leave(w);
  if (!w->gone) wait_over(w);
  w->op++;
  if (t->gives_way && !w->gone) preempt_watch(&w->policy);
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
  if (!wait_reached(wait_now(&t->done), t->run)) wait_raise(&t->done);
  return true;
}

static bool enter(team *t) {
  unsigned r = atomic_load(&t->runners);
  while (team_can_enter(r))
    if (atomic_compare_exchange_weak(&t->runners, &r, team_after_enter(r))) return true;
  return false;
}

static void rest(team_worker *w) {
  const int64_t end = w->policy.rest_end;
  const struct timespec until = {.tv_sec = (time_t)(end / 1000000000), .tv_nsec = (long)(end % 1000000000)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
  preempt_rested(&w->policy);
}

static void *worker_main(void *argument) {
  team_worker *w = argument;
  team *t = w->team;
  for (unsigned seen = 0;;) {
    if (wait_for(&t->start, seen + 1, t->spins, 0)) preempt_slept(&w->policy);
    seen = wait_now(&t->start);
    for (bool all = false; !all && !atomic_load(&t->closing) && enter(t);) {
      all = work(w);
      if (team_exit_ends(atomic_fetch_sub(&t->runners, TEAM_RUN_WORKER))) wait_raise(&t->left);
      if (!all) rest(w);
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
  preempt_slept(&w->policy);
  t->job = job;
  t->argument = argument;
  t->first_op = (unsigned)team_op_of(atomic_load(&t->state));
  t->run = wait_now(&t->done) + 1;
  atomic_store(&t->active, 0);
  atomic_store(&t->runners, TEAM_RUN_BEGIN);
  wait_raise(&t->start);
  while (!work(w)) {
    wait_for(&t->done, t->run, 0, w->policy.rest_end);
    preempt_rested(&w->policy);
    if (wait_reached(wait_now(&t->done), t->run)) break;
  }
  unsigned seen = wait_now(&t->left);
  bool ended = team_close_ends(atomic_fetch_sub(&t->runners, TEAM_RUN_BEGIN));
  if (!ended && wait_for(&t->left, seen + 1, t->spins, 0)) preempt_slept(&w->policy);
  CHECK_INVARIANTS(check_idle(t));
}

/* ---- Opening ---- */

/* Blocks, for threads started by this one, the signals that are sent to the process: the program's own threads are to
 * get them, which may hold one back until they wait for it. Not those that a thread's own instructions raise. */
static void block_signals(sigset_t *before) {
  static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
  sigset_t blocked;
  sigfillset(&blocked);
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&blocked, own[i]);
  pthread_sigmask(SIG_BLOCK, &blocked, before);
}

static gale_status start_threads(team *t, gale_error *error) {
  pthread_attr_t attributes;
  sigset_t before;
  if (pthread_attr_init(&attributes) != 0) return error_memory(error, sizeof attributes);
  bool started = pthread_attr_setstacksize(&attributes, STACK) == 0;
  block_signals(&before);
  for (int i = 1; i < t->size && started; i++) {
    started = pthread_create(&t->workers[i].thread, &attributes, worker_main, &t->workers[i]) == 0;
    if (started) t->n_threads++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (started) return GALE_OK;
  return error_set(error, GALE_E_MEMORY, "thread %d of %d could not be started", t->n_threads + 2, t->size);
}

static gale_status open_workers(team *t, gale_error *error) {
  size_t n = (size_t)t->size;
  if (posix_memalign((void **)&t->workers, WAIT_LINE, n * sizeof *t->workers) != 0) {
    t->workers = NULL;
    return error_memory(error, n * sizeof *t->workers);
  }
  t->processors = (preempt_processors){.n = t->size, .seen = malloc(n * sizeof *t->processors.seen)};
  if (!t->processors.seen) return error_memory(error, n * sizeof *t->processors.seen);
  for (int i = 0; i < t->size; i++) {
    atomic_init(&t->processors.seen[i], -1);
    t->workers[i] = (team_worker){.team = t, .index = i};
    preempt_open(&t->workers[i].policy, &t->processors, i, i > 0);
  }
  return start_threads(t, error);
}

gale_status team_open(int n, bool give_way, team **out, gale_error *error) {
  team *t = NULL;
  if (posix_memalign((void **)&t, WAIT_LINE, sizeof *t) != 0) return error_memory(error, sizeof *t);
  bool enough =
      n <= cpu_count(); /* else workers take each other's processors, and spinning keeps others from working */
  *t = (team){.size = n, .spins = enough ? SPINS : 1, .gives_way = give_way && enough};
  atomic_init(&t->state, 0);
  atomic_init(&t->runners, 0);
  atomic_init(&t->active, 0);
  atomic_init(&t->closing, false);
  wait_queue_open(&t->over);
  wait_count_open(&t->start);
  wait_count_open(&t->done);
  wait_count_open(&t->left);
  gale_status status = open_workers(t, error);
  if (status)
    team_close(&t);
  else
    *out = t;
  return status;
}

void team_close(team **out) {
  team *t = *out;
  if (!t) return;
  atomic_store(&t->closing, true);
  wait_raise(&t->start);
  for (int i = 1; i <= t->n_threads; i++) pthread_join(t->workers[i].thread, NULL);
  wait_queue_close(&t->over);
  wait_count_close(&t->start);
  wait_count_close(&t->done);
  wait_count_close(&t->left);
  free(t->processors.seen);
  free(t->workers);
  free(t);
  *out = NULL;
}

int team_size(const team *t) {
  return t->size;
}
