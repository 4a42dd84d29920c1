#include "generator.h"

#include "console.h"
#include "open.h"

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
  code = open_session(o, g->model, 0, &g->session);
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
  gale_session_close(&g->session);
  gale_model_close(&g->model);
}

/* ---- One answer ---- */

typedef struct stream {
  generator *g;
  answer *a;
  size_t n_ids;    /* the prompt's and those sampled since */
  size_t capacity; /* of a->text */
  bool failed;     /* out of memory */
} stream;

static bool on_text(void *user, int32_t token, const char *text, size_t length) {
  stream *s = user;
  if (token >= 0 && s->n_ids < s->g->capacity) s->g->ids[s->n_ids++] = token;
  answer *a = s->a;
  if (length + 1 > s->capacity - a->length) {
    size_t capacity = 2 * (a->length + length) + 64;
    char *grown = realloc(a->text, capacity);
    s->failed = !grown;
    if (!grown) return false;
    a->text = grown;
    s->capacity = capacity;
  }
  if (length) memcpy(a->text + a->length, text, length);
  a->length += length;
  a->text[a->length] = 0;
  return out_write(text, length) && (length == 0 || out_flush()) && !signals_caught();
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
  const options *o = g->o;
  gale_sampler_options settings;
  gale_sampler_defaults(&settings);
  settings.temperature = o->temp;
  settings.top_k = o->top_k;
  settings.top_p = o->top_p;
  settings.min_p = o->min_p;
  settings.repeat_penalty = o->repeat_penalty;
  settings.seed = g->seed + g->answers;
  gale_model_info info;
  gale_model_get_info(g->model, &info);
  gale_status status = gale_sampler_open(&settings, info.vocab_size, sampler, error);
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
  *a = (answer){.text = calloc(1, 1), .finish = GALE_FINISH_LENGTH};
  if (!a->text) return fail_memory();
  stream s = {.g = g, .a = a, .capacity = 1};
  gale_error error = {0};
  gale_sampler *sampler = NULL;
  gale_status status = make_sampler(g, ids, n_ids, &sampler, &error);
  if (status == GALE_OK) status = read_prompt(g, ids, n_ids, a, &error);
  if (status == GALE_OK && g->o->predict != 0) status = sample(g, sampler, &s, &error);
  gale_sampler_close(&sampler);
  g->answers++;
  if (status == GALE_E_CANCELLED || signals_caught())
    a->finish = GALE_FINISH_CANCELLED;
  else if (status)
    return fail_with(&error);
  if (s.failed) return fail_memory();
  if (a->length && a->text[a->length - 1] != '\n') out_write("\n", 1);
  out_flush();
  return 0;
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
