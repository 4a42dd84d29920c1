#include "gale/facts/facts.h"

#include "gale_tools.h"

const kv_variant kv_variants[] = {
    {"gqa_window", "GQA, window", true, true},
    {"gqa", "GQA", true, false},
    {"mha_window", "no GQA, window", false, true},
    {"mha", "no GQA", false, false},
    {0},
};

const kv_type_name kv_types[] = {{"f16", GALE_KV_F16}, {"f32", GALE_KV_F32}, {"q8", GALE_KV_Q8}, {0}};

bool kv_variant_differs(const gale_model_info *info, const kv_variant *v) {
  return (!v->window || info->sliding_window > 0) && (v->gqa || info->n_kv_heads != info->n_heads);
}

uint64_t kv_bytes(const gale_model *model, gale_kv_type type, int64_t context, const kv_variant *v) {
  return gale_kv_bytes(model, type, context, v->window ? GALE_WINDOW_NATIVE : GALE_WINDOW_NONE, v->gqa);
}

uint64_t kv_layer_bytes(const gale_model *model, gale_kv_type type, int64_t context, const kv_variant *v) {
  gale_model_info info;
  gale_model_get_info(model, &info);
  /* With one window for all, all layers take the same. */
  int32_t window = v->window ? info.sliding_window : GALE_WINDOW_NONE;
  return gale_kv_bytes(model, type, context, window, v->gqa) / (uint64_t)info.n_layers;
}

int64_t receptive_field(const gale_model_info *info) {
  bool everywhere = info->sliding_window > 0 && info->windowed_layers == info->n_layers;
  return everywhere ? (int64_t)info->sliding_window * info->n_layers : 0;
}
