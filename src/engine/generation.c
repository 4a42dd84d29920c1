/* Answers: tokens from rows of logits, and text from tokens. */
#include "engine/generation.h"
#include "base/sized.h"
#include "chat/answer.h"
#include "engine/constrained.h"
#include "engine/session.h"
#include "tokenizer/built.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_LOGPROBS = 1024, MOST_FORCED = 256 };

struct gale_generation {
  const gale_model *model; /* or NULL */
  const gale_tokenizer *tokenizer;
  int32_t max_tokens;
  bool ignore_end;
  int32_t *ends; /* [n_ends] that the sampling options add */
  size_t n_ends;
  sampler *sampler; /* NULL without a model */
  answer *answer;
  constrained bound;
  speculation *speculation; /* NULL: nothing is drafted */
  piece_list pieces;
  int32_t *stop_tokens; /* [n_stop]: the control token that a stop text names, or -1 */
  size_t n_stop;
  gale_generation_result result;
  gale_logprob *logprobs; /* [1 + top]: of the token taken last, and of the best; NULL: not asked for */
  size_t top, n_logprobs;
};

void gale_generation_defaults_sized(gale_generation_options *options, size_t size) {
  const gale_generation_options defaults = {.max_tokens = -1};
  sized_write(options, size, &defaults, sizeof defaults);
}

/* ---- Opening ---- */

static gale_status check_options(const gale_generation_options *o, gale_error *error) {
  if (o->max_tokens < -1)
    return error_set(error, GALE_E_ARGUMENT, "max_tokens is %d: -1 (no limit) and more is accepted", o->max_tokens);
  if (o->top_logprobs < 0 || o->top_logprobs > MOST_LOGPROBS)
    return error_set(error, GALE_E_ARGUMENT, "top_logprobs is %d: 0 to %d is accepted", o->top_logprobs, MOST_LOGPROBS);
  if (o->top_logprobs > 0 && !o->logprobs)
    return error_set(error, GALE_E_ARGUMENT, "top_logprobs is %d without logprobs", o->top_logprobs);
  return GALE_OK;
}

/* The sampler is told of all ends that it can draw, the tokenizer's too. */
static gale_status open_sampler(gale_generation *g, gale_sampler_options *o, gale_error *error) {
  const gale_tokenizer *t = g->tokenizer;
  int32_t n_tokens = model_drawable(g->model, t);
  int32_t *ends = malloc((o->n_ends + t->n_ends + 1) * sizeof *ends);
  if (!ends) return error_memory(error, (o->n_ends + t->n_ends) * sizeof *ends);
  size_t n = o->n_ends;
  if (n) memcpy(ends, o->ends, n * sizeof *ends);
  for (size_t i = 0; i < t->n_ends; i++)
    if (t->ends[i] < n_tokens) ends[n++] = t->ends[i];
  o->ends = ends;
  o->n_ends = n;
  gale_status status = sampler_open(o, n_tokens, &g->sampler, error);
  free(ends);
  return status;
}

static gale_status open_sampling(gale_generation *g, const gale_generation_options *o, gale_error *error) {
  gale_sampler_options s;
  gale_sampler_defaults(&s);
  gale_status status = o->sampling ? sized_read(&s, sizeof s, o->sampling, "gale_sampler_options", error) : GALE_OK;
  if (status) return status;
  if (s.n_ends > SIZE_MAX / 16) return error_memory(error, UINT64_MAX);
  g->ignore_end = s.ignore_end;
  g->n_ends = s.n_ends;
  if (s.n_ends && !(g->ends = malloc(s.n_ends * sizeof *g->ends)))
    return error_memory(error, s.n_ends * sizeof *g->ends);
  if (s.n_ends) memcpy(g->ends, s.ends, s.n_ends * sizeof *g->ends);
  if (!g->model) return GALE_OK;
  status = open_sampler(g, &s, error);
  for (size_t i = 0; i < o->n_prompt && !status; i++) status = sampler_accept(g->sampler, o->prompt[i], false, error);
  return status;
}

static gale_status open_stops(gale_generation *g, const gale_generation_options *o, gale_error *error) {
  if (!o->n_stop) return GALE_OK;
  gale_status status = stop_open(o->stop, o->n_stop, &g->pieces.stop, error);
  if (status) return status;
  g->stop_tokens = malloc(o->n_stop * sizeof *g->stop_tokens);
  if (!g->stop_tokens) return error_memory(error, o->n_stop * sizeof *g->stop_tokens);
  g->n_stop = o->n_stop;
  for (size_t i = 0; i < o->n_stop; i++) g->stop_tokens[i] = tokenizer_control(g->tokenizer, o->stop[i]);
  return GALE_OK;
}

