#include "schedule/rows.h"

#include "base/error.h"
#include "engine/generation.h"
#include "engine/pool.h"
#include "engine/session.h"

/* True if tokens are to be drawn. */
static bool draws(const answering *a) {
  gale_generation_result result;
  if (!a->generation) return false;
  gale_generation_get_result(a->generation, &result);
  return result.finish == GALE_FINISH_NONE;
}

int32_t rows_goal(const answering *a) {
  return a->generation && !draws(a) ? a->length - 1 : a->length;
}

gale_logits_wanted rows_wanted(const answering *a, int32_t first, int32_t n) {
  if (a->row >= first + n) return GALE_LOGITS_NONE;
  bool one = a->row == first + n - 1;
  if (!a->generation) return one ? GALE_HIDDEN_LAST : GALE_HIDDEN_ALL;
  return one ? GALE_LOGITS_LAST : GALE_LOGITS_ALL;
}

static gale_status pool(answering *a, gale_session *session, size_t row, size_t n_rows, gale_error *error) {
  gale_request *r = a->of;
  size_t dim = (size_t)session->model->config.dim;
  pool_add(r->pooling, gale_hidden(session, a->sequence, row), n_rows - row, dim, a->pooled);
  a->row += (int32_t)(n_rows - row);
  if (a->row < r->n_prompt) return GALE_OK;
  gale_status status = pool_finish(a->pooled, dim, r->embedding, error);
  if (status) return status;
  a->finish = GALE_FINISH_END;
  const gale_event event = {.kind = GALE_EVENT_EMBEDDING, .embedding = r->embedding, .n_embedding = dim};
  return request_tell(r, &event, error);
}

/* The row tells how likely the prompt's next token was. */
static gale_status score(answering *a, gale_session *session, const float *logits, gale_error *error) {
  gale_request *r = a->of;
  gale_event event = {.kind = GALE_EVENT_PROMPT, .position = a->row + 1, .token = a->text[a->row + 1]};
  event.logprobs = r->logprobs;
  gale_status status = generation_score(a->generation, session, logits, event.token, (size_t)r->n_best, r->logprobs,
                                        &event.n_logprobs, error);
  a->row++;
  return status ? status : request_tell(r, &event, error);
}

/* The row gives the answer's next token. *more: it is what the draft has there, whose row follows. */
static gale_status take(answering *a, gale_session *session, size_t row, bool *more, gale_error *error) {
  int32_t token;
  gale_status status = gale_generation_take(a->generation, session, a->sequence, row, &token, error);
  if (!status) status = answering_tell(a, token, error);
  a->row++;
  *more = false;
  if (status || answering_finish(a)) return status;
  *more = a->n_right < a->n_draft && token == a->text[a->length];
  a->n_right += *more;
  return answering_append(a, token, error);
}

/* Takes back what of the draft was not right. */
static void end_draft(answering *a, gale_session *session) {
  if (a->n_draft == 0) return;
  session_take_back(session, a->sequence, a->n_draft - a->n_right);
  generation_judged(a->generation, (size_t)a->n_draft, (size_t)a->n_right);
}

gale_status rows_draft(answering *a, size_t n, size_t *fit, gale_error *error) {
  *fit = 0;
  gale_status status = answering_reserve(a, (int32_t)n, error);
  return status ? status : generation_propose(a->generation, n, a->text + a->length, fit, error);
}

gale_status rows_use(answering *a, gale_session *session, gale_error *error) {
  size_t n_rows = gale_hidden_rows(session, a->sequence);
  int32_t first = gale_sequence_length(session, a->sequence) - (int32_t)n_rows;
  gale_status status = GALE_OK;
  bool more = true;
  for (size_t row; more && !status && !answering_finish(a) && (row = (size_t)(a->row - first)) < n_rows;) {
    if (!a->generation)
      status = pool(a, session, row, n_rows, error);
    else if (answering_scores(a))
      status = score(a, session, gale_logits(session, a->sequence, row), error);
    else
      status = take(a, session, row, &more, error);
  }
  end_draft(a, session);
  request_notify(a->of);
  return status;
}
