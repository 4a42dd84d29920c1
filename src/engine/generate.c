/* One answer from beginning to end: take a token, give out its text, compute it. */
#include "base/error.h"

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

static gale_status feed(gale_session *session, int32_t sequence, int32_t token, gale_error *error) {
  gale_input in = {.sequence = sequence, .tokens = &token, .n_tokens = 1, .logits = GALE_LOGITS_LAST};
  return gale_step(session, &in, 1, error);
}

gale_status gale_generate(gale_generation *g, gale_session *session, int32_t sequence, gale_piece_fn piece, void *user,
                          gale_error *error) {
  gale_status status = GALE_OK;
  while (!ended(g)) {
    size_t rows = gale_logits_rows(session, sequence);
    int32_t token;
    gale_error full = {0};
    status = gale_generation_take(g, session, sequence, rows ? rows - 1 : 0, &token, error);
    if (status) return status;
    if (!give(g, piece, user)) return gale_generation_end(g, GALE_FINISH_CANCELLED, error);
    if (ended(g)) break;
    status = feed(session, sequence, token, &full);
    if (status && status != GALE_E_CONTEXT) {
      if (error) *error = full;
      return status;
    }
    if (status) status = gale_generation_end(g, GALE_FINISH_CONTEXT, error);
    if (status) return status;
  }
  give(g, piece, user);
  return GALE_OK;
}
