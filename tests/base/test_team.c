/* The worker team: every worker runs, pieces are taken once, what was written before a barrier is there after
 * it, and nothing gets stuck, however many workers share a processor. */
#include "base/cpu.h"
#include "base/team.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { MOST = 8, PIECES = 37, ROUNDS = 5 };

static team *open_team(int n) {
  team *t = NULL;
  gale_error error = {0};
  assert_int_equal(team_open(n, &t, &error), GALE_OK);
  assert_int_equal(team_size(t), n);
  return t;
}

typedef struct work {
  team *team;
  int ran[MOST];            /* by each worker for itself */
  int value[2][PIECES];     /* plain memory: a barrier is all that orders the accesses */
  int taken[PIECES];        /* how often each piece was taken */
  atomic_int wrong, inside; /* inside: workers between two barriers */
} work;

static void job_count(void *argument, int worker) {
  work *w = argument;
  w->ran[worker]++;
}

static void test_every_worker_runs(void **state) {
  (void)state;
  for (int n = 1; n <= MOST; n++) {
    work w = {.team = open_team(n)};
    for (int i = 0; i < 200; i++) team_run(w.team, job_count, &w);
    for (int i = 0; i < MOST; i++) assert_int_equal(w.ran[i], i < n ? 200 : 0);
    team_close(&w.team);
    assert_null(w.team);
  }
}

/* Pieces of each round are computed from all pieces of the round before. */
static void job_rounds(void *argument, int worker) {
  work *w = argument;
  (void)worker;
  for (int round = 0; round < ROUNDS; round++) {
    const int *from = w->value[round % 2];
    int *to = w->value[1 - round % 2];
    for (int64_t i; (i = team_take(w->team, 1)) < PIECES;) {
      int sum = 0;
      for (int k = 0; k < PIECES; k++) sum += from[k];
      to[i] = sum % 1000 + (int)i;
      w->taken[i]++;
    }
    team_barrier(w->team);
  }
}

static void test_rounds(void **state) {
  (void)state;
  int expected[2][PIECES] = {{0}};
  for (int round = 0; round < ROUNDS; round++) {
    int sum = 0;
    for (int k = 0; k < PIECES; k++) sum += expected[round % 2][k];
    for (int i = 0; i < PIECES; i++) expected[1 - round % 2][i] = sum % 1000 + i;
  }
  for (int n = 1; n <= MOST; n++) {
    team *t = open_team(n);
    for (int i = 0; i < 500; i++) {
      work w = {.team = t};
      team_run(t, job_rounds, &w);
      assert_memory_equal(w.value, expected, sizeof expected);
      for (int k = 0; k < PIECES; k++) assert_int_equal(w.taken[k], ROUNDS);
    }
    team_close(&t);
  }
}

/* Nobody leaves a barrier before all have come. */
static void job_together(void *argument, int worker) {
  work *w = argument;
  (void)worker;
  int size = team_size(w->team);
  for (int i = 0; i < 20; i++) {
    atomic_fetch_add(&w->inside, 1);
    team_barrier(w->team);
    if (atomic_load(&w->inside) != size) atomic_fetch_add(&w->wrong, 1);
    team_barrier(w->team);
    atomic_fetch_sub(&w->inside, 1);
    team_barrier(w->team);
  }
}

static void test_barrier_waits_for_all(void **state) {
  (void)state;
  for (int n = 2; n <= MOST; n++) {
    work w = {.team = open_team(n)};
    for (int i = 0; i < 50; i++) team_run(w.team, job_together, &w);
    assert_int_equal(atomic_load(&w.wrong), 0);
    team_close(&w.team);
  }
}

static void sleep_ms(long ms) {
  struct timespec t = {.tv_nsec = ms * 1000000};
  nanosleep(&t, NULL);
}

/* One worker after another comes so late that the others have gone to sleep. */
static void job_late(void *argument, int worker) {
  work *w = argument;
  for (int i = 0; i < team_size(w->team); i++) {
    if (worker == i) {
      sleep_ms(3);
      w->value[0][0]++;
    }
    team_barrier(w->team);
    if (w->value[0][0] != i + 1) atomic_fetch_add(&w->wrong, 1);
    team_barrier(w->team);
  }
}

/* The team also sleeps between two runs. */
static void test_sleep(void **state) {
  (void)state;
  for (int n = 1; n <= MOST; n++) {
    team *t = open_team(n);
    for (int i = 0; i < 3; i++) {
      work w = {.team = t};
      team_run(t, job_late, &w);
      assert_int_equal(w.value[0][0], n);
      assert_int_equal(atomic_load(&w.wrong), 0);
      sleep_ms(3);
    }
    team_close(&t);
  }
}

/* More workers than processors, so that some always wait for a processor. */
static void test_crowd(void **state) {
  (void)state;
  int n = 2 * cpu_count() + 1;
  team *t = open_team(n);
  for (int i = 0; i < 200; i++) {
    work w = {.team = t};
    team_run(t, job_rounds, &w);
    for (int k = 0; k < PIECES; k++) assert_int_equal(w.taken[k], ROUNDS);
  }
  team_close(&t);
}

static void job_nothing(void *argument, int worker) {
  (void)argument;
  (void)worker;
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

/* What is left over of the pieces of one run is not seen by the next. */
static void job_leave(void *argument, int worker) {
  work *w = argument;
  (void)worker;
  int64_t first = team_take(w->team, 5);
  if (first % 5 != 0 || first >= 5 * team_size(w->team)) atomic_fetch_add(&w->wrong, 1);
}

static void test_pieces_start_anew(void **state) {
  (void)state;
  for (int n = 1; n <= MOST; n++) {
    work w = {.team = open_team(n)};
    for (int i = 0; i < 100; i++) team_run(w.team, job_leave, &w);
    assert_int_equal(atomic_load(&w.wrong), 0);
    team_close(&w.team);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_worker_runs),
      cmocka_unit_test(test_rounds),
      cmocka_unit_test(test_barrier_waits_for_all),
      cmocka_unit_test(test_sleep),
      cmocka_unit_test(test_crowd),
      cmocka_unit_test(test_many_runs),
      cmocka_unit_test(test_close_at_once),
      cmocka_unit_test(test_pieces_start_anew),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
