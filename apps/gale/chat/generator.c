#include "gale/chat/generator.h"

#include "gale/chat/display.h"
#include "gale/cli/console.h"
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

int generator_open(generator *g, const options *o) {
  *g = (generator){.o = o, .seed = option_given(o, OPTION_SEED) ? o->seed : choose_seed()};
  int code = open_model(o, false, &g->model);
  if (code) return code;
  g->tokenizer = gale_model_tokenizer(g->model);
  if (!g->tokenizer) return fail("%s: the model's files hold no tokenizer, and text needs one", o->arguments[0]);
  gale_model_info info;
  gale_model_get_info(g->model, &info);
  code = sampling_read(&g->sampling, o, g->tokenizer, info.vocab_size);
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
  gale_model_close(&g->model);
}

/* ---- One answer ---- */

typedef struct stream {
  generator *g;
  answer *a;
  display shown;
  size_t n_ids; /* the prompt's and those sampled since */
  /* With stop texts a piece may only be shown as far as gale_generate() is sure of it: what it has given by now, less
   * what was shown. */
  size_t sure;
  text held; /* pieces of one kind that wait */
  gale_answer_piece held_piece;
  gale_error error;
  bool failed;
} stream;

/* Shows text and keeps it. */
static bool give(stream *s, const gale_answer_piece *piece) {
  answer *a = s->a;
  bool kept = true;
  if (piece->kind == GALE_ANSWER_CONTENT) kept = text_append(&a->content, piece->text, piece->length);
  if (piece->kind == GALE_ANSWER_THINKING) kept = text_append(&a->thinking, piece->text, piece->length);
  if (!kept) s->failed = true;
  if (a->parsed && gale_answer_calls(a->parsed, &a->calls, &a->n_calls, &s->error)) s->failed = true;
  return !s->failed && display_piece(&s->shown, piece, a->calls, a->n_calls);
}

/* Shows what waits, n bytes of it at most. */
static bool give_held(stream *s, size_t n) {
  gale_answer_piece piece = s->held_piece;
  piece.text = s->held.bytes;
  piece.length = n < s->held.length ? n : s->held.length;
  if (piece.length == 0) return true;
  bool ok = give(s, &piece);
  s->sure -= s->sure < piece.length ? s->sure : piece.length;
  s->held.length -= piece.length;
  memmove(s->held.bytes, s->held.bytes + piece.length, s->held.length);
  return ok;
}

static bool take_piece(stream *s, const gale_answer_piece *piece) {
  if (s->g->o->stop.length == 0) return give(s, piece);
  bool same = piece->kind == s->held_piece.kind && piece->call == s->held_piece.call;
  if (!same && piece->length && !give_held(s, s->held.length)) return false;
  if (piece->length) s->held_piece = *piece;
  if (piece->length && !text_append(&s->held, piece->text, piece->length)) s->failed = true;
  return !s->failed && give_held(s, s->sure);
}

static bool on_text(void *user, int32_t token, const char *bytes, size_t length) {
  stream *s = user;
  if (token >= 0 && s->n_ids < s->g->capacity) s->g->ids[s->n_ids++] = token;
  gale_answer_piece piece = {.kind = GALE_ANSWER_CONTENT, .text = bytes, .length = length};
  bool ok = true;
  s->sure += length;
  if (!s->a->parsed) {
    ok = give(s, &piece);
  } else if (token < 0) {
    ok = give_held(s, s->sure);
  } else if (gale_answer_push(s->a->parsed, token, &piece, &s->error)) {
    s->failed = true;
  } else {
    ok = take_piece(s, &piece);
  }
  return ok && !s->failed && !signals_caught();
}

