/* The team's protocol, and the wait of its threads, tried in every order in which the threads can make their steps.
 *
 * A model is a small state and a function that makes one atomic step of one thread, as wait.c and team.c make them; the
 * steps of the team's words are the very functions that team.c calls (base/team_state.h). The checker visits every
 * state that can be reached and looks for broken promises, for states in which nobody can go on, or only a worker that
 * rests, and for circles, in which threads could go on for ever. Faults that are put in on purpose must be found. */
#include "base/team_state.h"
#include "base/wait.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- The checker ---- */

typedef enum outcome {
  BLOCKED,  /* the thread cannot make this step */
  MOVED,    /* it did */
  WOKE_UP,  /* it did, by ending a rest that might as well last */
  VIOLATION /* a promise is broken */
} outcome;

typedef struct model {
  size_t bytes; /* of a state: plain, without padding that is not zero */
  int n_choices;
  outcome (*step)(void *state, int choice);
  bool (*is_final)(const void *state);
} model;

typedef enum verdict { SOUND, BROKEN_PROMISE, STUCK, ENDLESS } verdict;

typedef struct visit {
  uint32_t state;
  int choice;
  bool moved; /* somebody went on without the end of a rest */
} visit;

typedef struct explored {
  const model *m;
  unsigned char *states; /* [capacity][bytes] */
  unsigned char *open;   /* [capacity]: on the path that is being followed */
  uint32_t *table;       /* [2 * capacity] states by their hash, + 1; 0: none */
  uint32_t n, capacity;
} explored;

/* The number of a state; *is_new tells whether it was not known. */
static uint32_t number_of(explored *e, const void *state, bool *is_new) {
  const unsigned char *bytes = state;
  uint64_t hash = 14695981039346656037u;
  for (size_t i = 0; i < e->m->bytes; i++) hash = (hash ^ bytes[i]) * 1099511628211u;
  uint32_t at = (uint32_t)(hash >> 20) % (2 * e->capacity);
  for (; e->table[at]; at = (at + 1) % (2 * e->capacity))
    if (memcmp(e->states + (size_t)(e->table[at] - 1) * e->m->bytes, state, e->m->bytes) == 0) {
      *is_new = false;
      return e->table[at] - 1;
    }
  assert_true(e->n < e->capacity);
  memcpy(e->states + (size_t)e->n * e->m->bytes, state, e->m->bytes);
  e->table[at] = ++e->n;
  *is_new = true;
  return e->n - 1;
}

/* Depth first. */
static verdict follow(explored *e, const void *first, visit *path) {
  unsigned char state[512];
  bool is_new;
  size_t depth = 1;
  path[0] = (visit){.state = number_of(e, first, &is_new)};
  e->open[path[0].state] = 1;
  while (depth > 0) {
    visit *v = &path[depth - 1];
    memcpy(state, e->states + (size_t)v->state * e->m->bytes, e->m->bytes);
    if (v->choice == e->m->n_choices) {
      if (!v->moved && !e->m->is_final(state)) return STUCK;
      e->open[v->state] = 0;
      depth--;
      continue;
    }
    outcome o = e->m->step(state, v->choice++);
    if (o == VIOLATION) return BROKEN_PROMISE;
    if (o == BLOCKED) continue;
    v->moved |= o == MOVED;
    uint32_t next = number_of(e, state, &is_new);
    if (e->open[next]) return ENDLESS;
    if (!is_new) continue;
    e->open[next] = 1;
    path[depth++] = (visit){.state = next};
  }
  return SOUND;
}

static verdict check(const model *m, const void *first, uint32_t *n_states) {
  enum { CAPACITY = 1 << 20 };
  explored e = {.m = m, .capacity = CAPACITY};
  visit *path = malloc(CAPACITY * sizeof *path);
  e.states = malloc((size_t)CAPACITY * m->bytes);
  e.open = calloc(CAPACITY, 1);
  e.table = calloc((size_t)2 * CAPACITY, sizeof *e.table);
  assert_true(path && e.states && e.open && e.table);
  verdict found = follow(&e, first, path);
  *n_states = e.n;
  free(path);
  free(e.states);
  free(e.open);
  free(e.table);
  return found;
}

typedef enum fault {
  NO_FAULT,
  /* of the wait */
  LOOKS_BEFORE_IT_COUNTS, /* a sleeper looks at the value, then counts itself, then sleeps */
  WAKES_BEFORE_THE_CHANGE,
  /* of the team */
  TAKES_IN_TWO_STEPS, /* the word is read, and written later */
  LEAVES_AS_THE_LAST, /* whoever leaves begins the next operation */
  STEPS_OUT_ALONE,    /* nobody is left inside who would end the operation */
  GIVES_UP_ALWAYS,    /* also as the only one who is active */
  ENTERS_ALWAYS,      /* also a run that is closed */
  RETURNS_AT_ONCE,    /* the caller does not wait for the others to go out */
  FAULTS
} fault;

