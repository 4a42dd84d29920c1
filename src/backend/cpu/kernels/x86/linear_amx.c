/* Linear layers with AMX: 16 tokens times a block of a panel are one tile product. Its integers are those of the
 * other versions, and the floating-point operations on them are in the same order. */
#include "backend/cpu/kernels/x86/linear_parts_512.h"

enum { TILE_TOKENS = 16 };

static const part_shape SHAPE = {.tile_tokens = TILE_TOKENS,
                                 .tile_panels = 1,
                                 .tokens = 256,
                                 .blocks = 32,
                                 .panels = 32,
                                 .min_tokens = 32,
                                 .min_rest = 8};
static const part_levels LEVELS = LEVELS_TRUE;

enum {
  LAG = 6, /* blocks from a tile product to its use: a load waits until the tile's store has left the core */
  SUMS = 8
};

/* The products of the blocks last computed, by sub-block. */
typedef int32_t tile_products[2][SUMS][TILE_TOKENS][PANEL_ROWS];

/* ---- Tiles: 0 to 3 are products, 4 and 5 activations, 6 and 7 weights ---- */

typedef struct tile_config {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_config;

/* depth: inputs of a product. */
static void configure_tiles(int depth) {
  tile_config c = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    c.row_bytes[i] = (uint16_t)(i == 4 || i == 5 ? depth : 64);
    c.rows[i] = (uint8_t)(i >= 6 ? depth / 4 : 16);
  }
  /* GCC 12 believes that the next line reads no more than a pointer's size. */
  __asm__ volatile("" : : "r"(&c) : "memory");
  _tile_loadconfig(&c);
}

/* The products of one block of a panel and of 16 tokens, [token][row]. */
TILE_INLINE void multiply_tiles(tile_format f, const int8_t *level, const int8_t *weight, tile_products to,
                                int number) {
  _tile_loadd(4, level, QUANT_BLOCK);
  _tile_loadd(6, weight, 64);
  _tile_zero(0);
  _tile_dpbssd(0, 4, 6);
  _tile_stored(0, to[0][number], 64);
  if (!tile_has_halves(f)) return;
  _tile_loadd(5, level + QUANT_BLOCK / 2, QUANT_BLOCK);
  _tile_loadd(7, weight + BLOCK_LEVELS / 2, 64);
  _tile_zero(1);
  _tile_dpbssd(1, 5, 7);
  _tile_stored(1, to[1][number], 64);
}

/* ---- Sums ---- */

/* Adds the products of sub-block h of block b, scaled, and the minima. */
TILE_INLINE void accumulate(tile_format f, part_memory m, int first, int b, int h, int32_t (*product)[PANEL_ROWS],
                            __m512 acc[TILE_TOKENS]) {
  int64_t rows = part_rows(SHAPE, h, 0, b);
  __m512 d = _mm512_loadu_ps(m.d + rows), least = f.has_min ? _mm512_loadu_ps(m.m + rows) : d;
  UNROLL
  for (int i = 0; i < TILE_TOKENS; i++)
    acc[i] = add_product(f, SHAPE, m, first + i, b, h, d, least, _mm512_loadu_si512(product[i]), acc[i]);
}

TILE_INLINE void sum_tile(tile_format f, const part *p, part_memory m, int64_t panel, int tile) {
  const int first = tile * TILE_TOKENS;
  tile_products products;
  __m512 acc[TILE_TOKENS];
  UNROLL
  for (int i = 0; i < TILE_TOKENS; i++)
    acc[i] = p->block ? _mm512_loadu_ps(m.acc + part_acc(SHAPE, first + i, panel - p->first)) : _mm512_setzero_ps();
  for (int ahead = 0; ahead < p->blocks + LAG; ahead++) {
    if (ahead < p->blocks)
      multiply_tiles(f, m.level + part_level(SHAPE, tile, ahead, 0), m.weight + part_weight(SHAPE, 0, ahead), products,
                     ahead % SUMS);
    int b = ahead - LAG;
    if (b < 0) continue;
    UNROLL
    for (int h = 0; h < tile_sub_blocks(f); h++) accumulate(f, m, first, b, h, products[h][b % SUMS], acc);
  }
  UNROLL
  for (int i = 0; i < TILE_TOKENS; i++) _mm512_storeu_ps(m.acc + part_acc(SHAPE, first + i, panel - p->first), acc[i]);
}

TILE_INLINE void sum_part(tile_format f, const part *p, int64_t panel) {
  part_memory m = part_memory_of(SHAPE, p);
  for (int tile = 0; tile < part_tiles(SHAPE, p); tile++) sum_tile(f, p, m, panel, tile);
}

static void store(const part *p) {
  store_part(SHAPE, p);
}

static void linear_tiles(tile_format f, const linear_task *t, const part_kernel *k, linear_kernel few) {
  if (linear_parts_tokens(t, &SHAPE) > 0) {
    configure_tiles(tile_has_halves(f) ? QUANT_BLOCK / 2 : QUANT_BLOCK);
    linear_parts(t, k);
    _tile_release();
  }
  linear_parts_rest(t, &SHAPE, few);
}

/* ---- One function for each type ---- */

#define LINEAR(NAME, TYPE)                                                                                             \
  PARTS_512(NAME, TYPE)                                                                                                \
  static void linear_##NAME(const linear_task *t) {                                                                    \
    linear_tiles(TILE_##TYPE, t, &NAME##_parts, linear_few_avx512[QUANT_##TYPE]);                                      \
  }
TILE_QUANTIZED(LINEAR)

void cpu_linear_amx(cpu_kernels *k) {
#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
  TILE_QUANTIZED(FILL)
  kernels_need_scratch(k, part_bytes(SHAPE));
}
