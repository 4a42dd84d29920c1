#include "gale/cli/opening.h"

#include "gale/cli/console.h"
#include "gale/cli/models.h"
#include "gale/cli/units.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Reads a size from the environment; *bytes stays where there is none. Returns 0 or an exit status. */
static int size_of_environment(const char *name, uint64_t *bytes) {
  const char *value = getenv(name);
  if (!value || !*value || parse_bytes(value, bytes)) return 0;
  return fail("%s is '%s': a size such as 500M or 20G is accepted", name, value);
}

/* folder is NULL where no packed weights are to be kept; the caller frees it. */
static int cache_settings(const options *o, gale_model_options *settings, char **folder) {
  *folder = NULL;
  if (o->no_cache) return 0;
  int code = size_of_environment("GALE_CACHE_LIMIT", &settings->cache_limit);
  if (!code) code = size_of_environment("GALE_CACHE_LEAST", &settings->cache_least);
  if (!code) settings->cache = *folder = models_packed_folder();
  return code;
}

/* The most memory that the process has held so far. */
static uint64_t peak_memory(void) {
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

/* Where memory is short, also names the options that take less. */
static int fail_to_open(const gale_error *error) {
  if (error->code != GALE_E_MEMORY || signals_caught()) return fail_with(error);
  return fail("%s (--quant TYPE, --context N and --kv q8 take less; --no-memory-check loads all the same)",
              error->message);
}

int open_model(const options *o, bool metadata_only, gale_model **model) {
  store_model found;
  int code = models_resolve(o, o->arguments[0], &found);
  if (code) return code;
  progress p;
  progress_start(&p, o);
  gale_model_options settings;
  gale_model_defaults(&settings);
  settings.cpu = o->cpu;
  settings.threads = o->threads;
  settings.quantize = o->quant;
  settings.overrides = o->overrides.items;
  settings.n_overrides = o->overrides.length;
  settings.metadata_only = metadata_only;
  settings.progress = progress_step;
  settings.progress_user = &p;
  gale_session_options session;
  open_settings(o, &session);
  settings.session = metadata_only ? NULL : &session;
  settings.no_memory_check = o->no_memory_check;
  char *folder = NULL;
  code = cache_settings(o, &settings, &folder);
  gale_error error = {0};
  double start = seconds_now();
  gale_status status = code ? GALE_E_ARGUMENT : gale_model_open(found.path, &settings, model, &error);
  progress_end(&p);
  store_model_free(&found);
  free(folder);
  if (code) return code;
  if (status) return fail_to_open(&error);
  gale_model_info info;
  gale_model_get_info(*model, &info);
  if (info.note) note(o, "gale: %s: %s", info.name, info.note);
  if (o->verbose)
    note(o, "model: %s, %s, %s, %s, window %d, opened in %.2f s, peak memory %s", info.name, info.format, info.types,
         info.cpu, info.sliding_window, seconds_now() - start, about_bytes(peak_memory()).text);
  if (o->verbose && info.cache_note) note(o, "cache: %s", info.cache_note);
  return 0;
}

int open_tokenizer(const options *o, gale_tokenizer **tokenizer) {
  store_model found;
  int code = models_resolve(o, o->arguments[0], &found);
  if (code) return code;
  gale_error error = {0};
  gale_tokenizer_options settings;
  gale_tokenizer_defaults(&settings);
  settings.overrides = o->overrides.items;
  settings.n_overrides = o->overrides.length;
  gale_status status = gale_tokenizer_open_with(found.path, &settings, tokenizer, &error);
  store_model_free(&found);
  if (status) return fail_with(&error);
  const char *warning = gale_tokenizer_note(*tokenizer);
  if (warning) note(o, "gale: %s: %s", o->arguments[0], warning);
  if (o->verbose) note(o, "tokenizer: %s, %d tokens", gale_tokenizer_kind(*tokenizer), gale_tokenizer_size(*tokenizer));
  return 0;
}

static gale_kv_type kv_type(const char *name) {
  if (name && strcmp(name, "f32") == 0) return GALE_KV_F32;
  if (name && strcmp(name, "q8") == 0) return GALE_KV_Q8;
  return GALE_KV_F16;
}

void open_settings(const options *o, gale_session_options *settings) {
  gale_session_defaults(settings);
  settings->threads = o->threads;
  settings->context = o->context;
  settings->window = o->window;
  settings->chunk = o->chunk;
  settings->max_sequences = 1;
  settings->kv_type = kv_type(o->kv);
  settings->no_memory_check = o->no_memory_check;
}

int open_session(const options *o, const gale_model *model, size_t least, gale_session **session) {
  gale_session_options settings;
  open_settings(o, &settings);
  gale_model_info info;
  gale_model_get_info(model, &info);
  if (!option_given(o, OPTION_CONTEXT) && least > (size_t)info.context && least <= INT32_MAX) {
    note(o, "gale: the model was made for %d positions; the context is raised to %zu", info.context, least);
    settings.context = (int32_t)least;
  }
  if (o->context > info.context)
    note(o, "gale: the model was made for %d positions; with -c %d its answers may get worse beyond them", info.context,
         o->context);
  gale_error error = {0};
  return gale_session_open(model, &settings, session, &error) ? fail_to_open(&error) : 0;
}
