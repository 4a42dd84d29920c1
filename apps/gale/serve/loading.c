#include "gale/serve/loading.h"

#include "gale/cli/console.h"
#include "gale/cli/opening.h"

#include <string.h>
#include <time.h>

enum {
  MAX_LOOKUP = 32, /* tokens that are guessed ahead at most; the engine tries fewer where that is slower */
};

static int open_engine(const options *o, const loaded *l, gale_engine **engine) {
  gale_session_options session;
  open_settings(o, &session);
  session.max_sequences = o->parallel;
  session.kv_bytes = o->kv_memory;
  gale_engine_options settings;
  gale_engine_defaults(&settings);
  settings.session = &session;
  settings.queue_requests = o->queue;
  settings.queue_tokens = o->queue_tokens;
  settings.draft = l->draft;
  settings.speculate = strcmp(o->lookup, "on") == 0 ? MAX_LOOKUP : 0;
  settings.cache_dir = o->no_prefix_cache ? NULL : o->cache_dir;
  settings.cache_limit = o->cache_limit;
  if (o->no_prefix_cache) settings.kept_texts = 0;
  gale_error error = {0};
  return gale_engine_open(l->model, &settings, engine, &error) ? fail_with(&error) : 0;
}

/* The model that drafts, as its files have it. */
static int open_draft(const options *o, gale_model **draft) {
  if (!o->draft) return 0;
  options own = *o;
  own.arguments[0] = o->draft;
  own.quant = NULL;
  own.overrides.length = 0;
  return open_model(&own, false, draft);
}

int loaded_open(const options *o, loaded *l) {
  gale_error error = {0};
  int code = open_model(o, false, &l->model);
  if (!code) code = open_draft(o, &l->draft);
  if (!code) code = open_engine(o, l, &l->engine);
  if (!code && answering_open(gale_model_tokenizer(l->model), &l->answering, &error)) code = fail_with(&error);
  return code;
}

void loaded_close(loaded *l) {
  answering_close(&l->answering);
  gale_engine_close(&l->engine);
  gale_model_close(&l->draft);
  gale_model_close(&l->model);
}

void loaded_serve(const loaded *l, serving *s) {
  const options *o = s->options;
  s->tokenizer = gale_model_tokenizer(l->model);
  gale_model_get_info(l->model, &s->info);
  s->context = o->context ? o->context : s->info.context;
  s->template_name = o->template ? o->template : s->tokenizer ? gale_chat_template(s->tokenizer) : NULL;
  s->pooling = o->pooling && strcmp(o->pooling, "last") == 0 ? GALE_POOLING_LAST : GALE_POOLING_MEAN;
  s->created = (int64_t)time(NULL);
  s->engine = l->engine;
  s->answering = l->answering;
  s->model = l->model;
}