gale_status generation_speculate(gale_generation *g, int32_t most, const int32_t *prompt, size_t n_prompt,
                                 gale_error *error) {
  if (most < 0 || most > SPECULATION_MOST)
    return error_set(error, GALE_E_ARGUMENT, "speculate is %d: 0 to %d is accepted", most, SPECULATION_MOST);
  if (most == 0 || !g->model) return GALE_OK;
  g->speculation = calloc(1, sizeof *g->speculation);
  if (!g->speculation) return error_memory(error, sizeof *g->speculation);
  return speculation_open(g->speculation, (size_t)most, prompt, n_prompt, error);
}

static gale_status open_parts(gale_generation *g, const gale_generation_options *o, gale_error *error) {
  gale_status status = open_sampling(g, o, error);
  const answer_form form = {o->form, o->special, o->generic_tools, o->no_calls, o->continued};
  if (!status) status = answer_open(g->tokenizer, &form, &g->answer, error);
  if (!status) status = constrained_open(o, g->tokenizer, &g->bound, error);
  g->bound.ends = g->ends;
  g->bound.n_ends = g->n_ends;
  if (!status) status = open_stops(g, o, error);
  if (!status) status = generation_speculate(g, o->speculate, o->prompt, o->n_prompt, error);
  if (status || !o->logprobs) return status;
  g->top = (size_t)o->top_logprobs;
  g->logprobs = malloc((g->top + 1) * sizeof *g->logprobs);
  return g->logprobs ? GALE_OK : error_memory(error, (g->top + 1) * sizeof *g->logprobs);
}

gale_status gale_generation_open(const gale_model *model, const gale_tokenizer *tokenizer,
                                 const gale_generation_options *options, gale_generation **generation,
                                 gale_error *error) {
  gale_generation_options o;
  gale_generation_defaults(&o);
  gale_status status = options ? sized_read(&o, sizeof o, options, "gale_generation_options", error) : GALE_OK;
  if (!status) status = check_options(&o, error);
  if (status) return status;
  if (!tokenizer && model) tokenizer = model->tokenizer;
  if (!tokenizer) return error_set(error, GALE_E_ARGUMENT, "there is no tokenizer, and text needs one");
  gale_generation *g = calloc(1, sizeof *g);
  if (!g) return error_memory(error, sizeof *g);
  g->model = model;
  g->tokenizer = tokenizer;
  g->max_tokens = o.max_tokens;
  g->pieces.stopped = g->result.stop = -1;
  if (o.max_tokens == 0) g->result.finish = GALE_FINISH_LENGTH;
  status = open_parts(g, &o, error);
  if (status)
    gale_generation_close(&g);
  else
    *generation = g;
  return status;
}

void gale_generation_close(gale_generation **generation) {
  if (!generation || !*generation) return;
  gale_generation *g = *generation;
  sampler_close(&g->sampler);
  answer_close(&g->answer);
  constrained_close(&g->bound);
  pieces_free(&g->pieces);
  if (g->speculation) speculation_close(g->speculation);
  free(g->speculation);
  free(g->ends);
  free(g->stop_tokens);
  free(g->logprobs);
  free(g);
  *generation = NULL;
}

/* ---- Tokens ---- */

static bool is_end(const gale_generation *g, int32_t token) {
  if (g->ignore_end) return false;
  for (size_t i = 0; i < g->n_ends; i++)
    if (g->ends[i] == token) return true;
  return gale_tokenizer_is_end(g->tokenizer, token);
}

/* The stop text that a token is, or -1. */
static int32_t stop_of(const gale_generation *g, int32_t token) {
  for (size_t i = 0; i < g->n_stop; i++)
    if (g->stop_tokens[i] == token) return (int32_t)i;
  return -1;
}

/* cut: the answer is ended before the model ends it, so that its last character may be incomplete. */
static gale_status end(gale_generation *g, gale_finish finish, bool cut, gale_error *error) {
  g->result.finish = finish;
  gale_status status = answer_finish(g->answer, cut, &g->pieces, error);
  if (!status) status = pieces_flush(&g->pieces, error);
  /* Text that was held back may have completed a stop text. */
  if (g->pieces.stopped >= 0) {
    g->result.finish = GALE_FINISH_STOP;
    g->result.stop = g->pieces.stopped;
  }
  return status;
}

