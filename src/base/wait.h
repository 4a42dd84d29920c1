/* Waiting for other threads: a queue of sleepers, and a number that only grows with threads that wait for it (an event
 * count). Whoever changes what is waited for pays one load while nobody sleeps. Thread-safe throughout. */
#ifndef BASE_WAIT_H
#define BASE_WAIT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Alignment of a value that many threads write, so that nothing else shares its cache lines: two lines, since
 * processors fetch them in pairs. */
enum { WAIT_LINE = 128 };

typedef struct wait_queue {
  atomic_uint sleepers;
  pthread_mutex_t lock;
  pthread_cond_t changed;
} wait_queue;

typedef struct wait_count {
  _Alignas(WAIT_LINE) atomic_uint count;
  wait_queue queue;
} wait_count;

void wait_queue_open(wait_queue *q);
void wait_queue_close(wait_queue *q);
void wait_count_open(wait_count *c); /* begins at 0 */
void wait_count_close(wait_count *c);

/* Sleeps until done(what) is true, or until that time of the monotonic clock in nanoseconds unless it is 0. done() is
 * called under the queue's lock and reads what it looks at with atomic_load(). */
void wait_sleep(wait_queue *q, bool (*done)(const void *what), const void *what, int64_t until);

/* Wakes the sleepers. Comes after the change that they wait for, which is made with a sequentially consistent
 * operation; see wait.c. */
void wait_wake(wait_queue *q);

/* Adds 1 to the count, which wraps, and wakes those who wait for it. */
void wait_raise(wait_count *c);

/* Waits until the count has reached `target`, or until that time; spins so many times before it sleeps. True if it
 * slept. */
bool wait_for(wait_count *c, unsigned target, int spins, int64_t until);

/* What was written before the count was raised to this value is visible to the caller. */
static inline unsigned wait_now(const wait_count *c) {
  return atomic_load_explicit(&c->count, memory_order_acquire);
}

/* Whether a count that wraps has come to `target`. */
static inline bool wait_reached(unsigned count, unsigned target) {
  return (int)(count - target) >= 0;
}

/* Between two looks at a value that another thread is about to change. */
static inline void wait_relax(void) {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#endif
