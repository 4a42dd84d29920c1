#include "base/wait.h"

#include <time.h>

void wait_queue_open(wait_queue *q) {
  pthread_condattr_t clock;
  atomic_init(&q->sleepers, 0);
  pthread_mutex_init(&q->lock, NULL);
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&q->changed, &clock);
  pthread_condattr_destroy(&clock);
}

void wait_queue_close(wait_queue *q) {
  pthread_mutex_destroy(&q->lock);
  pthread_cond_destroy(&q->changed);
}

void wait_count_open(wait_count *c) {
  atomic_init(&c->count, 0);
  wait_queue_open(&c->queue);
}

void wait_count_close(wait_count *c) {
  wait_queue_close(&c->queue);
}

/* No wake-up is lost: a sleeper counts itself and then looks at the value, whoever changes the value then looks for
 * sleepers. All four accesses are sequentially consistent, so at least one of the two sees the other; and a sleeper
 * holds the lock from its look until it sleeps, which the broadcast waits for. */
void wait_sleep(wait_queue *q, bool (*done)(const void *what), const void *what, int64_t until) {
  const struct timespec end = {.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};
  int late = 0;
  pthread_mutex_lock(&q->lock);
  atomic_fetch_add(&q->sleepers, 1);
  while (!done(what) && !late)
    late = until ? pthread_cond_timedwait(&q->changed, &q->lock, &end) : pthread_cond_wait(&q->changed, &q->lock);
  atomic_fetch_sub(&q->sleepers, 1);
  pthread_mutex_unlock(&q->lock);
}

void wait_wake(wait_queue *q) {
  if (atomic_load(&q->sleepers) == 0) return;
  pthread_mutex_lock(&q->lock);
  pthread_cond_broadcast(&q->changed);
  pthread_mutex_unlock(&q->lock);
}

void wait_raise(wait_count *c) {
  atomic_fetch_add(&c->count, 1);
  wait_wake(&c->queue);
}

typedef struct goal {
  const wait_count *count;
  unsigned target;
} goal;

static bool has_reached(const void *what) {
  const goal *g = what;
  return wait_reached(atomic_load(&g->count->count), g->target);
}

bool wait_for(wait_count *c, unsigned target, int spins, int64_t until) {
  for (int i = 0; i < spins; i++) {
    if (wait_reached(wait_now(c), target)) return false;
    wait_relax();
  }
  const goal g = {c, target};
  wait_sleep(&c->queue, has_reached, &g, until);
  return true;
}
