#include "gale/bench/traffic_prompts.h"

#include "gale/cli/console.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sizes that are scaled down stay at least so large, where they were. */
enum { LEAST_SIZE = 4 };

/* ---- Random numbers ---- */

/* SplitMix64: evenly distributed 64 bits. */
static uint64_t draw(uint64_t *random) {
  uint64_t z = *random += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

double traffic_draw_share(uint64_t *random) {
  return (double)((draw(random) >> 11) + 1) * 0x1p-53;
}

/* ---- Prompts ---- */

static int32_t scaled(const options *o, int32_t size) {
  int32_t least = size < LEAST_SIZE ? size : LEAST_SIZE, now = (int32_t)lround(size * o->scale);
  return now < least ? least : now;
}

traffic_mix traffic_scaled(const options *o, const traffic_mix *mix) {
  traffic_mix m = *mix;
  int32_t *sizes[] = {&m.least_prompt, &m.most_prompt, &m.answer, &m.prefix, &m.late_prompt, &m.settled};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) *sizes[i] = scaled(o, *sizes[i]);
  return m;
}

/* Random tokens after `alike` ones that are those of another prompt. */
static int make_random(traffic_prompt *p, int32_t n, const traffic_prompt *other, int32_t alike, int32_t n_drawable,
                       uint64_t *random) {
  p->n = n;
  p->tokens = malloc((size_t)n * sizeof *p->tokens);
  if (!p->tokens) return fail_memory();
  if (alike > 0) memcpy(p->tokens, other->tokens, (size_t)alike * sizeof *p->tokens);
  for (int32_t i = alike; i < n; i++) p->tokens[i] = (int32_t)(draw(random) % (uint64_t)n_drawable);
  return 0;
}

static int make_text(const traffic_setting *s, const char *text, traffic_prompt *p) {
  int32_t *ids = NULL;
  size_t n = 0;
  gale_error error = {0};
  const gale_tokenizer *tokenizer = gale_model_tokenizer(s->model);
  if (gale_tokenize(tokenizer, text, strlen(text), gale_tokenizer_adds_bos(tokenizer), &ids, &n, &error))
    return fail_with(&error);
  p->tokens = malloc(n * sizeof *ids);
  if (p->tokens) memcpy(p->tokens, ids, n * sizeof *ids);
  gale_free(ids);
  if (!p->tokens) return fail_memory();
  p->n = scaled(s->o, (int32_t)n);
  if (p->n > (int32_t)n) p->n = (int32_t)n;
  return 0;
}

int traffic_make_prompts(const traffic_setting *s, const traffic_mix *m, traffic_prompt **prompts, int32_t *n) {
  gale_model_info info;
  gale_model_get_info(s->model, &info);
  *n = m->requests + (m->late_prompt > 0);
  traffic_prompt *all = *prompts = calloc((size_t)*n, sizeof *all);
  if (!all) return fail_memory();
  uint64_t random = s->o->seed, lengths = (uint64_t)(m->most_prompt - m->least_prompt) + 1;
  int code = 0;
  for (int32_t i = 0; !code && i < *n; i++) {
    if (m->text) {
      code = make_text(s, m->text, &all[i]);
      continue;
    }
    bool late = i == m->requests;
    int32_t length = late ? m->late_prompt : m->prefix + m->least_prompt + (int32_t)(draw(&random) % lengths);
    int32_t alike = i == 0 || late ? 0 : m->same ? length : m->prefix;
    code = make_random(&all[i], length, all, alike, info.n_drawable, &random);
  }
  return code;
}

void traffic_free_prompts(traffic_prompt *prompts, int32_t n) {
  for (int32_t i = 0; prompts && i < n; i++) free(prompts[i].tokens);
  free(prompts);
}