static gale_status add_token(gale_generation *g, int32_t token, gale_error *error) {
  g->result.n_tokens++;
  if (is_end(g, token)) return end(g, GALE_FINISH_END, false, error);
  g->result.stop = stop_of(g, token);
  if (g->result.stop >= 0) return end(g, GALE_FINISH_STOP, false, error);
  bool thought = answer_thinks(g->answer);
  gale_status status = answer_push(g->answer, token, &g->pieces, error);
  if (status) return status;
  g->result.n_thinking += thought || answer_thinks(g->answer);
  if (g->pieces.stopped >= 0) {
    g->result.finish = GALE_FINISH_STOP;
    g->result.stop = g->pieces.stopped;
  } else if (constrained_over(&g->bound, g->answer)) {
    status = end(g, GALE_FINISH_END, false, error);
  } else if (g->result.n_tokens == g->max_tokens) {
    status = end(g, GALE_FINISH_LENGTH, true, error);
  }
  return status;
}

gale_status gale_generation_accept(gale_generation *g, int32_t token, gale_error *error) {
  if (g->result.finish) return error_set(error, GALE_E_ARGUMENT, "the answer has ended: no token can follow");
  int32_t n_tokens = g->model ? model_drawable(g->model, g->tokenizer) : gale_tokenizer_size(g->tokenizer);
  if (token < 0 || token >= n_tokens)
    return error_set(error, GALE_E_ARGUMENT, "token is %d: 0 to %d is accepted", token, n_tokens - 1);
  gale_status status = constrained_accept(&g->bound, g->answer, token, is_end(g, token), error);
  if (status == GALE_E_ARGUMENT) return status;
  if (!status && g->sampler) status = sampler_accept(g->sampler, token, true, error);
  if (status == GALE_E_ARGUMENT) return status;
  g->n_logprobs = 0;
  if (!status) status = add_token(g, token, error);
  if (!status && g->speculation && !g->result.finish) status = speculation_accept(g->speculation, token, error);
  if (status) g->result.finish = GALE_FINISH_CANCELLED;
  return status;
}

gale_status generation_score(const gale_generation *g, gale_session *session, const float *logits, int32_t token,
                             size_t top, gale_logprob *logprobs, size_t *n, gale_error *error) {
  logprobs[0].token = token;
  int32_t n_tokens = model_drawable(g->model, g->tokenizer);
  size_t n_best = 0;
  gale_status status =
      sampler_logprobs(session->sampling, logits, n_tokens, &logprobs[0], top, logprobs + 1, &n_best, error);
  *n = 1 + n_best;
  return status;
}

/* True if the token behind a row of the last step has no place in the context. */
static bool context_is_full(const gale_session *session, int32_t sequence, size_t row) {
  size_t after = gale_logits_rows(session, sequence) - 1 - row;
  return gale_sequence_length(session, sequence) - (int64_t)after >= session->options.context;
}