static fault put_in;

/* ---- The wait ---- */

enum { SLEEPERS = 2, RAISERS = 2, WAITING = SLEEPERS + RAISERS };
enum { LOCK, COUNT, LOOK, ASLEEP, RELOCK, UNCOUNT, UNLOCK, DONE };              /* wait_sleep() */
enum { CHANGE = 10, LOOK_FOR_SLEEPERS, LOCK_TO_WAKE, WAKE, UNLOCK_AND_CHANGE }; /* the change, and wait_wake() */

typedef struct wait_state {
  unsigned char value, sleepers, owner; /* owner of the lock + 1; 0: nobody */
  unsigned char at[WAITING];
} wait_state;

static outcome lock(wait_state *s, int thread, unsigned char then) {
  if (s->owner) return BLOCKED;
  s->owner = (unsigned char)(thread + 1);
  s->at[thread] = then;
  return MOVED;
}

/* Waits for the value to reach the number of raisers. */
static outcome step_sleeper(wait_state *s, int i) {
  unsigned char *at = &s->at[i];
  bool early = put_in == LOOKS_BEFORE_IT_COUNTS;
  switch (*at) {
  case LOCK:
  case RELOCK:
    return lock(s, i, *at == LOCK && !early ? COUNT : LOOK);
  case COUNT:
    s->sleepers++;
    *at = early ? ASLEEP : LOOK;
    if (early) s->owner = 0;
    return MOVED;
  case LOOK:
    if (wait_reached(s->value, RAISERS))
      *at = early ? UNLOCK : UNCOUNT;
    else if (early)
      *at = COUNT;
    else
      *at = ASLEEP, s->owner = 0; /* one step: what a condition variable is for */
    return MOVED;
  case UNCOUNT:
    s->sleepers--;
    *at = UNLOCK;
    return MOVED;
  case UNLOCK:
    s->owner = 0;
    *at = DONE;
    return MOVED;
  default:
    return BLOCKED; /* asleep or done */
  }
}

static outcome step_raiser(wait_state *s, int i) {
  unsigned char *at = &s->at[i];
  bool late = put_in == WAKES_BEFORE_THE_CHANGE;
  switch (*at) {
  case CHANGE:
    s->value++;
    *at = late ? DONE : LOOK_FOR_SLEEPERS;
    return MOVED;
  case LOOK_FOR_SLEEPERS:
    *at = s->sleepers ? LOCK_TO_WAKE : late ? CHANGE : DONE;
    return MOVED;
  case LOCK_TO_WAKE:
    return lock(s, i, WAKE);
  case WAKE:
    for (int k = 0; k < SLEEPERS; k++)
      if (s->at[k] == ASLEEP) s->at[k] = RELOCK;
    *at = UNLOCK_AND_CHANGE;
    return MOVED;
  case UNLOCK_AND_CHANGE:
    s->owner = 0;
    *at = late ? CHANGE : DONE;
    return MOVED;
  default:
    return BLOCKED;
  }
}

static outcome step_wait(void *state, int thread) {
  return thread < SLEEPERS ? step_sleeper(state, thread) : step_raiser(state, thread);
}

static bool wait_is_final(const void *state) {
  const wait_state *s = state;
  for (int i = 0; i < WAITING; i++)
    if (s->at[i] != DONE) return false;
  return true;
}

static verdict check_wait(fault f) {
  static const model m = {sizeof(wait_state), WAITING, step_wait, wait_is_final};
  wait_state first;
  uint32_t n;
  memset(&first, 0, sizeof first);
  put_in = f;
  for (int i = SLEEPERS; i < WAITING; i++) first.at[i] = f == WAKES_BEFORE_THE_CHANGE ? LOOK_FOR_SLEEPERS : CHANGE;
  return check(&m, &first, &n);
}

static void test_wait(void **state) {
  (void)state;
  assert_int_equal(check_wait(NO_FAULT), SOUND);
  assert_int_equal(check_wait(LOOKS_BEFORE_IT_COUNTS), STUCK);
  assert_int_equal(check_wait(WAKES_BEFORE_THE_CHANGE), STUCK);
}

/* ---- The team ---- */

/* Each run is a job of these operations, behind which team_run() has a last one without items. */
enum { WORKERS_MOST = 3, OPS = 2, ITEMS_MOST = 3 };