/* The end of the answer, unless a stop text cut it off. */
static void finish_answer(stream *s) {
  answer *a = s->a;
  gale_answer_piece piece = {0};
  if (a->parsed && gale_answer_finish(a->parsed, &piece, &s->error)) s->failed = true;
  bool whole = a->finish != GALE_FINISH_STOP;
  if (a->parsed && whole && !s->failed) {
    give_held(s, s->held.length);
    give(s, &piece);
  }
  if (a->parsed && !s->failed && gale_answer_calls(a->parsed, &a->calls, &a->n_calls, &s->error)) s->failed = true;
  display_end(&s->shown, a->calls, a->n_calls);
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
  g->n_ids = length;
  return status;
}

static gale_status make_sampler(generator *g, const int32_t *ids, size_t n_ids, gale_sampler **sampler,
                                gale_error *error) {
  gale_sampler_options settings = g->sampling.settings;
  settings.seed = g->seed + g->answers;
  gale_status status = gale_sampler_open(&settings, g->sampling.n_tokens, sampler, error);
  for (size_t i = 0; status == GALE_OK && i < n_ids; i++) status = gale_sampler_accept(*sampler, ids[i], error);
  return status;
}

static gale_status sample(generator *g, gale_sampler *sampler, stream *s, gale_error *error) {
  gale_generate_options settings;
  gale_generate_defaults(&settings);
  settings.max_tokens = g->o->predict;
  settings.stop = g->o->stop.items;
  settings.n_stop = g->o->stop.length;
  settings.text = on_text;
  settings.user = s;
  s->n_ids = g->n_ids;
  gale_generate_result result = {0};
  double start = seconds_now();
  gale_status status = gale_generate(g->session, g->sequence, g->tokenizer, sampler, &settings, &result, error);
  s->a->answer_seconds = seconds_now() - start;
  /* The last id that was sampled is not in the sequence. */
  size_t length = (size_t)gale_sequence_length(g->session, g->sequence);
  g->n_ids = s->n_ids < length ? s->n_ids : length;
  s->a->finish = result.finish;
  s->a->answer_tokens = result.n_tokens;
  return status;
}

int generator_answer(generator *g, const int32_t *ids, size_t n_ids, answer *a) {
  *a = (answer){.finish = GALE_FINISH_LENGTH};
  stream s = {.g = g, .a = a};
  gale_error error = {0};
  gale_sampler *sampler = NULL;
  display_start(&s.shown);
  gale_status status = make_sampler(g, ids, n_ids, &sampler, &error);
  if (status == GALE_OK && !g->raw) status = gale_answer_open(g->tokenizer, g->o->template, &a->parsed, &error);
  if (status == GALE_OK) status = read_prompt(g, ids, n_ids, a, &error);
  if (status == GALE_OK && g->o->predict != 0) status = sample(g, sampler, &s, &error);
  gale_sampler_close(&sampler);
  g->answers++;
  bool stopped = status == GALE_E_CANCELLED || signals_caught();
  if (stopped) a->finish = GALE_FINISH_CANCELLED;
  finish_answer(&s);
  free(s.held.bytes);
  if (status && !stopped) return fail_with(&error);
  if (s.failed) return s.error.code ? fail_with(&s.error) : fail_memory();
  return 0;
}

void answer_free(answer *a) {
  free(a->content.bytes);
  free(a->thinking.bytes);
  gale_answer_close(&a->parsed);
  *a = (answer){0};
}

void answer_report(const generator *g, const answer *a) {
  size_t computed = a->prompt_tokens - a->reused_tokens;
  double prompt_rate = a->prompt_seconds > 0 ? (double)computed / a->prompt_seconds : 0;
  double answer_rate = a->answer_seconds > 0 ? a->answer_tokens / a->answer_seconds : 0;
  char reused[64] = "";
  if (a->reused_tokens) snprintf(reused, sizeof reused, " (%zu of them reused)", a->reused_tokens);
  fprintf(stderr, "prompt: %zu tokens%s, %.1f tokens/s; answer: %d tokens, %.1f tokens/s; seed %" PRIu64 "\n",
          a->prompt_tokens, reused, prompt_rate, a->answer_tokens, answer_rate, g->seed + g->answers - 1);
}
