/* The policy for busy machines, driven by what it would have seen: a worker that shares a processor with another one
 * moves away and gets back the affinity that it had, unless somebody set another meanwhile; rests come in bursts. */
#include "base/preempt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* This thread and another worker, each seen on `processor`. */
typedef struct pair {
  atomic_int seen[2];
  preempt_processors processors;
  preempt policy;
} pair;

static void open_pair(pair *w, bool may_move) {
  *w = (pair){.processors = {.n = 2, .seen = w->seen}};
  atomic_init(&w->seen[0], -1);
  atomic_init(&w->seen[1], -1);
  preempt_open(&w->policy, &w->processors, 0, may_move);
}

/* As if the thread had last looked an hour ago and another thread had run since. */
static void look_after_preemption(preempt *p) {
  enum { HOUR = 3600 };
  p->wall = preempt_clock() - (int64_t)HOUR * 1000000000;
  p->cpu = 0;
  p->switches = -1;
  preempt_watch(p);
}

/* As if the bursts had ended. */
static void look_later(preempt *p) {
  p->bursts_end = 0;
  p->wall = 1;
  p->switches = 1L << 40;
  preempt_watch(p);
}

static cpu_set_t affinity(void) {
  cpu_set_t set;
  assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
  return set;
}

static void set_affinity(const cpu_set_t *set) {
  assert_int_equal(sched_setaffinity(0, sizeof *set, set), 0);
}

/* The scheduler may move the thread between two lines, so this takes as many tries as it takes. */
static void be_moved_apart(pair *w) {
  while (!w->policy.apart) {
    atomic_store(&w->seen[1], sched_getcpu());
    look_after_preemption(&w->policy);
  }
}

static void test_affinity_is_given_back(void **state) {
  (void)state;
  pair w;
  const cpu_set_t all = affinity();
  if (CPU_COUNT(&all) < 2) skip();
  open_pair(&w, true);
  be_moved_apart(&w);
  cpu_set_t narrow = affinity();
  assert_int_equal(CPU_COUNT(&narrow), CPU_COUNT(&all) - 1);
  assert_false(CPU_ISSET(atomic_load(&w.seen[1]), &narrow));
  look_later(&w.policy);
  narrow = affinity();
  assert_false(w.policy.apart);
  assert_true(CPU_EQUAL(&narrow, &all));
}

/* What a taskset of the process' threads does while the policy has narrowed the affinity. */
static void test_affinity_set_meanwhile_stays(void **state) {
  (void)state;
  pair w;
  const cpu_set_t all = affinity();
  if (CPU_COUNT(&all) < 2) skip();
  open_pair(&w, true);
  be_moved_apart(&w);
  cpu_set_t other, present;
  CPU_XOR(&other, &all, &w.policy.narrow);
  set_affinity(&other);
  look_later(&w.policy);
  present = affinity();
  set_affinity(&all);
  assert_false(w.policy.apart);
  assert_true(CPU_EQUAL(&present, &other));
}

/* A taskset before the worker is moved: it is moved within what it has then, and gets that back. */
static void test_present_affinity_counts(void **state) {
  (void)state;
  pair w;
  const cpu_set_t all = affinity();
  if (CPU_COUNT(&all) < 2) skip();
  open_pair(&w, true);
  cpu_set_t one, present;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  set_affinity(&one);
  for (int i = 0; i < 3; i++) {
    atomic_store(&w.seen[1], sched_getcpu());
    look_after_preemption(&w.policy);
  }
  present = affinity();
  look_later(&w.policy);
  const cpu_set_t after = affinity();
  set_affinity(&all);
  assert_true(CPU_EQUAL(&present, &one));
  assert_true(CPU_EQUAL(&after, &one));
}

static void test_the_callers_thread_is_not_moved(void **state) {
  (void)state;
  pair w;
  const cpu_set_t all = affinity();
  open_pair(&w, false);
  for (int i = 0; i < 3; i++) {
    atomic_store(&w.seen[1], sched_getcpu());
    look_after_preemption(&w.policy);
  }
  const cpu_set_t present = affinity();
  assert_false(w.policy.apart);
  assert_true(CPU_EQUAL(&present, &all));
}

static void test_rests(void **state) {
  (void)state;
  pair w;
  preempt *p = &w.policy;
  open_pair(&w, false);
  look_after_preemption(p);
  assert_false(p->bursts); /* once may be chance */
  look_after_preemption(p);
  assert_true(p->bursts);
  p->burst_start = preempt_clock() - 1000000000;
  assert_true(preempt_wants_rest(p));
  assert_true(p->rest_end > p->burst_start + 1000000000);
  p->rest_end = 0;
  p->burst_start = preempt_clock() + 1000000000;
  assert_false(preempt_wants_rest(p));
  look_later(p);
  assert_false(p->bursts);
  p->burst_start = 0;
  assert_false(preempt_wants_rest(p));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_affinity_is_given_back),
      cmocka_unit_test(test_affinity_set_meanwhile_stays),
      cmocka_unit_test(test_present_affinity_counts),
      cmocka_unit_test(test_the_callers_thread_is_not_moved),
      cmocka_unit_test(test_rests),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
