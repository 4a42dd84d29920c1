/* F32, F16 and BF16: elements that are numbers by themselves. */
#include "base/half.h"
#include "base/random.h"
#include "quant/quantized.h"

/* Columns by the tile, so that the lines of a panel that its rows share are written while they are at hand. */
static ALWAYS_INLINE void pack_elements(void *panel, const void *from, size_t stride, int n_rows, size_t n_cols,
                                        size_t size) {
  enum { TILE = 32 };
  char *to = panel;
  if (n_rows < PANEL_ROWS) memset(to, 0, n_cols * PANEL_ROWS * size);
  for (size_t first = 0; first < n_cols; first += TILE) {
    size_t end = n_cols - first < TILE ? n_cols : first + TILE;
    for (int r = 0; r < n_rows; r++) {
      const char *row = (const char *)from + (size_t)r * stride;
      for (size_t c = first; c < end; c++) memcpy(to + (c * PANEL_ROWS + (size_t)r) * size, row + c * size, size);
    }
  }
}

/* Three uniform values summed come near enough to a normal distribution for weights. */
static float random_weight(uint64_t seed, uint64_t i, float deviation) {
  uint64_t r = random_at(seed, i);
  float sum = (float)(r & 0xFFFFF) + (float)(r >> 20 & 0xFFFFF) + (float)(r >> 40 & 0xFFFFF);
  return (sum * 0x1p-20f - 1.5f) * 2.0f * deviation;
}

static void f32_dequantize(const quant_info *q, const void *from, float *to, size_t n) {
  (void)q;
  memcpy(to, from, n * sizeof *to);
}

static void f32_pack(const quant_info *q, void *panel, const void *from, size_t stride, int n_rows, size_t n_cols) {
  (void)q;
  pack_elements(panel, from, stride, n_rows, n_cols, sizeof(float));
}

static void f32_unpack_row(const quant_info *q, const void *panel, int row, float *to, size_t n_cols) {
  (void)q;
  const float *p = panel;
  for (size_t c = 0; c < n_cols; c++) to[c] = p[c * PANEL_ROWS + (size_t)row];
}

static void f32_synthesize(const quant_info *q, void *to, size_t n, uint64_t first, uint64_t seed, float deviation) {
  (void)q;
  float *p = to;
  for (size_t i = 0; i < n; i++) p[i] = random_weight(seed, first + i, deviation);
}

const quant_info quant_f32 = {
    .name = "F32",
    .gguf_id = 0,
    .block = 1,
    .block_bytes = 4,
    .is_float = true,
    .panel_levels = 4 * PANEL_ROWS,
    .dequantize = f32_dequantize,
    .pack = f32_pack,
    .unpack_row = f32_unpack_row,
    .synthesize = f32_synthesize,
};

static void half_pack(const quant_info *q, void *panel, const void *from, size_t stride, int n_rows, size_t n_cols) {
  (void)q;
  pack_elements(panel, from, stride, n_rows, n_cols, sizeof(uint16_t));
}

static void f16_dequantize(const quant_info *q, const void *from, float *to, size_t n) {
  (void)q;
  for (size_t i = 0; i < n; i++) to[i] = half_to_float(load_half((const uint8_t *)from + 2 * i));
}

static void f16_unpack_row(const quant_info *q, const void *panel, int row, float *to, size_t n_cols) {
  (void)q;
  const uint16_t *p = panel;
  for (size_t c = 0; c < n_cols; c++) to[c] = half_to_float(p[c * PANEL_ROWS + (size_t)row]);
}

static void f16_synthesize(const quant_info *q, void *to, size_t n, uint64_t first, uint64_t seed, float deviation) {
  (void)q;
  uint16_t *p = to;
  for (size_t i = 0; i < n; i++) p[i] = half_from_float(random_weight(seed, first + i, deviation));
}

const quant_info quant_f16 = {
    .name = "F16",
    .gguf_id = 1,
    .block = 1,
    .block_bytes = 2,
    .is_float = true,
    .panel_levels = 2 * PANEL_ROWS,
    .dequantize = f16_dequantize,
    .pack = half_pack,
    .unpack_row = f16_unpack_row,
    .synthesize = f16_synthesize,
};

static void bf16_dequantize(const quant_info *q, const void *from, float *to, size_t n) {
  (void)q;
  for (size_t i = 0; i < n; i++) to[i] = bfloat_to_float(load_half((const uint8_t *)from + 2 * i));
}

static void bf16_unpack_row(const quant_info *q, const void *panel, int row, float *to, size_t n_cols) {
  (void)q;
  const uint16_t *p = panel;
  for (size_t c = 0; c < n_cols; c++) to[c] = bfloat_to_float(p[c * PANEL_ROWS + (size_t)row]);
}

static void bf16_synthesize(const quant_info *q, void *to, size_t n, uint64_t first, uint64_t seed, float deviation) {
  (void)q;
  uint16_t *p = to;
  for (size_t i = 0; i < n; i++) p[i] = bfloat_from_float(random_weight(seed, first + i, deviation));
}

const quant_info quant_bf16 = {
    .name = "BF16",
    .gguf_id = 30,
    .block = 1,
    .block_bytes = 2,
    .is_float = true,
    .panel_levels = 2 * PANEL_ROWS,
    .dequantize = bf16_dequantize,
    .pack = half_pack,
    .unpack_row = bf16_unpack_row,
    .synthesize = bf16_synthesize,
};
