/* The kernels for AMX with its tile instructions written in C, so that they are checked on processors without tiles;
 * the rest of them needs AVX-512. */
#include "kernels/check.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

enum { TILES = 8, TILE_ROWS = 16, TILE_BYTES = 64 };

typedef struct tile_registers {
  uint8_t row_bytes[TILES], rows[TILES];
  uint8_t data[TILES][TILE_ROWS][TILE_BYTES];
} tile_registers;

static tile_registers registers;

static void emulated_loadconfig(const void *config) {
  const uint8_t *c = config;
  memset(&registers, 0, sizeof registers);
  for (int i = 0; i < TILES; i++) {
    uint16_t bytes;
    memcpy(&bytes, c + 16 + 2 * i, sizeof bytes);
    registers.row_bytes[i] = (uint8_t)bytes;
    registers.rows[i] = c[48 + i];
  }
}

static void emulated_loadd(int tile, const void *from, int64_t stride) {
  for (int r = 0; r < registers.rows[tile]; r++)
    memcpy(registers.data[tile][r], (const char *)from + r * stride, registers.row_bytes[tile]);
}

static void emulated_stored(int tile, void *to, int64_t stride) {
  for (int r = 0; r < registers.rows[tile]; r++)
    memcpy((char *)to + r * stride, registers.data[tile][r], registers.row_bytes[tile]);
}

static void emulated_zero(int tile) {
  memset(registers.data[tile], 0, sizeof registers.data[tile]);
}

/* Row r and double word c of `to` get the products of the four bytes of each double word of row r of a with column c of
 * b. */
static void emulated_dpbssd(int to, int a, int b) {
  for (int r = 0; r < registers.rows[to]; r++)
    for (int c = 0; c < registers.row_bytes[to] / 4; c++) {
      int32_t sum;
      memcpy(&sum, registers.data[to][r] + 4 * c, sizeof sum);
      for (int k = 0; k < registers.row_bytes[a]; k++)
        sum += (int8_t)registers.data[a][r][k] * (int8_t)registers.data[b][k / 4][4 * c + k % 4];
      memcpy(registers.data[to][r] + 4 * c, &sum, sizeof sum);
    }
}

static void emulated_release(void) {
  memset(&registers, 0, sizeof registers);
}

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbssd
#define _tile_loadconfig emulated_loadconfig
#define _tile_release emulated_release
#define _tile_loadd emulated_loadd
#define _tile_stored emulated_stored
#define _tile_zero emulated_zero
#define _tile_dpbssd emulated_dpbssd
#define cpu_linear_amx fill_emulated_amx
static void fill_emulated_amx(cpu_kernels *k);

#include "backend/cpu/kernels/x86/linear_amx.c" /* NOLINT(bugprone-suspicious-include) */

bool emulated_amx(cpu_kernels *k) {
  if (!cpu_supports(CPU_AVX512)) return false;
  cpu_kernels_fill(k, CPU_AVX512);
  fill_emulated_amx(k);
  return true;
}

#else

bool emulated_amx(cpu_kernels *k) {
  (void)k;
  return false;
}

#endif
