/* The worker team: items are taken once, what was written before a barrier is there after it, nobody waits for a
 * worker that holds nothing, and nothing gets stuck, however many workers and other threads share a processor. */
#include "base/cpu.h"
#include "base/team.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 8, ITEMS = 37, ROUNDS = 5 };

static team *open_team(int n) {
  team *t = NULL;
  gale_error error = {0};
  assert_int_equal(team_open(n, true, &t, &error), GALE_OK);
  assert_int_equal(team_size(t), n);
  return t;
}

typedef struct work {
  team *team;
  int value[2][ITEMS]; /* plain memory: a barrier is all that orders the accesses */
  int taken[ITEMS];    /* how often each item was taken */
  atomic_int wrong, done[ROUNDS], arrived, passed;
} work;

/* Items of each round are computed from all items of the round before. */
static void job_rounds(void *argument, team_worker *me) {
  work *w = argument;
  if (team_index(me) < 0 || team_index(me) >= team_size(w->team)) atomic_fetch_add(&w->wrong, 1);
  for (int round = 0; round < ROUNDS; round++) {
    const int *from = w->value[round % 2];
    int *to = w->value[1 - round % 2];
    for (int64_t i; (i = team_take(me, 1)) < ITEMS;) {
      if (round > 0 && atomic_load(&w->done[round - 1]) != ITEMS) atomic_fetch_add(&w->wrong, 1);
      int sum = 0;
      for (int k = 0; k < ITEMS; k++) sum += from[k];
      to[i] = sum % 1000 + (int)i;
      w->taken[i]++;
      atomic_fetch_add(&w->done[round], 1);
    }
    team_barrier(me);
  }
}

static void run_rounds(team *t) {
  work w = {.team = t};
  int expected[2][ITEMS] = {{0}};
  for (int round = 0; round < ROUNDS; round++) {
    int sum = 0;
    for (int k = 0; k < ITEMS; k++) sum += expected[round % 2][k];
    for (int i = 0; i < ITEMS; i++) expected[1 - round % 2][i] = sum % 1000 + i;
  }
  team_run(t, job_rounds, &w);
  assert_memory_equal(w.value, expected, sizeof expected);
  for (int k = 0; k < ITEMS; k++) assert_int_equal(w.taken[k], ROUNDS);
  assert_int_equal(atomic_load(&w.wrong), 0);
}

static void test_rounds(void **state) {
  (void)state;
  for (int n = 1; n <= MOST; n++) {
    team *t = open_team(n);
    for (int i = 0; i < 500; i++) run_rounds(t);
    team_close(&t);
    assert_null(t);
  }
}

static void sleep_ms(long ms) {
  struct timespec t = {.tv_nsec = ms * 1000000};
  nanosleep(&t, NULL);
}

/* Whoever holds an item is waited for, also by those who have gone to sleep. */
static void job_slow(void *argument, team_worker *me) {
  work *w = argument;
  for (int round = 0; round < ROUNDS; round++) {
    for (int64_t i; (i = team_take(me, 1)) < 3;) {
      if (round > 0 && atomic_load(&w->done[round - 1]) != 3) atomic_fetch_add(&w->wrong, 1);
      if (i == 1) sleep_ms(3);
      atomic_fetch_add(&w->done[round], 1);
    }
    team_barrier(me);
  }
}

/* The team also sleeps between two runs. */
static void test_sleep(void **state) {
  (void)state;
  for (int n = 1; n <= MOST; n++) {
    team *t = open_team(n);
    for (int i = 0; i < 3; i++) {
      work w = {.team = t};
      team_run(t, job_slow, &w);
      assert_int_equal(atomic_load(&w.wrong), 0);
      sleep_ms(3);
    }
    team_close(&t);
  }
}

/* Every other worker stays away until the first has done all, and then finds nothing left. */
static void job_alone(void *argument, team_worker *me) {
  work *w = argument;
  bool first = team_index(me) == 0;
  if (!first) {
    atomic_fetch_add(&w->arrived, 1);
    while (!atomic_load(&w->passed)) sleep_ms(1);
  }
  while (first && atomic_load(&w->arrived) == 0) sleep_ms(1);
  for (int round = 0; round < ROUNDS; round++) {
    for (int64_t i; (i = team_take(me, 1)) < ITEMS;) {
      w->taken[i]++;
      if (!first) atomic_fetch_add(&w->wrong, 1);
    }
    if (!first && team_take(me, 1) != TEAM_NONE) atomic_fetch_add(&w->wrong, 1);
    team_barrier(me);
  }
  if (first) atomic_store(&w->passed, 1);
}

