/* A team of worker threads that run the same function together. Inside it they share out work with team_take() and meet
 * at team_barrier(); what is between two barriers is an operation.
 *
 * An operation is over when all its items are done, whoever did them. A worker that comes late, because its processor
 * was busy with another program, skips the operations that are over, and nobody waits for it unless it holds an item.
 * So a worker may take no part in an operation, and a thread other than the caller's none in a whole run. */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include "base/error.h"

typedef struct team team;
typedef struct team_worker team_worker;

enum { TEAM_MOST = 1024 };

/* No items are left: more than an operation may have. */
#define TEAM_NONE ((int64_t)1 << 40)

/* 1 <= n <= TEAM_MOST workers: the caller of team_run() and n - 1 threads. give_way: workers whose processors other
 * programs take work in short bursts for a while and sleep between them (preempt.h), as far as there is a processor for
 * each worker. The threads get no signals that are sent to the process. GALE_E_MEMORY if memory or threads are refused.
 */
gale_status team_open(int n, bool give_way, team **t, gale_error *error);
void team_close(team **t);
int team_size(const team *t);

/* Runs the job on the workers and returns when all its operations are over and no worker is inside it any more. The
 * caller is one of the workers; one caller at a time. The others join when they wake up, or not at all. The job must do
 * the same operations on every worker, at most 2^19; a worker may run it again from its start, where all that is over
 * is skipped. */
void team_run(team *t, void (*job)(void *argument, team_worker *w), void *argument);

/* Inside a job: the worker's number, 0 for the caller of team_run(), below the team's size. */
int team_index(const team_worker *w);

/* Inside a job: takes the next n >= 0 of the operation's items 0, 1, 2 ... (at most 2^32), and returns the first of
 * them, or TEAM_NONE if the operation is over. The caller compares it with the number of items there are, and takes
 * items until there are none. What other workers write within a job may be read while an item is held, from the first
 * take on, and not before. */
int64_t team_take(team_worker *w, int64_t n);

/* Inside a job: ends the operation for this worker and waits until it is over. What was written in it is visible to
 * whoever holds an item of a later one. A worker that gave up the rest of the job, to sleep, does not wait. Waiting
 * spins for some tens of microseconds and then sleeps. */
void team_barrier(team_worker *w);

#endif
