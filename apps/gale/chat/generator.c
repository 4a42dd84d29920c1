#include "gale/chat/generator.h"

#include "gale/chat/display.h"
#include "gale/cli/console.h"
#include "gale/cli/constraining.h"
#include "gale/cli/opening.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static uint64_t choose_seed(void) {
  uint32_t seed; /* short enough to be typed again */
  if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) seed = (uint32_t)(seconds_now() * 1e6);
  return seed;
}

static int open_constraint_of(generator *g) {
  gale_error error = {0};
  if (constraints_given(g->o, true) == 0) return 0;
  if (gale_mask_table_open(g->tokenizer, &g->masks, &error)) return fail_with(&error);
  return open_constraint(g->o, g->masks, &g->constraint);
}

int generator_open(generator *g, const options *o) {
  *g = (generator){.o = o, .seed = option_given(o, OPTION_SEED) ? o->seed : choose_seed()};
  int code = open_model(o, false, &g->model);
  if (code) return code;
  g->tokenizer = gale_model_tokenizer(g->model);
  if (!g->tokenizer) return fail("%s: the model's files hold no tokenizer, and text needs one", o->arguments[0]);
  gale_model_info info;
  gale_model_get_info(g->model, &info);
  code = sampling_read(&g->sampling, o, g->tokenizer, info.n_drawable);
  if (!code) code = open_constraint_of(g);
  if (!code) code = open_session(o, g->model, 0, &g->session);
  if (code) return code;
  gale_error error = {0};
  if (gale_sequence_open(g->session, &g->sequence, &error)) return fail_with(&error);
  gale_session_options effective;
  gale_session_get_options(g->session, &effective);
  g->capacity = (size_t)effective.context;
  g->ids = malloc(g->capacity * sizeof *g->ids);
  return g->ids ? 0 : fail_memory();
}

void generator_close(generator *g) {
  free(g->ids);
  sampling_free(&g->sampling);
  gale_session_close(&g->session);
  gale_constraint_close(&g->constraint);
  gale_mask_table_close(&g->masks);
  gale_model_close(&g->model);
}

/* ---- One answer ---- */

/* Shows the pieces that are sure, and keeps them. Returns 0, or an exit status after saying what is wrong. */
static int show_pieces(answer *a, display *d) {
  for (const gale_piece *p; (p = gale_generation_next(a->generation));) {
    bool kept = true;
    if (p->kind == GALE_PIECE_CONTENT) kept = text_append(&a->content, p->text, p->length);
    if (p->kind == GALE_PIECE_THINKING) kept = text_append(&a->thinking, p->text, p->length);
    if (!kept) return fail_memory();
    if (!display_piece(d, p)) return 0; /* what lost standard output says so in the end */
  }
  return 0;
}

/* Keeps what the sequence and the prompt have in common, but not the whole prompt: its last token has
 * to be computed for the logits that the answer starts from. */
static gale_status reuse(generator *g, const int32_t *ids, size_t n_ids, gale_error *error) {
  size_t common = 0;
  while (common < g->n_ids && common + 1 < n_ids && g->ids[common] == ids[common]) common++;
  if (common == (size_t)gale_sequence_length(g->session, g->sequence)) return GALE_OK;
  int32_t kept = 0;
  gale_status status = gale_sequence_truncate(g->session, g->sequence, (int32_t)common, &kept, error);
  if (status == GALE_OK) g->n_ids = (size_t)kept;
  return status;
}

static gale_status read_prompt(generator *g, const int32_t *ids, size_t n_ids, answer *a, gale_error *error) {
  gale_status status = reuse(g, ids, n_ids, error);
  if (status) return status;
  a->prompt_tokens = n_ids;
  a->reused_tokens = g->n_ids;
  progress p;
  progress_start(&p, g->o);
  double start = seconds_now();
  status = gale_prefill(g->session, g->sequence, ids + g->n_ids, n_ids - g->n_ids, progress_step, &p, error);
  a->prompt_seconds = seconds_now() - start;
  progress_end(&p);
  /* A prefill that was stopped leaves what it did. */
  size_t length = (size_t)gale_sequence_length(g->session, g->sequence);
  for (size_t i = g->n_ids; i < length; i++) g->ids[i] = ids[i];
  a->computed_tokens = length - g->n_ids;
  g->n_ids = length;
  return status;
}

