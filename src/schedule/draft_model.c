#include "schedule/draft_model.h"

#include "base/error.h"
#include "engine/generation.h"

#include <stdlib.h>
#include <string.h>

/* Tokens of a draft; and those of texts that a step reads at most, so that answers that stream don't wait for it. */
enum { MOST_DRAFTED = 8, MOST_READ = 128 };

/* Until drafts were judged; and tokens that the average goes over. */
static const double FIRST_RIGHT = 0.7, MEMORY = 32;

/* ---- Opening ---- */

/* The drafts are tokens of the one, and the texts those of the other. */
static gale_status check_tokens(const gale_model *draft, const gale_model *model, gale_error *error) {
  const gale_tokenizer *a = model->tokenizer, *b = draft->tokenizer;
  int32_t n = a ? gale_tokenizer_size(a) : 0, n_draft = b ? gale_tokenizer_size(b) : 0;
  if (n == 0 || n != n_draft)
    return error_set(error, GALE_E_ARGUMENT, "the draft model has %d tokens and the model %d: the same are accepted",
                     n_draft, n);
  for (int32_t i = 0; i < n; i++) {
    const char *x, *y;
    size_t n_x, n_y;
    bool control_x, control_y;
    gale_tokenizer_token(a, i, &x, &n_x, &control_x);
    gale_tokenizer_token(b, i, &y, &n_y, &control_y);
    if (n_x != n_y || memcmp(x, y, n_x) != 0 || control_x != control_y)
      return error_set(error, GALE_E_ARGUMENT, "token %d of the draft model is \"%.*s\" and the model's is \"%.*s\"", i,
                       (int)(n_y < 64 ? n_y : 64), y, (int)(n_x < 64 ? n_x : 64), x);
  }
  if (draft->config.vocab_size < model_drawable(model, a))
    return error_set(error, GALE_E_ARGUMENT, "the draft model has %d rows of logits: at least %d are accepted",
                     draft->config.vocab_size, model_drawable(model, a));
  return GALE_OK;
}

gale_status draft_model_open(draft_model *d, const gale_model *draft, const gale_model *model,
                             const gale_session_options *like, int32_t most, gale_error *error) {
  gale_session_options o = *like;
  gale_status status = check_tokens(draft, model, error);
  if (status) return status;
  o.max_sequences = most;
  o.chunk = most > MOST_READ ? most : MOST_READ;
  o.window = GALE_WINDOW_NONE; /* drafts are taken back to any length */
  o.kv_bytes = 0;
  d->inputs = calloc((size_t)most, sizeof *d->inputs);
  d->of = calloc((size_t)most, sizeof *d->of);
  if (!d->inputs || !d->of) return error_memory(error, (size_t)most * sizeof *d->inputs);
  return gale_session_open(draft, &o, &d->session, error);
}

void draft_model_close(draft_model *d) {
  gale_session_close(&d->session);
  free(d->inputs);
  free(d->of);
}

/* ---- Drafting ---- */

draft_outlook draft_model_outlook(const draft_model *d, const answering *a, size_t most, size_t n) {
  if (!d->session) return (draft_outlook){0};
  return (draft_outlook){.right = a->draft_seen > 0 ? a->draft_right : FIRST_RIGHT,
                         .most = most < MOST_DRAFTED ? most : MOST_DRAFTED,
                         .round = step_times_expect(&d->times, n)};
}

void draft_model_leave(draft_model *d, answering *a) {
  if (a->draft_sequence >= 0) gale_sequence_close(d->session, a->draft_sequence, NULL);
  a->draft_sequence = -1;
  a->draft_length = a->draft_more = 0;
}

/* Has the answer's sequence hold what it has of the text, and nothing else. */
static bool follow(draft_model *d, answering *a) {
  if (a->draft_sequence >= 0)
    return !gale_sequence_truncate(d->session, a->draft_sequence, a->draft_length, NULL, NULL);
  return !gale_sequence_open(d->session, &a->draft_sequence, NULL);
}