typedef struct size {
  int workers, runs, rests; /* rests of a worker in a run */
  int items[OPS];
} size;

static size sizes;

/* Where a thread is; each step is one atomic access of memory that is shared, or none. */
typedef enum place {
  /* worker_main() */
  MAIN_WAIT,
  MAIN_CLOSING,
  MAIN_ENTER,
  MAIN_GO_OUT,
  MAIN_RAISE_LEFT,
  MAIN_REST,
  MAIN_END,
  /* team_run() and team_close() */
  RUN_SET_JOB,
  RUN_RESET,
  RUN_OPEN,
  RUN_RAISE_START,
  RUN_REST,
  RUN_LOOK_LEFT,
  RUN_CLOSE,
  RUN_WAIT_LEFT,
  RUN_RETURN,
  CLOSE_SET,
  CLOSE_RAISE,
  CLOSE_JOIN,
  /* work() */
  WORK_BEGIN,
  WORK_LOOK_DONE,
  WORK_RAISE_DONE,
  /* team_take(), in the job and in team_barrier() */
  TAKE,
  TAKE_GIVE_UP,
  TAKE_UNDO,
  TAKE_NOW,
  TAKE_WRITE, /* of TAKES_IN_TWO_STEPS */
  JOB_ITEM,
  /* team_barrier() */
  BARRIER_LEAVE,
  BARRIER_WAIT,
  ENDED
} place;

typedef struct thread {
  uint32_t op;
  uint64_t read; /* of TAKES_IN_TWO_STEPS */
  uint8_t at, step, item, inside, gone, barrier, rests, seen;
} thread;

typedef struct team_model_state {
  uint64_t word;
  uint32_t first_op;
  uint8_t runners, start, done, left, closing, run, runs, job;
  int32_t active;
  uint8_t finished[OPS][ITEMS_MOST]; /* how often each item of the run was done */
  thread threads[WORKERS_MOST];
} team_model_state;

static bool all_finished(const team_model_state *s, int ops) {
  for (int op = 0; op < ops; op++)
    for (int i = 0; i < sizes.items[op]; i++)
      if (s->finished[op][i] != 1) return false;
  return true;
}

/* Inside the run, from when it came in until it went out. */
static bool in_run(const thread *t) {
  return t->at >= WORK_BEGIN && t->at <= BARRIER_WAIT;
}

static void end_work(team_model_state *s, int i) {
  thread *t = &s->threads[i];
  if (i > 0)
    t->at = MAIN_GO_OUT;
  else
    t->at = t->gone ? RUN_REST : RUN_LOOK_LEFT;
}

/* Where a take leads that gave no item: into the barrier, or on inside it. */
static void go_on_in_barrier(team_model_state *s, int i) {
  thread *t = &s->threads[i];
  t->at = t->inside ? BARRIER_LEAVE : t->barrier ? BARRIER_WAIT : TAKE;
  t->barrier = 1;
  if (t->gone) end_work(s, i); /* all that is left passes without a look at what is shared */
}

static outcome take(team_model_state *s, int i) {
  thread *t = &s->threads[i];
  uint64_t n = t->barrier ? 0 : 1, from = t->at == TAKE_WRITE ? t->read : s->word;
  if (team_is_over(from, t->op)) {
    go_on_in_barrier(s, i);
    return MOVED;
  }
  if (put_in == TAKES_IN_TWO_STEPS && t->at != TAKE_WRITE) {
    t->read = s->word;
    t->at = TAKE_WRITE;
    return MOVED;
  }
  s->word = team_after_take(from, t->inside, n);
  t->read = 0;
  t->inside = 1;
  uint64_t item = team_next_of(from);
  if (!t->barrier && item < (uint64_t)sizes.items[t->step]) {
    t->item = (uint8_t)item;
    t->at = JOB_ITEM;
  } else {
    go_on_in_barrier(s, i);
  }
  return MOVED;
}

/* The policy wants a rest. */
static outcome take_rest(team_model_state *s, thread *t) {
  if (t->rests == sizes.rests) return BLOCKED;
  t->rests++;
  if (t->inside && (team_can_step_out(s->word) || put_in == STEPS_OUT_ALONE)) {
    s->word = team_after_step_out(s->word);
    t->inside = 0;
  }
  t->at = t->inside ? TAKE_NOW : TAKE_GIVE_UP;
  return MOVED;
}

static outcome do_item(team_model_state *s, thread *t) {
  if (s->finished[t->step][t->item]++ > 0 || !all_finished(s, t->step)) return VIOLATION;
  t->at = TAKE;
  return MOVED;
}

