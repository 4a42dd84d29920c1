/* Storage types of tensors: one file for each kind, and one table of them.
 *
 * A panel is PANEL_ROWS consecutive output rows of a matrix, packed so that a row is a vector lane. For a matrix of
 * n_cols inputs a panel is
 *
 *   float types      [n_cols][16] elements as stored
 *   quantised types  levels of all blocks of 32 inputs, then scales of all storage blocks
 *     levels         a plane for each binary digit of level_bits, the widest first and with the lowest bits:
 *            8 bits  [8][16][4] bytes: byte (s, row, i) is input 4 s + i
 *            4 bits  [4][16][4] bytes: low nibble input 4 g + i, high nibble input 16 + 4 g + i
 *            2 bits  [2][16][4] bytes: bits 2 p and 2 p + 1 are of input 16 h + 4 p + i
 *            1 bit   [8] 64-bit masks: mask s, bit 4 row + i, input 4 s + i
 *     scales         [16] halves d, for types with a minimum [16] halves m, then for each 32 inputs of the block
 *                    [n][16] bytes of integer factors, by quant_factors
 *
 * so that four neighbouring inputs of a row are the 32 bits that an integer dot product consumes, and so that no level
 * takes more bits than in the file. Levels are stored `zero` above the true ones, or as indices of `values`. */
#ifndef QUANT_QUANT_H
#define QUANT_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PANEL_ROWS = 16, QUANT_BLOCK = 32, PANEL_ALIGN = 64 };

typedef enum quant_type {
  QUANT_F32,
  QUANT_F16,
  QUANT_BF16,
  QUANT_Q8_0,
  QUANT_Q4_0,
  QUANT_Q4_1,
  QUANT_Q5_0,
  QUANT_Q5_1,
  QUANT_Q2_K,
  QUANT_Q3_K,
  QUANT_Q4_K,
  QUANT_Q5_K,
  QUANT_Q6_K,
  QUANT_IQ4_NL,
  QUANT_IQ4_XS,
  QUANT_TYPES
} quant_type;

/* Integer factors of 32 inputs in a panel, and bytes of them for each row. */
typedef enum quant_factors {
  FACTORS_NONE,       /* 0: all are 1 */
  FACTORS_SCALE,      /* 1: a signed scale for all 32 inputs */
  FACTORS_SCALE_MIN,  /* 2: a scale and a minimum for all 32 inputs */
  FACTORS_SCALES,     /* 2: a signed scale for each half of 16 inputs */
  FACTORS_SCALES_MINS /* 2: for each half a scale in the low nibble, a minimum in the high one */
} quant_factors;

/* 32 neighbouring inputs of a row as a storage block holds them; with h = i / 16, weight i is
 * d * scale[h] * (true level) + m * min[h]. */
typedef struct quant_block {
  uint8_t level[QUANT_BLOCK]; /* 0 .. 2^level_bits - 1: `zero` above the true level, or an index of `values` */
  uint16_t d, m;              /* halves; the same for all of a storage block. m is minus ggml's dmin */
  int8_t scale[2], min[2];    /* of inputs 0 .. 15 and 16 .. 31; 1 where the type has no such factor */
} quant_block;

/* A block of a panel, 32 inputs of 16 rows, in plain numbers: with h = i / 16, weight (row, i) is
 * scale[row] * scales[row][h] * level[row][i] + min[row] * mins[row][h]. */
typedef struct quant_levels {
  int8_t level[PANEL_ROWS][QUANT_BLOCK];
  float scale[PANEL_ROWS];
  float min[PANEL_ROWS]; /* zero for types without has_min */
  int8_t scales[PANEL_ROWS][2], mins[PANEL_ROWS][2];
} quant_levels;

typedef struct quant_info quant_info;
struct quant_info {
  const char *name; /* as files and users name it: "Q4_0" */
  uint32_t gguf_id; /* ggml's type number in GGUF files */
  int block;        /* elements of a storage block: 1 for float types, else 32 or 256 */
  int block_bytes;
  bool is_float;
  bool has_min;
  quant_factors factors;
  int factor_bits;      /* factors are below 2^factor_bits, signed ones from minus that on; 0 without factors */
  int level_bits;       /* quantised types: 2 to 6, or 8 */
  int level_start;      /* the byte of a storage block at which block * level_bits / 8 bytes of levels start */
  int zero;             /* what a stored level is above the true one */
  const int8_t *values; /* true levels by stored level; NULL: stored level minus zero */
  int panel_levels;     /* bytes of levels in a panel for each storage block (each input, for float types) */
  int panel_scales;     /* bytes of scales likewise */

  /* n elements, a multiple of block, to float; exact up to the rounding of one addition. */
  void (*dequantize)(const quant_info *q, const void *from, float *to, size_t n);

  /* Packs n_rows (1..16) rows of n_cols inputs, row r starting at from + r * stride, into one panel;
   * rows from n_rows to 15 become zero. n_cols is a multiple of block. */
  void (*pack)(const quant_info *q, void *panel, const void *from, size_t stride, int n_rows, size_t n_cols);

  /* Reads row `row` of a panel of n_cols inputs back as floats, equal to what dequantize gives. */
  void (*unpack_row)(const quant_info *q, const void *panel, int row, float *to, size_t n_cols);

  /* Quantised types only: block b (inputs 32 b to 32 b + 31) of a panel of n_cols inputs. */
  void (*levels)(const quant_info *q, const void *panel, size_t n_cols, size_t b, quant_levels *to);

  /* Fills n elements in storage form with random values of standard deviation about `deviation`; the
   * result is a function of seed and of the elements' indices, which start at first (a multiple of
   * block). */
  void (*synthesize)(const quant_info *q, void *to, size_t n, uint64_t first, uint64_t seed, float deviation);

  /* Quantised types only: reads inputs 32 b .. 32 b + 31 of a storage block, b from 0 to block / 32 - 1, and the
   * inverse. Before its first store the storage block is zero; each b is stored once, with the same d and m. Factors
   * outside their type's range are the caller's mistake: they are cut off. */
  void (*load)(const uint8_t *block, int b, quant_block *to);
  void (*store)(uint8_t *block, int b, const quant_block *from);
};

/* The row of a type; never NULL for 0 <= type < QUANT_TYPES. */
const quant_info *quant_get(quant_type type);

/* Finds a type by its GGUF number or its name (any case; "f16" as well as "F16"). */
bool quant_from_gguf(uint32_t gguf_id, quant_type *type);
bool quant_from_name(const char *name, quant_type *type);

/* What ggml calls one of its types, also where it is none of those here; NULL for other numbers. */
const char *quant_ggml_name(uint32_t gguf_id);

/* Bytes of n elements in storage form; n must be a multiple of the block. */
uint64_t quant_bytes(quant_type type, uint64_t n);

/* Bytes of a panel of n_cols inputs, a multiple of PANEL_ALIGN. */
size_t quant_panel_bytes(quant_type type, size_t n_cols);

/* The 32 weights, as dequantize gives them. */
void quant_weights(const quant_info *q, const quant_block *numbers, float *to);

/* ---- The rows, one for each file ---- */
extern const quant_info quant_f32, quant_f16, quant_bf16;
extern const quant_info quant_q8_0, quant_q4_0, quant_q4_1, quant_q5_0, quant_q5_1;
extern const quant_info quant_q2_k, quant_q3_k, quant_q4_k, quant_q5_k, quant_q6_k;
extern const quant_info quant_iq4_nl, quant_iq4_xs;

#endif
