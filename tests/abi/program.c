/* A program as a caller of an older gale has it: compiled with the headers that are kept in tests/abi/first and run
 * with the library of today. Behind each struct that the library fills in stands memory that it must leave alone, since
 * its own struct may be longer.
 *
 * What these headers declare otherwise than gale.h does now is not called: gale_logits(), gale_logits_rows(),
 * gale_generate() and the functions of samplers and answers. Until version 1 such changes are allowed (gale.h), and a C
 * program cannot declare both. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gale_tools.h"

enum { GUARD = 512 };

#define GUARDED(type)                                                                                                  \
  struct {                                                                                                             \
    type s;                                                                                                            \
    unsigned char guard[GUARD];                                                                                        \
  }

static void fail(const char *what) {
  fprintf(stderr, "abi: %s\n", what);
  exit(1);
}

static void untouched(const unsigned char *guard, const char *what) {
  for (int i = 0; i < GUARD; i++)
    if (guard[i] != 0xA5) fail(what);
}

#define FILL(g) memset(&(g), 0xA5, sizeof(g))

static void check(gale_status status, const gale_error *error) {
  if (status) fail(error->message);
}

int main(void) {
  gale_error error = {0};
  gale_model *model = NULL;
  gale_session *session = NULL;
  GUARDED(gale_model_options) m;
  FILL(m);
  gale_model_defaults(&m.s);
  untouched(m.guard, "gale_model_defaults() wrote behind the struct");
  m.s.threads = 1;
  check(gale_model_open("shape:smollm2-135m:layers=1@q4_0", &m.s, &model, &error), &error);

  GUARDED(gale_model_info) info;
  FILL(info);
  gale_model_get_info(model, &info.s);
  untouched(info.guard, "gale_model_get_info() wrote behind the struct");
  if (info.s.size != sizeof info.s || info.s.n_layers != 1 || info.s.n_heads != 9)
    fail("gale_model_info is not as it was");

  GUARDED(gale_tensor_info) t;
  FILL(t);
  if (!gale_model_tensor(model, 0, &t.s) || t.s.n_dims < 1) fail("gale_tensor_info is not as it was");
  untouched(t.guard, "gale_model_tensor() wrote behind the struct");

  GUARDED(gale_session_options) o;
  FILL(o);
  gale_session_defaults(&o.s);
  untouched(o.guard, "gale_session_defaults() wrote behind the struct");
  o.s.context = 64;
  o.s.threads = 1;
  check(gale_session_open(model, &o.s, &session, &error), &error);
  FILL(o);
  gale_session_get_options(session, &o.s);
  untouched(o.guard, "gale_session_get_options() wrote behind the struct");
  if (o.s.context != 64 || o.s.chunk != 64) fail("gale_session_options is not as it was");

  int32_t sequence = -1;
  const int32_t tokens[] = {1, 2, 3};
  const gale_input input = {.sequence = 0, .tokens = tokens, .n_tokens = 3, .logits = GALE_LOGITS_NONE};
  check(gale_sequence_open(session, &sequence, &error), &error);
  check(gale_step(session, &input, 1, &error), &error);
  if (gale_sequence_length(session, sequence) != 3) fail("gale_step() is not as it was");

  GUARDED(gale_session_stats) stats;
  FILL(stats);
  gale_session_get_stats(session, &stats.s);
  untouched(stats.guard, "gale_session_get_stats() wrote behind the struct");
  if (stats.s.tokens != 3 || stats.s.steps != 1) fail("gale_session_stats is not as it was");

  GUARDED(gale_cost) cost;
  FILL(cost);
  gale_step_cost(session, 1, 0, 1, &cost.s);
  untouched(cost.guard, "gale_step_cost() wrote behind the struct");
  if (cost.s.weight_bytes <= 0) fail("gale_cost is not as it was");

  GUARDED(gale_chat_options) chat;
  GUARDED(gale_sampler_options) sampler;
  GUARDED(gale_probe_options) probe;
  FILL(chat);
  FILL(sampler);
  FILL(probe);
  gale_chat_defaults(&chat.s);
  gale_sampler_defaults(&sampler.s);
  gale_probe_defaults(&probe.s);
  untouched(chat.guard, "gale_chat_defaults() wrote behind the struct");
  untouched(sampler.guard, "gale_sampler_defaults() wrote behind the struct");
  untouched(probe.guard, "gale_probe_defaults() wrote behind the struct");
  if (sampler.s.top_k != 40) fail("defaults are not as they were");

  gale_session_close(&session);
  gale_model_close(&model);
  printf("as before, with gale %s (compiled for %d.%d.%d)\n", gale_version(), GALE_VERSION_MAJOR, GALE_VERSION_MINOR,
         GALE_VERSION_PATCH);
  return 0;
}