static void test_nobody_waits_for_the_absent(void **state) {
  (void)state;
  for (int n = 2; n <= MOST; n++) {
    work w = {.team = open_team(n)};
    team_run(w.team, job_alone, &w);
    assert_int_equal(atomic_load(&w.wrong), 0);
    for (int k = 0; k < ITEMS; k++) assert_int_equal(w.taken[k], ROUNDS);
    team_close(&w.team);
  }
}

/* More workers than processors, so that some always wait for a processor. */
static void test_crowd(void **state) {
  (void)state;
  team *t = open_team(2 * cpu_count() + 1);
  for (int i = 0; i < 200; i++) run_rounds(t);
  team_close(&t);
}

static void *occupy(void *stop) {
  while (!atomic_load((atomic_bool *)stop)) continue;
  return NULL;
}

/* Other threads take every processor again and again; with the policy, workers rest, leave and come back. */
static void run_busy(bool give_way) {
  enum { OTHERS = 8, SECONDS = 1 };
  pthread_t others[OTHERS];
  atomic_bool stop = false;
  int n = cpu_count() < OTHERS ? cpu_count() : OTHERS;
  for (int i = 0; i < n; i++) assert_int_equal(pthread_create(&others[i], NULL, occupy, &stop), 0);
  gale_error error = {0};
  team *t = NULL;
  assert_int_equal(team_open(n, give_way, &t, &error), GALE_OK);
  for (time_t end = time(NULL) + SECONDS; time(NULL) <= end;) run_rounds(t);
  team_close(&t);
  atomic_store(&stop, true);
  for (int i = 0; i < n; i++) pthread_join(others[i], NULL);
}

static void test_busy_processors(void **state) {
  (void)state;
  run_busy(true);
  run_busy(false);
}

static void job_nothing(void *argument, team_worker *me) {
  (void)argument;
  (void)me;
}

static void test_many_runs(void **state) {
  (void)state;
  for (int n = 1; n <= 4; n++) {
    team *t = open_team(n);
    for (int i = 0; i < 3000; i++) team_run(t, job_nothing, NULL);
    team_close(&t);
  }
}

static void test_close_at_once(void **state) {
  (void)state;
  for (int i = 0; i < 300; i++) {
    team *t = open_team(i % MOST + 1);
    if (i % 2) team_run(t, job_nothing, NULL);
    team_close(&t);
    team_close(&t); /* NULL by now */
  }
}

/* What is left over of the items of one run is not seen by the next. */
static void job_leave(void *argument, team_worker *me) {
  work *w = argument;
  int64_t first = team_take(me, 5);
  if (first != TEAM_NONE && (first % 5 != 0 || first >= 5 * team_size(w->team))) atomic_fetch_add(&w->wrong, 1);
}

static void test_items_start_anew(void **state) {
  (void)state;
  for (int n = 1; n <= MOST; n++) {
    work w = {.team = open_team(n)};
    for (int i = 0; i < 100; i++) team_run(w.team, job_leave, &w);
    assert_int_equal(atomic_load(&w.wrong), 0);
    team_close(&w.team);
  }
}

static atomic_int signals_seen;

static void on_signal(int number) {
  (void)number;
  atomic_fetch_add(&signals_seen, 1);
}

/* A signal to the process that its own thread holds back waits for that thread: workers, asleep or at work, leave it.
 */
static void test_signals_wait_for_the_program(void **state) {
  (void)state;
  struct sigaction action = {.sa_handler = on_signal}, old;
  sigset_t held, pending;
  sigemptyset(&action.sa_mask);
  sigemptyset(&held);
  sigaddset(&held, SIGUSR1);
  assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
  team *t = open_team(MOST);
  assert_int_equal(pthread_sigmask(SIG_BLOCK, &held, NULL), 0);
  assert_int_equal(kill(getpid(), SIGUSR1), 0);
  for (int i = 0; i < 20; i++) run_rounds(t);
  sleep_ms(20);
  assert_int_equal(atomic_load(&signals_seen), 0);
  assert_int_equal(sigpending(&pending), 0);
  assert_true(sigismember(&pending, SIGUSR1));
  assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &held, NULL), 0);
  assert_int_equal(atomic_load(&signals_seen), 1);
  team_close(&t);
  sigaction(SIGUSR1, &old, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rounds),
      cmocka_unit_test(test_sleep),
      cmocka_unit_test(test_nobody_waits_for_the_absent),
      cmocka_unit_test(test_crowd),
      cmocka_unit_test(test_busy_processors),
      cmocka_unit_test(test_many_runs),
      cmocka_unit_test(test_close_at_once),
      cmocka_unit_test(test_items_start_anew),
      cmocka_unit_test(test_signals_wait_for_the_program),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
