/* What GET /metrics tells: counted here by whoever knows it. */
#ifndef GALE_SERVE_METRICS_H
#define GALE_SERVE_METRICS_H

#include "gale/serve/serve.h"

/* How an answer ended. */
typedef enum finish_reason {
  REASON_STOP,
  REASON_LENGTH,
  REASON_CALLS,
  REASON_CANCELLED,
  REASON_ERROR,
  N_REASONS
} finish_reason;

enum { MAX_PATHS = 64, MAX_BOUNDS = 16, N_CODES = 18 };

extern const int metrics_codes[N_CODES];         /* statuses that are told apart; 499: the client left first */
extern const double metrics_seconds[MAX_BOUNDS]; /* bounds of histograms */

typedef struct histogram {
  uint64_t counts[MAX_BOUNDS + 1]; /* up to each bound; the last: beyond all */
  double sum;
} histogram;

typedef struct metrics {
  uint64_t requests[MAX_PATHS][N_CODES]; /* by row of the endpoint table; the last: other paths */
  uint64_t finished[N_REASONS];
  uint64_t queue_full, loading, draining, memory; /* refused */
  uint64_t generated, computed;                   /* tokens */
  histogram first_token, inter_token, request, queue;
} metrics;

/* NULL without memory. Where there are no metrics, the other functions count nothing. */
metrics *metrics_new(void);

/* A response is over, of a row of the endpoint table (MAX_PATHS: none); status 0: none was sent. */
void metrics_request(metrics *m, size_t row, int status, double seconds);
/* A request was refused for want of something (503). */
void metrics_rejected(metrics *m, failure f);
/* A token came: `seconds` after the request, or after the one before it. */
void metrics_token(metrics *m, bool first, double seconds);
/* An answer is over that waited so many seconds. computed: tokens of its prompt that were. */
void metrics_answer(metrics *m, double waited, int64_t computed);
void metrics_finished(metrics *m, finish_reason reason);

#endif
