/* For fuzz targets that turn settings into a model's configuration. */
#ifndef FUZZ_CONFIGURE_H
#define FUZZ_CONFIGURE_H

#include "format/json.h"
#include "format/reader.h"
#include "fuzz_file.h"
#include "model/config.h"
#include "model/weights.h"

/* Whatever is accepted must keep what config.h promises. */
static inline void fuzz_check(const model_config *m) {
  bool sizes = m->dim >= 1 && m->n_layers >= 1 && m->hidden_dim >= 1 && m->vocab_size >= 1 && m->context >= 1 &&
               m->head_dim >= 2 && m->head_dim % 2 == 0 && m->n_heads >= 1 && m->n_kv_heads >= 1 &&
               m->n_heads % m->n_kv_heads == 0 && m->n_experts_per_tok <= m->n_experts && m->n_experts >= 0;
  if (!sizes || !m->name || !m->family || m->n_ropes < 1 || m->n_ropes > MAX_ROPES) abort();
  for (int32_t l = 0; l < m->n_layers; l++)
    if (m->layers[l].window < 0 || m->layers[l].rope < 0 || m->layers[l].rope >= m->n_ropes) abort();
  for (int32_t r = 0; r < m->n_ropes; r++)
    for (int32_t i = 0; i < m->head_dim / 2; i++)
      if (!(m->rope[r].frequency[i] >= 0)) abort();
}

/* Configures a model and looks for its tensors. */
static inline void fuzz_configure(const checkpoint *c) {
  arena memory = {0};
  model_config config;
  model_weights weights;
  if (model_configure(c, &memory, &config, NULL) == GALE_OK) {
    fuzz_check(&config);
    /* Experts beyond reason cost time only. */
    if ((int64_t)config.n_layers * (config.n_experts + 1) < 10000)
      (void)!weights_find(c, &config, &memory, &weights, NULL);
  }
  arena_free(&memory);
}

static inline int fuzz_configure_json(checkpoint_kind kind, const uint8_t *data, size_t size) {
  json_document d;
  checkpoint *c = calloc(1, sizeof *c);
  if (!c) return 0;
  c->kind = kind;
  c->path = "directory";
  c->config_path = "directory/file.json";
  if (json_parse(c->config_path, (const char *)data, size, 0, JSON_INTEGERS_EXACT, &d, NULL) == GALE_OK) {
    if (json_settings(c, c->config_path, "", d.root, JSON_INTEGERS_EXACT, NULL) == GALE_OK &&
        checkpoint_index(c, NULL) == GALE_OK)
      fuzz_configure(c);
    json_close(&d);
  }
  checkpoint_close(&c);
  return 0;
}

#endif