static gale_status begin(generator *g, const int32_t *ids, size_t n_ids, answer *a, gale_error *error) {
  const options *o = g->o;
  gale_sampler_options how = g->sampling.settings;
  how.seed = g->seed + g->answers;
  gale_generation_options settings;
  gale_generation_defaults(&settings);
  settings.sampling = &how;
  settings.prompt = ids;
  settings.n_prompt = n_ids;
  if (!g->raw) settings.form = o->template ? o->template : gale_chat_template(g->tokenizer);
  settings.stop = o->stop.items;
  settings.n_stop = o->stop.length;
  settings.max_tokens = o->predict;
  settings.constraint = g->constraint;
  return gale_generation_open(g->model, g->tokenizer, &settings, &a->generation, error);
}

/* One token: what it adds to the answer is shown, and unless it is the last it is computed. */
static gale_status next_token(generator *g, answer *a, display *d, int *code, gale_error *error) {
  int32_t token;
  gale_generation_result r;
  gale_status status = gale_generation_take(a->generation, g->session, g->sequence, 0, &token, error);
  if (status) return status;
  *code = show_pieces(a, d);
  gale_generation_get_result(a->generation, &r);
  if (*code || r.finish) return GALE_OK;
  if (signals_caught() || !out_flush()) return gale_generation_end(a->generation, GALE_FINISH_CANCELLED, error);
  gale_input in = {g->sequence, &token, 1, GALE_LOGITS_LAST};
  status = gale_step(g->session, &in, 1, error);
  if (status == GALE_E_CONTEXT) return gale_generation_end(a->generation, GALE_FINISH_CONTEXT, error);
  if (!status) g->ids[g->n_ids++] = token;
  return status;
}

static gale_status generate(generator *g, answer *a, display *d, int *code, gale_error *error) {
  gale_generation_result r;
  gale_status status = GALE_OK;
  double start = seconds_now();
  for (gale_generation_get_result(a->generation, &r); !r.finish && !status && !*code;) {
    status = next_token(g, a, d, code, error);
    gale_generation_get_result(a->generation, &r);
  }
  a->answer_seconds = seconds_now() - start;
  a->answer_tokens = r.n_tokens;
  a->finish = r.finish;
  return status;
}

int generator_answer(generator *g, const int32_t *ids, size_t n_ids, answer *a) {
  *a = (answer){.finish = GALE_FINISH_LENGTH};
  gale_error error = {0};
  display shown;
  int code = 0;
  display_start(&shown);
  gale_status status = begin(g, ids, n_ids, a, &error);
  if (status == GALE_OK) status = read_prompt(g, ids, n_ids, a, &error);
  if (status == GALE_OK) status = generate(g, a, &shown, &code, &error);
  g->answers++;
  if (status == GALE_E_CANCELLED || signals_caught()) {
    a->finish = GALE_FINISH_CANCELLED;
    status = GALE_OK;
  }
  if (!status && !code) code = show_pieces(a, &shown);
  if (!status) status = gale_generation_calls(a->generation, &a->calls, &a->n_calls, &error);
  display_end(&shown);
  return status ? fail_with(&error) : code;
}

void answer_free(answer *a) {
  free(a->content.bytes);
  free(a->thinking.bytes);
  gale_generation_close(&a->generation);
  *a = (answer){0};
}

void answer_report(const generator *g, const answer *a) {
  double prompt_rate = a->prompt_seconds > 0 ? (double)a->computed_tokens / a->prompt_seconds : 0;
  double answer_rate = a->answer_seconds > 0 ? a->answer_tokens / a->answer_seconds : 0;
  char reused[64] = "", stopped[64] = "";
  if (a->reused_tokens) snprintf(reused, sizeof reused, " (%zu of them reused)", a->reused_tokens);
  if (a->reused_tokens + a->computed_tokens < a->prompt_tokens)
    snprintf(stopped, sizeof stopped, " (stopped after %zu)", a->reused_tokens + a->computed_tokens);
  fprintf(stderr, "prompt: %zu tokens%s%s, %.1f tokens/s; answer: %d tokens, %.1f tokens/s; seed %" PRIu64 "\n",
          a->prompt_tokens, reused, stopped, prompt_rate, a->answer_tokens, answer_rate, g->seed + g->answers - 1);
}
