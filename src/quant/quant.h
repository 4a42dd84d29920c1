/* Storage types of tensors: one file for each, and one table of them. */
#ifndef QUANT_QUANT_H
#define QUANT_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* PANEL_ROWS output rows of a matrix are packed together, so that one row is one vector lane;
 * quantised types are grouped in QUANT_BLOCK inputs. */
enum { PANEL_ROWS = 16, QUANT_BLOCK = 32 };

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

/* One block of a panel in plain integers: weight [row][i] is scale[row] * level[row][i] + min[row]. */
typedef struct quant_levels {
  int8_t level[PANEL_ROWS][QUANT_BLOCK];
  float scale[PANEL_ROWS];
  float min[PANEL_ROWS]; /* zero for types without has_min */
} quant_levels;

typedef struct quant_info {
  const char *name; /* upper case, as files and users name it: "Q4_0" */
  int gguf_id;      /* ggml's type number in GGUF files */
  int block;        /* elements of a storage block: 1 for float types */
  int block_bytes;
  bool is_float; /* panels are [input][16] elements as stored */
  bool has_min;

  /* n elements, a multiple of block, to float; exact. */
  void (*dequantize)(const void *from, float *to, size_t n);

  /* Bytes of one panel for `panel_inputs` inputs: 1 for float types, QUANT_BLOCK otherwise. */
  int panel_inputs;
  int panel_bytes;

  /* Packs n_rows (1..16) rows of n_cols inputs, row r starting at from + r * stride, into one panel;
   * rows from n_rows to 15 become zero. n_cols is a multiple of block. */
  void (*pack)(void *panel, const void *from, size_t stride, int n_rows, size_t n_cols);

  /* Reads row `row` of a panel of n_cols inputs back as floats, equal to what dequantize gives. */
  void (*unpack_row)(const void *panel, int row, float *to, size_t n_cols);

  /* Quantised types only: one block (panel + block index * panel_bytes) as integers. */
  void (*levels)(const void *panel_block, quant_levels *to);

  /* Fills n elements with a storage-form random tensor of standard deviation about `deviation`; the
   * same for the same seed. first is the index of the first element (a multiple of block). */
  void (*synthesize)(void *to, size_t n, uint64_t first, uint64_t seed, float deviation);
} quant_info;

/* The row of a type; never NULL for 0 <= type < QUANT_TYPES. */
const quant_info *quant_get(quant_type type);

/* Finds a type by its GGUF number or its name (any case; "f16" as well as "F16"). */
bool quant_from_gguf(uint32_t gguf_id, quant_type *type);
bool quant_from_name(const char *name, quant_type *type);

/* Bytes of n elements; n must be a multiple of the block. */
uint64_t quant_bytes(quant_type type, uint64_t n);

#endif
