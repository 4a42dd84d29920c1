#include "backend/kv.h"

#include "quant/quant.h"

static size_t round_up(size_t n, size_t to) {
  return (n + to - 1) / to * to;
}

kv_layout kv_layout_make(gale_kv_type type, int n_kv_heads, int head_dim) {
  size_t dim = (size_t)head_dim, pad = round_up(dim, QUANT_BLOCK);
  kv_layout l = {.type = type, .n_kv_heads = n_kv_heads, .head_dim = head_dim, .head_pad = (int)pad};
  if (type == GALE_KV_Q8) {
    l.key_bytes = KV_PAGE / KV_LANES * quant_panel_bytes(QUANT_Q8_0, pad);
    l.value_bytes = round_up(KV_PAGE * (pad + pad / QUANT_BLOCK * 2), PANEL_ALIGN);
  } else {
    size_t element = type == GALE_KV_F32 ? 4 : 2;
    l.key_bytes = l.value_bytes = KV_PAGE * dim * element;
  }
  l.layer_bytes = (size_t)n_kv_heads * (l.key_bytes + l.value_bytes);
  return l;
}

size_t kv_position_bytes(gale_kv_type type, int n_kv_heads, int head_dim) {
  size_t dim = (size_t)head_dim, heads = (size_t)n_kv_heads;
  switch (type) {
  case GALE_KV_F32:
    return heads * 2 * dim * 4;
  case GALE_KV_Q8:
    return heads * 2 * (dim + round_up(dim, QUANT_BLOCK) / QUANT_BLOCK * 2);
  case GALE_KV_F16:
    break;
  }
  return heads * 2 * dim * 2;
}
