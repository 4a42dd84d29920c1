/* One answer from beginning to end: take a token, give out its text, compute it, and a draft of what may follow. */
#include "base/error.h"
#include "engine/generation.h"
#include "engine/session.h"

#include <time.h>

typedef struct run {
  gale_generation *g;
  gale_session *session;
  int32_t sequence;
  size_t row;                         /* of logits, from which the next token is taken */
  int32_t step[1 + SPECULATION_MOST]; /* the token that is computed, and behind it the draft */
  size_t n_draft, right;              /* of the draft, so many were taken too */
} run;

/* False: the caller wants no more. */
static bool give(gale_generation *g, gale_piece_fn piece, void *user) {
  for (const gale_piece *p; (p = gale_generation_next(g));)
    if (piece && !piece(user, p)) return false;
  return true;
}

static bool ended(const gale_generation *g) {
  gale_generation_result r;
  gale_generation_get_result(g, &r);
  return r.finish != GALE_FINISH_NONE;
}

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Takes back what of the draft was not right. */
static void end_draft(run *r) {
  if (r->n_draft == 0) return;
  session_take_back(r->session, r->sequence, (int32_t)(r->n_draft - r->right));
  generation_judged(r->g, r->n_draft, r->right);
  r->n_draft = r->right = 0;
}

static gale_status compute(run *r, size_t n_draft, gale_error *error) {
  gale_input in = {r->sequence, r->step, (int32_t)(1 + n_draft), n_draft ? GALE_LOGITS_ALL : GALE_LOGITS_LAST};
  double start = seconds_now();
  gale_status status = session_step(r->session, &in, 1, (const int32_t[]){(int32_t)n_draft}, error);
  if (status) return status;
  generation_timed(r->g, n_draft, seconds_now() - start);
  r->n_draft = n_draft;
  r->row = 0;
  return GALE_OK;
}

/* Computes the token with a draft behind it as far as there is room. */
static gale_status feed(run *r, int32_t token, gale_error *error) {
  const gale_session_options *o = &r->session->options;
  int32_t room = o->context - gale_sequence_length(r->session, r->sequence);
  if (room > o->chunk) room = o->chunk;
  size_t n = 0;
  gale_status status = room > 1 ? generation_draft(r->g, (size_t)room - 1, r->step + 1, &n, error) : GALE_OK;
  if (status) return status;
  r->step[0] = token;
  gale_error full = {0};
  status = compute(r, n, &full);
  if (status == GALE_E_CONTEXT && n > 0) status = compute(r, 0, &full);
  if (status == GALE_E_CONTEXT) return gale_generation_end(r->g, GALE_FINISH_CONTEXT, error);
  if (status && error) *error = full;
  return status;
}

static gale_status take_all(run *r, gale_piece_fn piece, void *user, gale_error *error) {
  while (!ended(r->g)) {
    int32_t token;
    gale_status status = gale_generation_take(r->g, r->session, r->sequence, r->row, &token, error);
    if (status) return status;
    if (!give(r->g, piece, user)) return gale_generation_end(r->g, GALE_FINISH_CANCELLED, error);
    if (ended(r->g)) break;
    if (r->right < r->n_draft && token == r->step[1 + r->right]) {
      r->right++;
      r->row++;
      continue;
    }
    end_draft(r);
    status = feed(r, token, error);
    if (status) return status;
  }
  give(r->g, piece, user);
  return GALE_OK;
}

gale_status gale_generate(gale_generation *g, gale_session *session, int32_t sequence, gale_piece_fn piece, void *user,
                          gale_error *error) {
  size_t rows = gale_logits_rows(session, sequence);
  run r = {.g = g, .session = session, .sequence = sequence, .row = rows ? rows - 1 : 0};
  gale_status status = take_all(&r, piece, user, error);
  end_draft(&r);
  return status;
}
