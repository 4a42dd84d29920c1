/* What a cache takes, by arithmetic alone. */
#include "gale_tools.h"
#include "model/model.h"

uint64_t gale_kv_bytes(const gale_model *model, gale_kv_type type, int64_t n_positions, int32_t window, bool gqa) {
  const model_config *c = &model->config;
  uint64_t position = kv_position_bytes(type, gqa ? c->n_kv_heads : c->n_heads, c->head_dim), bytes = 0;
  for (int32_t l = 0; l < c->n_layers; l++) {
    int64_t w = window == GALE_WINDOW_NATIVE ? c->layers[l].window : window;
    bytes += position * (uint64_t)(w > 0 && w < n_positions ? w : n_positions);
  }
  return bytes;
}
