#include "base/team.h"

#include "base/cpu.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

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

/* A number that only grows, and threads that wait for it to change. */
typedef struct signal_count {
  _Alignas(LINE) atomic_uint count;
  atomic_uint sleepers;
  pthread_mutex_t lock;
  pthread_cond_t changed;
} signal_count;

typedef struct worker {
  team *team;
  int index;
  pthread_t thread;
} worker;

struct team {
  _Alignas(LINE) atomic_int_fast64_t next_piece;
  _Alignas(LINE) atomic_int arrived;
  signal_count met;   /* barriers passed */
  signal_count start; /* jobs begun */
  _Alignas(LINE) int size;
  int spins;
  void (*job)(void *argument, int worker); /* NULL: leave */
  void *argument;
  int n_threads; /* started so far */
  worker *workers;
};

static void signal_open(signal_count *s) {
  atomic_init(&s->count, 0);
  atomic_init(&s->sleepers, 0);
  pthread_mutex_init(&s->lock, NULL);
  pthread_cond_init(&s->changed, NULL);
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

/* Waits until the count is no longer `seen`. A sleeper counts itself before it looks a last time, and
 * signal_raise() looks for sleepers after it counts: one of the two sees the other. */
static void signal_wait(signal_count *s, unsigned seen, int spins) {
  for (int i = 0; i < spins; i++) {
    if (atomic_load_explicit(&s->count, memory_order_acquire) != seen) return;
    relax();
  }
  pthread_mutex_lock(&s->lock);
  atomic_fetch_add(&s->sleepers, 1);
  while (atomic_load(&s->count) == seen) pthread_cond_wait(&s->changed, &s->lock);
  atomic_fetch_sub(&s->sleepers, 1);
  pthread_mutex_unlock(&s->lock);
}

static void *worker_main(void *argument) {
  worker *w = argument;
  team *t = w->team;
  for (unsigned seen = 0;; seen++) {
    signal_wait(&t->start, seen, t->spins);
    if (!t->job) return NULL;
    t->job(t->argument, w->index);
    team_barrier(t);
  }
}

gale_status team_open(int n, team **out, gale_error *error) {
  team *t = NULL;
  if (posix_memalign((void **)&t, LINE, sizeof *t) != 0) return error_memory(error, sizeof *t);
  *t = (team){.size = n, .spins = n <= cpu_count() ? SPINS : 1};
  atomic_init(&t->next_piece, 0);
  atomic_init(&t->arrived, 0);
  signal_open(&t->met);
  signal_open(&t->start);
  t->workers = calloc((size_t)n, sizeof *t->workers);
  if (!t->workers) {
    team_close(&t);
    return error_memory(error, (uint64_t)n * sizeof *t->workers);
  }
  for (int i = 1; i < n; i++) {
    worker *w = &t->workers[i];
    *w = (worker){.team = t, .index = i};
    if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
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
  t->job = NULL;
  signal_raise(&t->start);
  for (int i = 1; i <= t->n_threads; i++) pthread_join(t->workers[i].thread, NULL);
  signal_close(&t->met);
  signal_close(&t->start);
  free(t->workers);
  free(t);
  *out = NULL;
}

int team_size(const team *t) {
  return t->size;
}

void team_run(team *t, void (*job)(void *argument, int worker), void *argument) {
  t->job = job;
  t->argument = argument;
  if (t->size > 1) signal_raise(&t->start);
  job(argument, 0);
  team_barrier(t);
}

void team_barrier(team *t) {
  if (t->size == 1) {
    atomic_store_explicit(&t->next_piece, 0, memory_order_relaxed);
    return;
  }
  unsigned seen = atomic_load_explicit(&t->met.count, memory_order_relaxed);
  if (atomic_fetch_add(&t->arrived, 1) + 1 < t->size) {
    signal_wait(&t->met, seen, t->spins);
    return;
  }
  atomic_store_explicit(&t->arrived, 0, memory_order_relaxed);
  atomic_store_explicit(&t->next_piece, 0, memory_order_relaxed);
  signal_raise(&t->met);
}

int64_t team_take(team *t, int64_t n) {
  return atomic_fetch_add_explicit(&t->next_piece, n, memory_order_relaxed);
}
