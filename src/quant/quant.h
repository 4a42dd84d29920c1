/* Storage types of tensors: one file for each kind, and one table of them.
 *
 * A panel is PANEL_ROWS consecutive output rows of a matrix, packed so that a row is a vector lane.
 * For a matrix of n_cols inputs a panel is
 *
 *   float types      [n_cols][16] elements as stored
 *   quantised types  levels of all blocks, then scales of all blocks; a block is 32 inputs
 *     levels 4 bits  [4][16][4] bytes: low nibble input 4 g + i, high nibble input 16 + 4 g + i
 *            5 bits  the same, then [8] 64-bit masks of fifth bits: mask s, bit 4 row + i, input 4 s + i
 *            8 bits  [8][16][4] bytes: input 4 s + i, plus 128
 *     scales         [16] halves, then for types with a minimum [16] halves of minima
 *
 * so that four neighbouring inputs of a row are the 32 bits that an integer dot product consumes. */
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
  QUANT_TYPES
} quant_type;

/* One block of a panel in plain numbers: weight (row, i) is scale[row] * level[row][i] + min[row]. */
typedef struct quant_levels {
  int8_t level[PANEL_ROWS][QUANT_BLOCK];
  float scale[PANEL_ROWS];
  float min[PANEL_ROWS]; /* zero for types without has_min */
} quant_levels;

typedef struct quant_info quant_info;
struct quant_info {
  const char *name; /* as files and users name it: "Q4_0" */
  uint32_t gguf_id; /* ggml's type number in GGUF files */
  int block;        /* elements of a storage block: 1 for float types */
  int block_bytes;
  bool is_float;
  bool has_min;
  int level_bits;   /* quantised types: 4, 5 or 8 */
  int zero;         /* what a stored level is above the true one; 8-bit levels are stored so in panels only */
  int panel_levels; /* bytes of levels in a panel for each block (each input, for float types) */
  int panel_scales; /* bytes of scales likewise */

  /* n elements, a multiple of block, to float; exact up to the rounding of one multiply-add. */
  void (*dequantize)(const quant_info *q, const void *from, float *to, size_t n);

  /* Packs n_rows (1..16) rows of n_cols inputs, row r starting at from + r * stride, into one panel;
   * rows from n_rows to 15 become zero. n_cols is a multiple of block. */
  void (*pack)(const quant_info *q, void *panel, const void *from, size_t stride, int n_rows, size_t n_cols);

  /* Reads row `row` of a panel of n_cols inputs back as floats, equal to what dequantize gives. */
  void (*unpack_row)(const quant_info *q, const void *panel, int row, float *to, size_t n_cols);

  /* Quantised types only: block b of a panel of n_cols inputs. */
  void (*levels)(const quant_info *q, const void *panel, size_t n_cols, size_t b, quant_levels *to);

  /* Fills n elements in storage form with random values of standard deviation about `deviation`; the
   * result is a function of seed and of the elements' indices, which start at first (a multiple of
   * block). */
  void (*synthesize)(const quant_info *q, void *to, size_t n, uint64_t first, uint64_t seed, float deviation);
};

/* The row of a type; never NULL for 0 <= type < QUANT_TYPES. */
const quant_info *quant_get(quant_type type);

/* Finds a type by its GGUF number or its name (any case; "f16" as well as "F16"). */
bool quant_from_gguf(uint32_t gguf_id, quant_type *type);
bool quant_from_name(const char *name, quant_type *type);

/* Bytes of n elements in storage form; n must be a multiple of the block. */
uint64_t quant_bytes(quant_type type, uint64_t n);

/* Bytes of a panel of n_cols inputs, a multiple of PANEL_ALIGN. */
size_t quant_panel_bytes(quant_type type, size_t n_cols);

/* ---- The rows, one for each file ---- */
extern const quant_info quant_f32, quant_f16, quant_bf16, quant_q8_0, quant_q4_0, quant_q4_1, quant_q5_0, quant_q5_1;

#endif