/* Of the monotonic clock, where there is something to measure; else 0. */
static double seconds_if(const void *something) {
  struct timespec t = {0};
  if (something) clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

gale_status gale_generation_take(gale_generation *g, gale_session *session, int32_t sequence, size_t row,
                                 int32_t *token, gale_error *error) {
  if (g->result.finish) return error_set(error, GALE_E_ARGUMENT, "the answer has ended: no token can follow");
  if (!g->model || session->model != g->model)
    return error_set(error, GALE_E_ARGUMENT, "the generation was not opened for the session's model");
  const float *logits = gale_logits(session, sequence, row);
  if (!logits)
    return error_set(error, GALE_E_ARGUMENT,
                     "sequence %d has no row %zu of logits, but %zu: the session's last step must have computed them",
                     sequence, row, gale_logits_rows(session, sequence));
  int32_t chosen;
  size_t n_logprobs = 0;
  const uint32_t *mask;
  double begun = seconds_if(g->bound.state);
  gale_status status = constrained_mask(&g->bound, g->answer, session->sampling, &mask, error);
  g->result.mask_seconds += seconds_if(g->bound.state) - begun;
  if (!status) status = sampler_choose(g->sampler, session->sampling, logits, g->result.n_tokens, mask, &chosen, error);
  if (!status && g->logprobs)
    status = generation_score(g, session, logits, chosen, g->top, g->logprobs, &n_logprobs, error);
  if (status) return status;
  status = gale_generation_accept(g, chosen, error);
  if (status) return status;
  g->n_logprobs = n_logprobs;
  *token = chosen;
  if (!g->result.finish && context_is_full(session, sequence, row)) return end(g, GALE_FINISH_CONTEXT, true, error);
  return GALE_OK;
}

gale_status gale_generation_end(gale_generation *g, gale_finish finish, gale_error *error) {
  if (finish != GALE_FINISH_LENGTH && finish != GALE_FINISH_CONTEXT && finish != GALE_FINISH_CANCELLED)
    return error_set(error, GALE_E_ARGUMENT, "finish is %d: GALE_FINISH_LENGTH, _CONTEXT and _CANCELLED are accepted",
                     (int)finish);
  return g->result.finish ? GALE_OK : end(g, finish, true, error);
}

/* ---- Drafts ---- */

/* Tells the speculation what the constraint forces, as far as a draft can reach. The last token may turn out another,
 * with what follows. */
static gale_status find_forced(gale_generation *g, gale_error *error) {
  const char *text;
  size_t length;
  gale_status status = constrained_forced(&g->bound, g->answer, &text, &length, error);
  if (status || length == 0) return status;
  gale_tokenizer within = *g->tokenizer; /* a text that goes on gets no space in front */
  within.add_space_prefix = false;
  id_list list = {0};
  status = encode_append(&within, text, length < MOST_FORCED ? length : MOST_FORCED, &list, error);
  if (status)
    free(list.ids);
  else
    speculation_force(g->speculation, list.ids, list.n > 0 ? list.n - 1 : 0);
  return status;
}

size_t generation_room(const gale_generation *g, size_t most) {
  if (g->result.finish) return 0;
  size_t left = g->max_tokens >= 0 ? (size_t)(g->max_tokens - g->result.n_tokens) : SIZE_MAX;
  return most < left ? most : left - 1;
}

gale_status generation_outlook(gale_generation *g, size_t most, draft_outlook *outlook, gale_error *error) {
  *outlook = (draft_outlook){0};
  if (!g->speculation || g->result.finish) return GALE_OK;
  gale_status status = speculation_wants_forced(g->speculation) ? find_forced(g, error) : GALE_OK;
  if (status) return status;
  most = generation_room(g, most);
  *outlook = speculation_outlook(g->speculation);
  if (outlook->most > most) outlook->most = most;
  return GALE_OK;
}

gale_status generation_fit(gale_generation *g, size_t n, const int32_t *tokens, size_t *fit, gale_error *error) {
  size_t known = 0;
  int32_t n_tokens = model_drawable(g->model, g->tokenizer);
  *fit = 0;
  while (known < n && tokens[known] < n_tokens) known++;
  return known ? constrained_fit(&g->bound, g->answer, tokens, known, fit, error) : GALE_OK;
}

gale_status generation_propose(gale_generation *g, size_t n, int32_t *tokens, size_t *fit, gale_error *error) {
  speculation_propose(g->speculation, n, tokens);
  return generation_fit(g, n, tokens, fit, error);
}

gale_status generation_guess(gale_generation *g, gale_session *session, int32_t sequence, size_t ahead,
                             int32_t *token) {
  const float *logits = gale_logits(session, sequence, 0);
  return sampler_choose(g->sampler, session->sampling, logits, g->result.n_tokens + (int64_t)ahead, NULL, token, NULL);
}

gale_status generation_draft(gale_generation *g, size_t most, int32_t *tokens, size_t *n, gale_error *error) {
  draft_outlook outlook;
  gale_status status = generation_outlook(g, most, &outlook, error);
  *n = 0;
  if (status || outlook.most == 0) return status;
  size_t size = speculation_size(g->speculation, outlook.most);
  return size ? generation_propose(g, size, tokens, n, error) : GALE_OK;
}

void generation_timed(gale_generation *g, size_t n, double seconds) {
  if (g->speculation) speculation_timed(g->speculation, n, seconds);
}

void generation_judged(gale_generation *g, size_t n, size_t right) {
  g->result.n_drafted += (int64_t)n;
  g->result.n_right += (int64_t)right;
}

/* ---- What comes out ---- */

const gale_piece *gale_generation_next(gale_generation *g) {
  return pieces_next(&g->pieces);
}

gale_status gale_generation_calls(gale_generation *g, const gale_tool_call **calls, size_t *n_calls,
                                  gale_error *error) {
  return answer_calls(g->answer, calls, n_calls, error);
}

size_t gale_generation_logprobs(const gale_generation *g, const gale_logprob **logprobs) {
  *logprobs = g->logprobs;
  return g->n_logprobs;
}

void gale_generation_get_result_sized(const gale_generation *g, gale_generation_result *result, size_t size) {
  sized_write(result, size, &g->result, sizeof g->result);
}
