/* Generation: sample, show, feed back. */
#include "base/sized.h"
#include "chat/stop.h"

typedef struct generation {
  gale_session *session;
  int32_t sequence;
  const gale_tokenizer *tokenizer;
  gale_sampler *sampler;
  const gale_generate_options *options;
  gale_detokenizer *stream;
  stop_matcher *stop;
  gale_generate_result result;
} generation;

void gale_generate_defaults_sized(gale_generate_options *options, size_t size) {
  const gale_generate_options defaults = {.max_tokens = -1};
  sized_write(options, size, &defaults, sizeof defaults);
}

/* Gives sure text to the caller. False: the caller wants no more. */
static bool show(const generation *g, int32_t token, const char *text, size_t length) {
  return !g->options->text || g->options->text(g->options->user, token, text, length);
}

/* One sampled token, or with token -1 what the detokenizer held back, through the stop texts to the caller.
 * *done is set where the answer ends here. */
static gale_status pass_on(generation *g, int32_t token, const char *text, size_t length, bool *done,
                           gale_error *error) {
  const char *sure;
  size_t n_sure;
  bool stopped;
  gale_status status = stop_push(g->stop, text, length, &sure, &n_sure, &stopped, error);
  if (status) return status;
  bool wanted = show(g, token, sure, n_sure);
  *done = stopped || !wanted;
  if (*done) g->result.finish = stopped ? GALE_FINISH_STOP : GALE_FINISH_CANCELLED;
  return GALE_OK;
}

static gale_status feed(generation *g, int32_t token, gale_error *error) {
  gale_input in = {.sequence = g->sequence, .tokens = &token, .n_tokens = 1, .logits = GALE_LOGITS_LAST};
  return gale_step(g->session, &in, 1, error);
}

/* Samples and shows tokens until the answer ends, for the reason in result.finish. */
static gale_status loop(generation *g, gale_error *error) {
  const gale_generate_options *o = g->options;
  gale_session_options session;
  gale_session_get_options(g->session, &session);
  g->result.finish = GALE_FINISH_LENGTH;
  for (bool done = false; o->max_tokens < 0 || g->result.n_tokens < o->max_tokens;) {
    size_t rows = gale_logits_rows(g->session, g->sequence);
    const float *logits = rows > 0 ? gale_logits(g->session, g->sequence, rows - 1) : NULL;
    if (!logits)
      return error_set(error, GALE_E_ARGUMENT,
                       "sequence %d has no logits to sample from: the session's last step must have computed them",
                       g->sequence);
    int32_t token;
    gale_status status = gale_sampler_choose(g->sampler, logits, &token, error);
    if (!status) status = gale_sampler_accept(g->sampler, token, error);
    if (status) return status;
    g->result.n_tokens++;
    if (!o->ignore_end && gale_tokenizer_is_end(g->tokenizer, token)) {
      g->result.finish = GALE_FINISH_END;
      return GALE_OK;
    }
    const char *text;
    size_t length;
    status = gale_detokenizer_push(g->stream, token, &text, &length, error);
    if (!status) status = pass_on(g, token, text, length, &done, error);
    if (status || done) return status;
    if (gale_sequence_length(g->session, g->sequence) >= session.context) return GALE_OK;
    bool last = g->result.n_tokens == o->max_tokens;
    if (!last && (status = feed(g, token, error))) return status;
  }
  return GALE_OK;
}

/* What the detokenizer and the stop texts held back. */
static gale_status flush(generation *g, gale_error *error) {
  const char *text;
  size_t length;
  bool done = false;
  if (g->result.finish == GALE_FINISH_STOP || g->result.finish == GALE_FINISH_CANCELLED) return GALE_OK;
  gale_status status = gale_detokenizer_finish(g->stream, &text, &length, error);
  if (!status && length > 0) status = pass_on(g, -1, text, length, &done, error);
  if (status || done) return status;
  stop_finish(g->stop, &text, &length);
  if (length > 0) show(g, -1, text, length);
  return GALE_OK;
}

gale_status gale_generate(gale_session *session, int32_t sequence, const gale_tokenizer *tokenizer,
                          gale_sampler *sampler, const gale_generate_options *options, gale_generate_result *result,
                          gale_error *error) {
  gale_generate_options o;
  gale_generate_defaults(&o);
  gale_status status = options ? sized_read(&o, sizeof o, options, "gale_generate_options", error) : GALE_OK;
  generation g = {.session = session, .sequence = sequence, .tokenizer = tokenizer, .sampler = sampler, .options = &o};
  if (!status) status = gale_detokenizer_open(tokenizer, g.options->special, &g.stream, error);
  if (!status) status = stop_open(g.options->stop, g.options->n_stop, &g.stop, error);
  if (!status) status = loop(&g, error);
  if (!status) status = flush(&g, error);
  gale_detokenizer_close(&g.stream);
  stop_close(&g.stop);
  if (!status && result) *result = g.result;
  return status;
}
