/* Opening a model: files, configuration, tokenizer, weights. */
#include "model/model.h"

#include "base/cpu.h"
#include "base/sized.h"
#include "load/load.h"
#include "load/requantize.h"
#include "load/vocabulary.h"

#include <stdlib.h>
#include <string.h>

void gale_model_defaults_sized(gale_model_options *options, size_t size) {
  const gale_model_options defaults = {.cache_least = (uint64_t)64 << 20};
  sized_write(options, size, &defaults, sizeof defaults);
}

/* "Q4_0, F32": the types of the tensors, those with the most bytes first. */
static const char *list_types(const checkpoint *c, arena *memory) {
  uint64_t bytes[QUANT_TYPES] = {0};
  for (size_t i = 0; i < c->n_tensors; i++) bytes[c->tensors[i].type] += c->tensors[i].bytes;
  const char *list = "";
  for (;;) {
    int most = 0;
    for (int t = 1; t < QUANT_TYPES; t++)
      if (bytes[t] > bytes[most]) most = t;
    if (bytes[most] == 0) return list;
    bytes[most] = 0;
    list = arena_printf(memory, "%s%s%s", list, *list ? ", " : "", quant_get((quant_type)most)->name);
    if (!list) return NULL;
  }
}

/* Rows beyond the vocabulary are padding; a token of text beyond the rows has nothing to look up. */
static gale_status check_vocabulary(const gale_model *m, gale_error *error) {
  if (!m->tokenizer || tokenizer_rows(m->tokenizer) <= m->config.vocab_size) return GALE_OK;
  return error_set(error, GALE_E_FORMAT, "%s: the tokenizer has %d tokens, the embedding %d rows", m->checkpoint->path,
                   gale_tokenizer_size(m->tokenizer), m->config.vocab_size);
}

/* Puts a checkpoint of another storage type between the files and the weights. */
static gale_status quantize(gale_model *m, const char *type, gale_error *error) {
  const quant_mix *r;
  gale_status status = quant_choice_find(type, &r, error);
  if (status) return status;
  model_config *config = arena_alloc(&m->memory, sizeof *config);
  model_weights *weights = arena_alloc(&m->memory, sizeof *weights);
  if (!config || !weights) return error_memory(error, sizeof *config + sizeof *weights);
  *config = m->config;
  *weights = m->weights;
  m->source = (model_source){m->checkpoint, config, weights};
  const char *note;
  status = requantize_open(&m->source, r, NULL, &m->quantized, &m->config, &note, error);
  if (!status) status = weights_find(m->quantized, &m->config, &m->memory, &m->weights, error);
  m->weights.stored_bytes = weights->stored_bytes;
  m->weights.modalities = weights->modalities;
  if (!m->config.note) m->config.note = note;
  return status;
}

static gale_status open_parts(gale_model *m, const char *path, const gale_model_options *options, gale_error *error) {
  gale_status status = be_open(options->cpu, &m->device, error);
  if (!status) status = checkpoint_open(path, &m->checkpoint, error);
  if (!status) status = checkpoint_override_all(m->checkpoint, options->overrides, options->n_overrides, error);
  if (!status) status = model_configure(m->checkpoint, &m->memory, &m->config, error);
  if (!status) status = weights_find(m->checkpoint, &m->config, &m->memory, &m->weights, error);
  if (!status) status = vocabulary_load(m->checkpoint, &m->tokenizer, error);
  if (!status) status = check_vocabulary(m, error);
  if (status) return status;
  if (options->quantize && (status = quantize(m, options->quantize, error))) return status;
  const checkpoint *stored = m->quantized ? m->quantized : m->checkpoint;
  if (!(m->types = list_types(stored, &m->memory))) return error_memory(error, 64);
  if (options->metadata_only) return GALE_OK;
  const load_request request = {.checkpoint = stored,
                                .config = &m->config,
                                .device = m->device,
                                .threads = options->threads ? options->threads : cpu_count(),
                                .progress = options->progress,
                                .user = options->progress_user,
                                .options = options,
                                .model = m,
                                .converted = m->quantized ? &m->source : NULL};
  status = weights_load(&request, &m->weights, &m->load, error);
  m->loaded = !status;
  return status;
}

gale_status gale_model_open(const char *path, const gale_model_options *options, gale_model **model,
                            gale_error *error) {
  gale_model_options o;
  gale_model_defaults(&o);
  gale_status status = options ? sized_read(&o, sizeof o, options, "gale_model_options", error) : GALE_OK;
  /* The session's own defaults belong to a layer above; those of fields that a caller lacks are all zero. */
  gale_session_options session = {0};
  if (!status && o.session) {
    status = sized_read(&session, sizeof session, o.session, "gale_session_options", error);
    o.session = &session;
  }
  if (status) return status;
  if (o.threads < 0 || o.threads > 1024)
    return error_set(error, GALE_E_ARGUMENT, "threads is %d: 0 to 1024 is accepted", o.threads);
  gale_model *m = calloc(1, sizeof *m);
  if (!m) return error_memory(error, sizeof *m);
  status = open_parts(m, path, &o, error);
  if (status)
    gale_model_close(&m);
  else
    *model = m;
  return status;
}

void gale_model_close(gale_model **model) {
  gale_model *m = *model;
  if (!m) return;
  if (m->device) {
    weights_release(m->device, &m->weights);
    m->device->ops->close(m->device);
  }
  gale_tokenizer_close(&m->tokenizer);
  checkpoint_close(&m->quantized);
  checkpoint_close(&m->checkpoint);
  arena_free(&m->memory);
  free(m);
  *model = NULL;
}
