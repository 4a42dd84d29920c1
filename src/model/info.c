/* What gale.h tells of a model. */
#include "base/sized.h"
#include "model/model.h"
#include "model/tensors.h"

#include <string.h>

const gale_tokenizer *gale_model_tokenizer(const gale_model *model) {
  return model->tokenizer;
}

static const char *unused_modalities(int modalities) {
  const bool vision = modalities & MODALITY_VISION, audio = modalities & MODALITY_AUDIO;
  return vision && audio ? "the vision and audio parts of these files are not used"
         : vision        ? "the vision part of these files is not used"
         : audio         ? "the audio part of these files is not used"
         : modalities    ? "the multimodal part of these files is not used"
                         : NULL;
}

int32_t model_drawable(const gale_model *m, const gale_tokenizer *tokenizer) {
  int32_t tokens = tokenizer ? gale_tokenizer_size(tokenizer) : INT32_MAX;
  return tokens < m->config.vocab_size ? tokens : m->config.vocab_size;
}

void gale_model_get_info_sized(const gale_model *model, gale_model_info *info, size_t size) {
  const model_config *c = &model->config;
  const char *tokenizer_note = model->tokenizer ? gale_tokenizer_note(model->tokenizer) : NULL;
  gale_model_info all = {
      .name = c->name,
      .family = c->family->name,
      .format = model->checkpoint->format,
      .types = model->types,
      .cpu = model->device->ops->name(model->device),
      .note = c->note          ? c->note
              : tokenizer_note ? tokenizer_note
                               : unused_modalities(model->weights.modalities),
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
      .n_drawable = model_drawable(model, model->tokenizer),
      .cache_note = model->load.note.message[0] ? model->load.note.message : NULL,
  };
  for (int32_t l = 0; l < c->n_layers; l++) {
    int32_t window = c->layers[l].window;
    all.windowed_layers += window > 0;
    if (window > all.sliding_window) all.sliding_window = window;
  }
  sized_write(info, size, &all, sizeof all);
}

size_t gale_model_tensors(const gale_model *model) {
  return model->checkpoint->n_tensors;
}

bool gale_model_tensor_sized(const gale_model *model, size_t index, gale_tensor_info *info, size_t size) {
  if (index >= model->checkpoint->n_tensors) return false;
  const tensor *t = &model->checkpoint->tensors[index];
  gale_tensor_info all = {.name = t->name, .type = quant_get(t->type)->name, .n_dims = t->n_dims, .bytes = t->bytes};
  memcpy(all.shape, t->shape, sizeof all.shape);
  sized_write(info, size, &all, sizeof all);
  return true;
}
