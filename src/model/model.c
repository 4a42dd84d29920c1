#include "model/model.h"

#include "base/cpu.h"
#include "model/convert.h"
#include "model/load.h"
#include "model/vocabulary.h"

#include <stdlib.h>
#include <string.h>

void gale_model_defaults(gale_model_options *options) {
  *options = (gale_model_options){.cache_least = (uint64_t)64 << 20};
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

/* Rows beyond the vocabulary are padding; a vocabulary beyond the rows has nothing to look up. */
static gale_status check_vocabulary(const gale_model *m, gale_error *error) {
  if (!m->tokenizer || gale_tokenizer_size(m->tokenizer) <= m->config.vocab_size) return GALE_OK;
  return error_set(error, GALE_E_FORMAT, "%s: the tokenizer has %d tokens, the embedding %d rows", m->checkpoint->path,
                   gale_tokenizer_size(m->tokenizer), m->config.vocab_size);
}

/* Puts a checkpoint of another storage type between the files and the weights. */
static gale_status quantize(gale_model *m, const char *type, gale_error *error) {
  const recipe *r;
  gale_status status = recipe_find(type, &r, error);
  if (status) return status;
  model_config *config = arena_alloc(&m->memory, sizeof *config);
  model_weights *weights = arena_alloc(&m->memory, sizeof *weights);
  if (!config || !weights) return error_memory(error, sizeof *config + sizeof *weights);
  *config = m->config;
  *weights = m->weights;
  m->source = (convert_source){m->checkpoint, config, weights};
  const char *note;
  status = convert_open(&m->source, r, NULL, &m->quantized, &m->config, &note, error);
  if (!status) status = weights_find(m->quantized, &m->config, &m->memory, &m->weights, error);
  m->weights.stored_bytes = weights->stored_bytes;
  m->weights.vision = weights->vision;
  if (!m->config.note) m->config.note = note;
  return status;
}

static gale_status open_parts(gale_model *m, const char *path, const gale_model_options *options, gale_error *error) {
  gale_status status = be_open(options->cpu, &m->device, error);
  if (!status) status = checkpoint_open(path, &m->checkpoint, error);
  for (size_t i = 0; i < options->n_overrides && !status; i++)
    status = checkpoint_override(m->checkpoint, options->overrides[i], error);
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
                                .converted = m->quantized ? &m->source : NULL};
  status = weights_load(&request, &m->weights, &m->load, error);
  m->loaded = !status;
  return status;
}

gale_status gale_model_open(const char *path, const gale_model_options *options, gale_model **model,
                            gale_error *error) {
  gale_model_options defaults;
  gale_model_defaults(&defaults);
  if (!options) options = &defaults;
  if (options->threads < 0 || options->threads > 1024)
    return error_set(error, GALE_E_ARGUMENT, "threads is %d: 0 to 1024 is accepted", options->threads);
  gale_model *m = calloc(1, sizeof *m);
  if (!m) return error_memory(error, sizeof *m);
  gale_status status = open_parts(m, path, options, error);
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

const gale_tokenizer *gale_model_tokenizer(const gale_model *model) {
  return model->tokenizer;
}

void gale_model_get_info(const gale_model *model, gale_model_info *info) {
  const model_config *c = &model->config;
  *info = (gale_model_info){
      .name = c->name,
      .family = c->family->name,
      .format = model->checkpoint->format,
      .types = model->types,
      .cpu = model->device->ops->name(model->device),
      .note = c->note                 ? c->note
              : model->weights.vision ? "the vision part of these files is not used"
                                      : NULL,
      .dim = c->dim,
      .n_layers = c->n_layers,
      .head_dim = c->head_dim,
      .hidden_dim = c->hidden_dim,
      .n_heads = c->n_heads,
      .n_kv_heads = c->n_kv_heads,
      .vocab_size = c->vocab_size,
      .context = c->context,
      .norm_eps = (double)c->norm_eps,
      .rope_theta = c->rope[0].theta,
      .n_experts = c->n_experts,
      .n_experts_per_tok = c->n_experts_per_tok,
      .tied = model->weights.tied,
      .n_parameters = model->weights.n_parameters,
      .weight_bytes = model->weights.stored_bytes,
      .packed_bytes = model->weights.memory_bytes,
      .kept = model->load.kept,
      .from_cache = model->load.from_cache,
      .cache_note = model->load.note.message[0] ? model->load.note.message : NULL,
  };
  for (int32_t l = 0; l < c->n_layers; l++) {
    int32_t window = c->layers[l].window;
    info->windowed_layers += window > 0;
    if (window > info->sliding_window) info->sliding_window = window;
  }
}

size_t gale_model_tensors(const gale_model *model) {
  return model->checkpoint->n_tensors;
}

bool gale_model_tensor(const gale_model *model, size_t index, gale_tensor_info *info) {
  if (index >= model->checkpoint->n_tensors) return false;
  const tensor *t = &model->checkpoint->tensors[index];
  *info = (gale_tensor_info){.name = t->name, .type = quant_get(t->type)->name, .n_dims = t->n_dims, .bytes = t->bytes};
  memcpy(info->shape, t->shape, sizeof info->shape);
  return true;
}

uint64_t gale_kv_bytes(const gale_model *model, gale_kv_type type, int64_t n_positions, int32_t window, bool gqa) {
  const model_config *c = &model->config;
  uint64_t position = kv_position_bytes(type, gqa ? c->n_kv_heads : c->n_heads, c->head_dim), bytes = 0;
  for (int32_t l = 0; l < c->n_layers; l++) {
    int64_t w = window == GALE_WINDOW_NATIVE ? c->layers[l].window : window;
    bytes += position * (uint64_t)(w > 0 && w < n_positions ? w : n_positions);
  }
  return bytes;
}