static size_t add_input(draft_model *d, size_t n_inputs, size_t i, int32_t sequence, const int32_t *tokens, int32_t n,
                        bool last) {
  d->of[n_inputs] = i;
  d->inputs[n_inputs] = (gale_input){sequence, tokens, n, last ? GALE_LOGITS_LAST : GALE_LOGITS_NONE};
  return n_inputs + 1;
}

/* Lists what was not read of the texts, as far as that goes in a step. */
static size_t list_texts(draft_model *d, answering *const *answers, size_t n, const size_t *wanted) {
  size_t n_inputs = 0;
  int32_t room = d->session->options.chunk;
  for (size_t i = 0; i < n && room > 0; i++) {
    answering *a = answers[i];
    if (wanted[i] == 0 || answering_reserve(a, (int32_t)wanted[i], NULL) || !follow(d, a)) continue;
    int32_t left = a->length - a->draft_length, part = left < room ? left : room;
    n_inputs = add_input(d, n_inputs, i, a->draft_sequence, a->text + a->draft_length, part, part == left);
    room -= part;
  }
  return n_inputs;
}

/* Lists the last tokens of drafts that are to be longer. */
static size_t list_drafts(draft_model *d, answering *const *answers, size_t n, const size_t *wanted,
                          const size_t *fit) {
  size_t n_inputs = 0;
  for (size_t i = 0; i < n; i++) {
    answering *a = answers[i];
    if (fit[i] > 0 && fit[i] < wanted[i])
      n_inputs = add_input(d, n_inputs, i, a->draft_sequence, a->text + a->length + fit[i] - 1, 1, true);
  }
  return n_inputs;
}

/* Computes what is listed, and adds a token to each draft whose text is read. False if that failed: then no answer that
 * was listed is followed any more. */
static bool step(draft_model *d, answering *const *answers, size_t n_inputs, size_t *fit) {
  size_t n_tokens = 0;
  int64_t begin = time_now();
  bool done = !gale_step(d->session, d->inputs, n_inputs, NULL);
  for (size_t k = 0; k < n_inputs; k++) n_tokens += (size_t)d->inputs[k].n_tokens;
  if (done) step_times_note(&d->times, n_tokens, (double)(time_now() - begin) / 1e9);
  for (size_t k = 0; k < n_inputs; k++) {
    size_t i = d->of[k];
    answering *a = answers[i];
    if (!done) {
      draft_model_leave(d, a);
      fit[i] = 0;
      continue;
    }
    if (a->draft_length < a->length) a->draft_length += d->inputs[k].n_tokens;
    int32_t *token = a->text + a->length + fit[i];
    if (!d->inputs[k].logits) continue;
    if (generation_guess(a->generation, d->session, a->draft_sequence, fit[i], token)) {
      draft_model_leave(d, a);
      fit[i] = 0;
    } else {
      fit[i]++;
    }
  }
  return done;
}

void draft_model_run(draft_model *d, answering *const *answers, size_t n, const size_t *wanted, size_t *fit) {
  memset(fit, 0, n * sizeof *fit);
  size_t n_inputs = list_texts(d, answers, n, wanted);
  while (n_inputs > 0 && step(d, answers, n_inputs, fit)) n_inputs = list_drafts(d, answers, n, wanted, fit);
  for (size_t i = 0; i < n; i++) {
    if (fit[i] == 0) continue;
    answers[i]->draft_more = (int32_t)fit[i] - 1;
    generation_fit(answers[i]->generation, fit[i], answers[i]->text + answers[i]->length, &fit[i], NULL);
  }
}

static void learn(answering *a, double right) {
  if (a->draft_seen == 0) {
    a->draft_right = FIRST_RIGHT;
    a->draft_seen = 2;
  }
  if (a->draft_seen < MEMORY) a->draft_seen++;
  a->draft_right += (right - a->draft_right) / a->draft_seen;
}

void draft_model_judge(answering *a) {
  for (int32_t i = 0; i < a->n_right; i++) learn(a, 1);
  if (a->n_right < a->n_draft) learn(a, 0);
  a->draft_length += a->n_right < a->draft_more ? a->n_right : a->draft_more;
  a->draft_more = 0;
}
