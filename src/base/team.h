/* A team of worker threads that run the same function together. Inside it they share out work with
 * team_take() and meet at team_barrier().
 *
 * What is between two barriers is an operation. It is over when all its pieces are done, whoever did them: a worker
 * that is late, because its processor is busy with another program, finds nothing left of the operations that it
 * missed, and nobody waits for it unless it holds a piece. So every worker may be missing, in an operation and
 * altogether. */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include "base/error.h"

typedef struct team team;
typedef struct team_worker team_worker;

enum { TEAM_MOST = 1024 };

/* No pieces are left: more than an operation may have. */
#define TEAM_NONE ((int64_t)1 << 40)

/* 1 <= n <= TEAM_MOST workers: the caller of team_run() and n - 1 threads. */
gale_status team_open(int n, team **t, gale_error *error);
void team_close(team **t);
int team_size(const team *t);

/* Runs the job on the workers and returns when all its operations are over and no worker is inside it any more. The
 * caller is one of the workers; one caller at a time. The others join as they come, or not at all. A worker may run the
 * job again from its start, where all that is over is skipped.
 *
 * A worker that finds its processor taken by another program works in short bursts for a while and sleeps between
 * them, so that it is seldom interrupted while it holds a piece. */
void team_run(team *t, void (*job)(void *argument, team_worker *w), void *argument);

/* Inside a job: its number, 0 for the caller of team_run(), below the team's size. */
int team_index(const team_worker *w);

/* Inside a job: takes the next n >= 0 of the operation's pieces 0, 1, 2 ... (at most 2^32), and returns the first of
 * them, or TEAM_NONE if the operation is over. The caller compares it with the number of pieces there are, and takes
 * pieces until there are none. What other workers write within a job may be read while a piece is held, from the first
 * take on, and not before. */
int64_t team_take(team_worker *w, int64_t n);

/* Inside a job: waits until the operation is over; what was written in it is visible to whoever holds a piece of a
 * later one. A worker that leaves the rest of the job to the others passes at once. Waiting spins for some tens of
 * microseconds and then sleeps. */
void team_barrier(team_worker *w);

#endif