static outcome leave(team_model_state *s, thread *t) {
  uint64_t from = s->word;
  s->word = put_in == LEAVES_AS_THE_LAST ? (team_op_of(from) + 1) * TEAM_ONE_OP : team_after_leave(from);
  t->inside = 0;
  t->at = BARRIER_WAIT;
  if (team_op_of(s->word) == team_op_of(from)) return MOVED;
  return all_finished(s, t->step < OPS ? t->step + 1 : OPS) ? MOVED : VIOLATION;
}

static outcome end_barrier(team_model_state *s, int i) {
  thread *t = &s->threads[i];
  if (!team_is_over(s->word, t->op)) return BLOCKED;
  t->op++;
  t->step++;
  t->barrier = t->step == OPS; /* the last one has no job before it */
  t->at = t->step <= OPS ? TAKE : WORK_LOOK_DONE;
  return MOVED;
}

static outcome step_job(team_model_state *s, int i, bool rest) {
  thread *t = &s->threads[i];
  if (rest && t->at != TAKE) return BLOCKED;
  switch (t->at) {
  case WORK_BEGIN:
    if (s->job != s->runs) return VIOLATION; /* the job of another run */
    t->op = s->first_op;
    t->gone = t->step = t->inside = t->barrier = 0;
    s->active++;
    t->at = TAKE;
    return MOVED;
  case TAKE:
    return rest ? take_rest(s, t) : take(s, i);
  case TAKE_GIVE_UP:
    t->gone = team_others_active(s->active--) || put_in == GIVES_UP_ALWAYS;
    t->at = TAKE_UNDO;
    if (t->gone) go_on_in_barrier(s, i);
    return MOVED;
  case TAKE_UNDO:
    s->active++;
    t->at = TAKE_NOW;
    return MOVED;
  case TAKE_NOW:
  case TAKE_WRITE:
    return take(s, i);
  case JOB_ITEM:
    return do_item(s, t);
  case BARRIER_LEAVE:
    return leave(s, t);
  case BARRIER_WAIT:
    return end_barrier(s, i);
  case WORK_LOOK_DONE:
    if (!all_finished(s, OPS)) return VIOLATION;
    t->at = WORK_RAISE_DONE;
    if (wait_reached(s->done, s->run)) end_work(s, i);
    return MOVED;
  case WORK_RAISE_DONE:
    s->done++;
    end_work(s, i);
    return MOVED;
  default:
    return BLOCKED;
  }
}

static outcome step_main(team_model_state *s, int i) {
  thread *t = &s->threads[i];
  unsigned before = s->runners;
  switch (t->at) {
  case MAIN_WAIT:
    if (!wait_reached(s->start, t->seen + 1u)) return BLOCKED;
    t->seen = s->start;
    t->at = MAIN_CLOSING;
    return MOVED;
  case MAIN_CLOSING:
    t->at = s->closing ? MAIN_END : MAIN_ENTER;
    return MOVED;
  case MAIN_ENTER:
    t->at = MAIN_END;
    if (!team_can_enter(s->runners) && put_in != ENTERS_ALWAYS) return MOVED;
    s->runners = (uint8_t)team_after_enter(s->runners);
    t->at = WORK_BEGIN;
    return MOVED;
  case MAIN_GO_OUT:
    s->runners -= TEAM_RUN_WORKER;
    t->at = team_exit_ends(before) ? MAIN_RAISE_LEFT : t->gone ? MAIN_REST : MAIN_END;
    return MOVED;
  case MAIN_RAISE_LEFT:
    s->left++;
    t->at = t->gone ? MAIN_REST : MAIN_END;
    return MOVED;
  case MAIN_REST:
    t->at = MAIN_CLOSING;
    return s->closing ? MOVED : WOKE_UP; /* closing waits for the end of a rest */
  case MAIN_END:
    t->at = s->closing ? ENDED : MAIN_WAIT;
    return MOVED;
  default:
    return BLOCKED;
  }
}

/* What must hold when team_run() returns. */
static outcome return_from_run(team_model_state *s) {
  if (!all_finished(s, OPS) || s->runners != 0 || team_inside_of(s->word) != 0 || team_next_of(s->word) != 0)
    return VIOLATION;
  for (int i = 1; i < sizes.workers; i++)
    if (in_run(&s->threads[i])) return VIOLATION;
  memset(s->finished, 0, sizeof s->finished);
  for (int i = 0; i < sizes.workers; i++) s->threads[i].rests = 0;
  s->threads[0].at = s->runs == sizes.runs ? CLOSE_SET : RUN_SET_JOB;
  return MOVED;
}

