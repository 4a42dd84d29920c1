/* Linear layers with AMX: 16 tokens times 16 rows of a piece are one tile product. Its integers are those of the other
 * versions, and what follows on them is done in the same order. */
enum {
  TILE_TOKENS = 16,
  TILE_PANELS = 1,
  TOKENS = 256,
  BLOCKS = 32,
  PANELS = 32,
  MIN_TOKENS = 32,
  MIN_REST = 8,
  SIGNED = 1
};

#include "backend/cpu/kernels/x86/linear_parts_512.h"

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

/* The products of one piece of 16 rows and of 16 tokens, [token][row]. */
TILE_INLINE void multiply_tiles(tile_format f, const int8_t *level, const int8_t *weight, tile_products to,
                                int number) {
  _tile_loadd(4, level, QUANT_BLOCK);
  _tile_loadd(6, weight, 64);
  _tile_zero(0);
  _tile_dpbssd(0, 4, 6);
  _tile_stored(0, to[0][number], 64);
  if (!tile_has_halves(f)) return;
  _tile_loadd(5, level + QUANT_BLOCK / 2, QUANT_BLOCK);
  _tile_loadd(7, weight + PIECE / 2, 64);
  _tile_zero(1);
  _tile_dpbssd(1, 5, 7);
  _tile_stored(1, to[1][number], 64);
}

/* ---- Sums ---- */

/* Adds the products of sub-block h of block b, scaled, and the minima. */
TILE_INLINE void accumulate(tile_format f, const part_scratch *s, int tile, int b, int h,
                            int32_t (*product)[PANEL_ROWS], __m512 acc[TILE_TOKENS]) {
  __m512 d = _mm512_loadu_ps(s->d[h][0][b]), m = f.has_min ? _mm512_loadu_ps(s->m[h][0][b]) : d;
  UNROLL
  for (int i = 0; i < TILE_TOKENS; i++)
    acc[i] = add_product(f, s, tile, i, b, h, d, m, _mm512_loadu_si512(product[i]), acc[i]);
}

TILE_INLINE void sum_tile(tile_format f, const part *p, int64_t panel, int tile, part_scratch *s) {
  float(*to)[PANELS][PANEL_ROWS] = s->acc + tile * TILE_TOKENS;
  tile_products products;
  __m512 acc[TILE_TOKENS];
  UNROLL
  for (int i = 0; i < TILE_TOKENS; i++) acc[i] = p->block ? _mm512_loadu_ps(to[i][panel]) : _mm512_setzero_ps();
  for (int ahead = 0; ahead < p->blocks + LAG; ahead++) {
    if (ahead < p->blocks) multiply_tiles(f, s->level[tile][ahead][0], s->weight[0][ahead], products, ahead % SUMS);
    int b = ahead - LAG;
    if (b < 0) continue;
    UNROLL
    for (int h = 0; h < tile_sub_blocks(f); h++) accumulate(f, s, tile, b, h, products[h][b % SUMS], acc);
  }
  UNROLL
  for (int i = 0; i < TILE_TOKENS; i++) _mm512_storeu_ps(to[i][panel], acc[i]);
}

TILE_INLINE void linear(tile_format f, const linear_task *t, linear_kernel few) {
  int32_t tiled = part_tokens(t);
  if (tiled > 0) {
    configure_tiles(tile_has_halves(f) ? QUANT_BLOCK / 2 : QUANT_BLOCK);
    sum_tokens(f, t, tiled);
    _tile_release();
  }
  sum_rest(t, tiled, few);
}

/* ---- One function for each type ---- */

#define LINEAR(NAME, TYPE)                                                                                             \
  static void linear_##NAME(const linear_task *t) {                                                                    \
    linear(TILE_##TYPE, t, linear_few_avx512[QUANT_##TYPE]);                                                           \
  }
TILE_QUANTIZED(LINEAR)

void cpu_linear_amx(cpu_kernels *k) {
#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
  TILE_QUANTIZED(FILL)
  kernels_need_scratch(k, sizeof(part_scratch));
}
