/* A team of worker threads that run the same function together. Inside it they share out work with
 * team_take() and meet at team_barrier(). */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include "base/error.h"

typedef struct team team;

/* n >= 1 workers: the caller of team_run() and n - 1 threads. */
gale_status team_open(int n, team **t, gale_error *error);
void team_close(team **t);
int team_size(const team *t);

/* Runs job(argument, worker) on every worker, 0 <= worker < size, and returns when all are done. The
 * caller is worker 0. One caller at a time. */
void team_run(team *t, void (*job)(void *argument, int worker), void *argument);

/* Inside a job: waits until every worker is here; writes before it are visible after it. Waiting spins
 * for some tens of microseconds and then sleeps, so that a worker that lost its processor to another
 * program does not hold the other processors too. */
void team_barrier(team *t);

/* Inside a job: takes the next n of the pieces 0, 1, 2 ... since the last barrier and returns the first
 * of them. The caller compares it with the number of pieces there are. */
int64_t team_take(team *t, int64_t n);

#endif