static outcome step_caller(team_model_state *s, bool rest) {
  thread *t = &s->threads[0];
  unsigned before = s->runners;
  bool done = wait_reached(s->done, s->run);
  switch (t->at) {
  case RUN_SET_JOB:
    s->job = ++s->runs;
    s->first_op = (uint32_t)team_op_of(s->word);
    s->run = s->done + 1;
    t->at = RUN_RESET;
    return MOVED;
  case RUN_RESET:
    s->active = 0;
    t->at = RUN_OPEN;
    return MOVED;
  case RUN_OPEN:
    s->runners = TEAM_RUN_BEGIN;
    t->at = RUN_RAISE_START;
    return MOVED;
  case RUN_RAISE_START:
    s->start++;
    t->at = WORK_BEGIN;
    return MOVED;
  case RUN_REST: /* until all is done, or until its time is over */
    if (rest == done) return BLOCKED;
    t->at = done ? RUN_LOOK_LEFT : WORK_BEGIN;
    return done ? MOVED : WOKE_UP;
  case RUN_LOOK_LEFT:
    t->seen = s->left;
    t->at = RUN_CLOSE;
    return MOVED;
  case RUN_CLOSE:
    s->runners -= TEAM_RUN_BEGIN;
    t->at = team_close_ends(before) || put_in == RETURNS_AT_ONCE ? RUN_RETURN : RUN_WAIT_LEFT;
    return MOVED;
  case RUN_WAIT_LEFT:
    t->at = RUN_RETURN;
    return wait_reached(s->left, t->seen + 1u) ? MOVED : BLOCKED;
  case RUN_RETURN:
    return return_from_run(s);
  case CLOSE_SET:
    s->closing = 1;
    t->at = CLOSE_RAISE;
    return MOVED;
  case CLOSE_RAISE:
    s->start++;
    t->at = CLOSE_JOIN;
    return MOVED;
  case CLOSE_JOIN:
    for (int i = 1; i < sizes.workers; i++)
      if (s->threads[i].at != ENDED) return BLOCKED;
    t->at = ENDED;
    return MOVED;
  default:
    return BLOCKED;
  }
}

static outcome step_team(void *state, int choice) {
  team_model_state *s = state;
  int i = choice / 2;
  bool rest = choice % 2 == 1;
  if (i >= sizes.workers) return BLOCKED;
  if (in_run(&s->threads[i])) return step_job(s, i, rest);
  if (i == 0) return step_caller(s, rest);
  return rest ? BLOCKED : step_main(s, i);
}

static bool team_is_final(const void *state) {
  const team_model_state *s = state;
  for (int i = 0; i < sizes.workers; i++)
    if (s->threads[i].at != ENDED) return false;
  return true;
}

static verdict check_team(fault f, size z) {
  static const model m = {sizeof(team_model_state), 2 * WORKERS_MOST, step_team, team_is_final};
  team_model_state first;
  uint32_t n = 0;
  memset(&first, 0, sizeof first);
  put_in = f;
  sizes = z;
  first.word = (((uint64_t)1 << TEAM_OP_BITS) - 2) * TEAM_ONE_OP; /* so that the operation's digits wrap within a run */
  first.threads[0].at = RUN_SET_JOB;
  verdict found = check(&m, &first, &n);
  print_message("%d workers, %d runs, items %d and %d, %d rests: %u states\n", z.workers, z.runs, z.items[0],
                z.items[1], z.rests, n);
  return found;
}

static void test_team(void **state) {
  (void)state;
  static const size all[] = {
      {2, 2, 2, {2, 1}},
      {2, 2, 1, {0, 3}},
      {3, 1, 1, {2, 1}},
      {3, 2, 0, {2, 1}},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) assert_int_equal(check_team(NO_FAULT, all[i]), SOUND);
}

static void test_faults_are_found(void **state) {
  (void)state;
  static const size small = {2, 2, 1, {2, 1}};
  static const verdict expected[FAULTS] = {
      [TAKES_IN_TWO_STEPS] = STUCK, [LEAVES_AS_THE_LAST] = BROKEN_PROMISE, [STEPS_OUT_ALONE] = STUCK,
      [GIVES_UP_ALWAYS] = STUCK,    [ENTERS_ALWAYS] = BROKEN_PROMISE,      [RETURNS_AT_ONCE] = BROKEN_PROMISE};
  for (int f = TAKES_IN_TWO_STEPS; f < FAULTS; f++) assert_int_equal(check_team((fault)f, small), expected[f]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_wait),
      cmocka_unit_test(test_team),
      cmocka_unit_test(test_faults_are_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
