#include "gale/serve/metrics.h"

#include <stdlib.h>

const int metrics_codes[N_CODES] = {200, 204, 304, 400, 401, 403, 404, 405, 408,
                                    411, 413, 414, 415, 431, 499, 500, 501, 503};

const double metrics_seconds[MAX_BOUNDS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                            0.5,   1,      2.5,   5,    10,    30,   60,  120};

static void observe(histogram *h, double x) {
  size_t i = 0;
  while (i < MAX_BOUNDS && x > metrics_seconds[i]) i++;
  h->counts[i]++;
  h->sum += x;
}

metrics *metrics_new(void) {
  return calloc(1, sizeof(metrics));
}

void metrics_request(metrics *m, size_t row, int status, double seconds) {
  size_t code = 0;
  if (!m) return;
  if (row >= MAX_PATHS) row = MAX_PATHS - 1;
  if (status == 0) status = 499; /* the client left */
  while (code < N_CODES - 1 && metrics_codes[code] != status) code++;
  m->requests[row][code]++;
  observe(&m->request, seconds);
}

void metrics_rejected(metrics *m, failure f) {
  if (!m) return;
  m->queue_full += f == FAILURE_QUEUE;
  m->loading += f == FAILURE_LOADING;
  m->draining += f == FAILURE_DRAINING;
  m->memory += f == FAILURE_MEMORY;
}

void metrics_token(metrics *m, bool first, double seconds) {
  if (!m) return;
  m->generated++;
  observe(first ? &m->first_token : &m->inter_token, seconds);
}

void metrics_answer(metrics *m, double waited, int64_t computed) {
  if (!m) return;
  observe(&m->queue, waited);
  m->computed += computed > 0 ? (uint64_t)computed : 0;
}

void metrics_finished(metrics *m, finish_reason reason) {
  if (m) m->finished[reason]++;
}
