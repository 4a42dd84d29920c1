/* Storage types: blocks computed by hand and by a reference, panels read back, conversions of 16-bit floats. */
#include "backend/op_buffers.h"
#include "quant/quant.h"

#include <stdlib.h>

enum { MOST_COLS = 768, MOST_BLOCK = 256 };

/* ---- Blocks by hand ---- */

static void put_half(uint8_t *to, uint16_t h) {
  memcpy(to, &h, sizeof h);
}

/* Nibble byte i is i in its low half and 15 - i in its high half; every third fifth bit is set. */
static size_t hand_block(const quant_info *q, uint8_t *block) {
  uint8_t *p = block;
  put_half(p, 0x3800), p += 2;                 /* d = 0.5 */
  if (q->has_min) put_half(p, 0xC400), p += 2; /* m = -4 */
  if (q->level_bits == 8) {
    for (int i = 0; i < 32; i++) *p++ = (uint8_t)(i % 2 ? -128 + i : 127 - i);
    return (size_t)(p - block);
  }
  if (q->level_bits == 5) {
    static const uint8_t fifths[4] = {0x49, 0x92, 0x24, 0x49}; /* bits 0, 3, 6, ... 30 */
    memcpy(p, fifths, 4), p += 4;
  }
  for (int i = 0; i < 16; i++) *p++ = (uint8_t)(i | (15 - i) << 4);
  return (size_t)(p - block);
}

static float hand_value(quant_type type, int i) {
  int nibble = i < 16 ? i : 31 - i, fifth = i % 3 == 0 ? 16 : 0;
  switch (type) {
  case QUANT_Q8_0:
    return 0.5f * (float)(i % 2 ? -128 + i : 127 - i);
  case QUANT_Q4_0:
    return 0.5f * (float)(nibble - 8);
  case QUANT_Q4_1:
    return 0.5f * (float)nibble - 4;
  case QUANT_Q5_0:
    return 0.5f * (float)(nibble + fifth - 16);
  default:
    return 0.5f * (float)(nibble + fifth) - 4;
  }
}

static void test_blocks_by_hand(void **state) {
  (void)state;
  static const quant_type types[] = {QUANT_Q8_0, QUANT_Q4_0, QUANT_Q4_1, QUANT_Q5_0, QUANT_Q5_1};
  for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
    const quant_info *q = quant_get(types[t]);
    uint8_t block[64];
    float is[QUANT_BLOCK], should[QUANT_BLOCK];
    assert_int_equal(hand_block(q, block), q->block_bytes);
    q->dequantize(q, block, is, QUANT_BLOCK);
    for (int i = 0; i < QUANT_BLOCK; i++) should[i] = hand_value(types[t], i);
    assert_same_floats(is, should, QUANT_BLOCK, q->name);
  }
}

static void test_floats_by_hand(void **state) {
  (void)state;
  static const uint16_t halves[] = {0x3C00, 0xC000, 0x0001, 0x7BFF}, bfloats[] = {0x3F80, 0xC000, 0x0001, 0x7F7F};
  static const float half_values[] = {1, -2, 0x1p-24f, 65504}, bfloat_values[] = {1, -2, 0x1p-133f, 0x1.fep127f};
  float is[4];
  quant_f16.dequantize(&quant_f16, halves, is, 4);
  assert_same_floats(is, half_values, 4, "F16");
  quant_bf16.dequantize(&quant_bf16, bfloats, is, 4);
  assert_same_floats(is, bfloat_values, 4, "BF16");
  quant_f32.dequantize(&quant_f32, half_values, is, 4);
  assert_same_floats(is, half_values, 4, "F32");
}

/* A block whose bytes are zero but for d = 1, dmin or m = 0.5, and a few more; and some of its weights. */
typedef struct poked {
  quant_type type;
  int d, m; /* offsets of halves; m < 0: none */
  struct {
    int at;
    uint8_t byte;
  } pokes[6];
  struct {
    int at;
    float weight;
  } weights[4];
} poked;

static const poked poked_blocks[] = {
    /* Scale 10 and minimum 3 of half 5; level 2. */
    {QUANT_Q2_K, 80, 82, {{5, 0x3A}, {33, 0x20}}, {{81, 18.5f}, {82, -1.5f}, {79, 0}, {96, 0}}},
    /* Scale 9 is 39 - 32; levels 7 - 4 and 0 - 4; elsewhere -32 times -4. */
    {QUANT_Q3_K,
     108,
     -1,
     {{97, 0x70}, {105, 0x20}, {81, 3}, {17, 0x10}},
     {{145, 21}, {146, -28}, {0, 128}, {160, 128}}},
    /* Scale 35 and minimum 25 of piece 5; level 11. */
    {QUANT_Q4_K,
     0,
     2,
     {{5, 0x80}, {9, 0x40}, {13, 0x93}, {83, 0xB0}},
     {{163, 372.5f}, {164, -12.5f}, {40, 0}, {192, 0}}},
    /* The same; level 27. */
    {QUANT_Q5_K,
     0,
     2,
     {{5, 0x80}, {9, 0x40}, {13, 0x93}, {115, 0xB0}, {19, 0x20}},
     {{163, 932.5f}, {164, -12.5f}, {40, 0}, {192, 0}}},
    /* Scale -128 of half 11; levels 31 - 32 and 0 - 32. */
    {QUANT_Q6_K, 208, -1, {{203, 0x80}, {113, 0x0F}, {177, 0x04}}, {{177, 128}, {178, 4096}, {175, 0}, {192, 0}}},
    {QUANT_IQ4_NL, 0, -1, {{5, 0xF0}}, {{3, -127}, {19, 113}, {4, -127}, {20, -127}}},
    /* Scale 37 - 32 of piece 6; elsewhere -32 times the first value. */
    {QUANT_IQ4_XS, 0, -1, {{3, 0x20}, {7, 0x05}, {106, 0x80}}, {{194, -635}, {210, 5}, {191, 4064}, {224, 4064}}},
};

static void test_large_blocks_by_hand(void **state) {
  (void)state;
  for (size_t c = 0; c < sizeof poked_blocks / sizeof *poked_blocks; c++) {
    const poked *k = &poked_blocks[c];
    const quant_info *q = quant_get(k->type);
    uint8_t block[256] = {0};
    float is[MOST_BLOCK];
    put_half(block + k->d, 0x3C00);
    if (k->m >= 0) put_half(block + k->m, 0x3800);
    for (int i = 0; i < 6; i++) block[k->pokes[i].at] |= k->pokes[i].byte;
    q->dequantize(q, block, is, (size_t)q->block);
    for (int i = 0; i < 4; i++)
      if (is[k->weights[i].at] != k->weights[i].weight)
        fail_msg("%s: weight %d is %g, should be %g", q->name, k->weights[i].at, (double)is[k->weights[i].at],
                 (double)k->weights[i].weight);
  }
}

/* ---- Blocks of tools/make_quant_cases.py ---- */

static void test_reference(void **state) {
  (void)state;
  enum { BLOCKS = 4, MOST_BYTES = 512 };
  for (int t = 0; t < QUANT_TYPES; t++) {
    const quant_info *q = quant_get((quant_type)t);
    if (q->is_float) continue;
    uint8_t blocks[BLOCKS * MOST_BYTES];
    float is[BLOCKS * MOST_BLOCK], should[BLOCKS * MOST_BLOCK];
    char path[512];
    snprintf(path, sizeof path, TEST_DATA "/quant/%s.bin", q->name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = (size_t)(BLOCKS * q->block);
    assert_int_equal(fread(blocks, (size_t)q->block_bytes, BLOCKS, f), BLOCKS);
    assert_int_equal(fread(should, sizeof *should, n, f), n);
    fclose(f);
    q->dequantize(q, blocks, is, n);
    for (size_t i = 0; i < n; i++) /* zeros may differ in sign */
      if (is[i] != should[i])
        fail_msg("%s: weight %zu is %a, should be %a", q->name, i, (double)is[i], (double)should[i]);
  }
}

/* ---- Pieces ---- */

/* Any bytes, so any scales: infinities and NaN too. */
static void random_rows(void *to, size_t bytes, uint64_t seed) {
  for (size_t i = 0; i < bytes; i++) ((uint8_t *)to)[i] = (uint8_t)random_bits(&seed);
}

/* Pieces stored are the block they came from, and the rest of their type's description is true. */
static void test_pieces(void **state) {
  (void)state;
  for (int t = 0; t < QUANT_TYPES; t++) {
    const quant_info *q = quant_get((quant_type)t);
    if (q->is_float) continue;
    for (uint64_t seed = 0; seed < 20; seed++) {
      uint8_t block[256], copy[256] = {0};
      random_rows(block, sizeof block, seed);
      for (int p = 0; p < q->block / QUANT_BLOCK; p++) {
        quant_block piece;
        q->load(block, p, &piece);
        for (int i = 0; i < QUANT_BLOCK; i++) assert_true(piece.level[i] >> q->level_bits == 0);
        for (int h = 0; h < 2; h++) {
          assert_in_range(piece.scale[h] + (1 << q->factor_bits), 0, 2 << q->factor_bits);
          assert_in_range(piece.min[h], 0, 1 << q->factor_bits);
        }
        q->store(copy, p, &piece);
      }
      assert_memory_equal(block, copy, q->block_bytes);
    }
  }
}

/* The bytes from level_start on are the levels, and nothing else is. */
static void test_level_bytes(void **state) {
  (void)state;
  for (int t = 0; t < QUANT_TYPES; t++) {
    const quant_info *q = quant_get((quant_type)t);
    if (q->is_float) continue;
    uint8_t low[256] = {0}, high[256] = {0};
    for (int p = 0; p < q->block / QUANT_BLOCK; p++) {
      quant_block piece = {.d = 0x5555, .m = 0x5555, .scale = {9, 9}, .min = {9, 9}};
      q->store(low, p, &piece);
      memset(piece.level, (1 << q->level_bits) - 1, sizeof piece.level);
      q->store(high, p, &piece);
    }
    int end = q->level_start + q->block * q->level_bits / 8;
    assert_true(end <= q->block_bytes);
    for (int i = 0; i < q->block_bytes; i++)
      assert_int_equal(low[i] ^ high[i], i >= q->level_start && i < end ? 0xFF : 0);
  }
}

/* ---- Panels ---- */

/* The documented place of level i of a piece. */
static int placed_level(const quant_info *q, const uint8_t *p, int row, int i) {
  int level = 0, shift = 0;
  if (q->level_bits & 8) return p[i / 4 * 64 + row * 4 + i % 4];
  if (q->level_bits & 4) {
    level = p[i % 16 / 4 * 64 + row * 4 + i % 4] >> (i < 16 ? 0 : 4) & 15;
    p += 256, shift += 4;
  }
  if (q->level_bits & 2) {
    level |= (p[i / 16 * 64 + row * 4 + i % 4] >> i % 16 / 4 * 2 & 3) << shift;
    p += 128, shift += 2;
  }
  if (q->level_bits & 1) {
    uint64_t mask;
    memcpy(&mask, p + i / 4 * 8, sizeof mask);
    level |= (int)(mask >> (4 * row + i % 4) & 1) << shift;
  }
  return level;
}

static void check_placed_factors(const quant_info *q, const uint8_t *p, int row, const quant_block *piece) {
  const int8_t *is = (const int8_t *)p + row;
  switch (q->factors) {
  case FACTORS_NONE:
    break;
  case FACTORS_SCALE:
    assert_int_equal(is[0], piece->scale[0]);
    break;
  case FACTORS_SCALE_MIN:
    assert_int_equal(is[0], piece->scale[0]);
    assert_int_equal(is[16], piece->min[0]);
    break;
  case FACTORS_SCALES:
    for (int h = 0; h < 2; h++) assert_int_equal(is[16 * h], piece->scale[h]);
    break;
  case FACTORS_SCALES_MINS:
    for (int h = 0; h < 2; h++) assert_int_equal((uint8_t)is[16 * h], piece->scale[h] | piece->min[h] << 4);
    break;
  }
}

/* The documented places in a panel of two blocks, for one row. */
static void test_panel_layout(void **state) {
  (void)state;
  enum { ROW = 11, BLOCKS = 2 };
  static const size_t factor_bytes[] = {0, 16, 32, 32, 32};
  for (int t = 0; t < QUANT_TYPES; t++) {
    const quant_info *q = quant_get((quant_type)t);
    if (q->is_float) continue;
    size_t cols = (size_t)(BLOCKS * q->block), stride = (size_t)(BLOCKS * q->block_bytes);
    size_t pieces = (size_t)q->block / QUANT_BLOCK, piece_bytes = (size_t)q->level_bits * 64;
    guarded panel = guarded_new(quant_panel_bytes((quant_type)t, cols)), rows = guarded_new(stride * PANEL_ROWS);
    random_rows(rows.data, stride * PANEL_ROWS, 99);
    q->pack(q, panel.data, rows.data, stride, PANEL_ROWS, cols);
    const uint8_t *levels = panel.data, *scales = levels + BLOCKS * pieces * piece_bytes;
    for (size_t b = 0; b < BLOCKS * pieces; b++) {
      quant_block piece;
      q->load((uint8_t *)rows.data + ROW * stride + b / pieces * (size_t)q->block_bytes, (int)(b % pieces), &piece);
      for (int i = 0; i < QUANT_BLOCK; i++)
        assert_int_equal(placed_level(q, levels + b * piece_bytes, ROW, i), piece.level[i]);
      const uint8_t *p = scales + b / pieces * (size_t)q->panel_scales;
      assert_memory_equal(p + 2 * ROW, &piece.d, 2);
      p += 32;
      if (q->has_min) assert_memory_equal(p + 2 * ROW, &piece.m, 2), p += 32;
      check_placed_factors(q, p + b % pieces * factor_bytes[q->factors], ROW, &piece);
    }
    guarded_free(panel);
    guarded_free(rows);
  }
}

static void check_levels(const quant_info *q, const void *panel, int row, size_t cols, const float *should) {
  for (size_t b = 0; !q->is_float && b < cols / QUANT_BLOCK; b++) {
    quant_levels w;
    float is[QUANT_BLOCK];
    q->levels(q, panel, cols, b, &w);
    for (int i = 0; i < QUANT_BLOCK; i++) {
      float scale = w.scale[row] * w.scales[row][i / 16], min = q->has_min ? w.min[row] * w.mins[row][i / 16] : 0;
      is[i] = fmaf(scale, w.level[row][i], min);
    }
    assert_same_floats(is, should + b * QUANT_BLOCK, QUANT_BLOCK, q->name);
  }
}

static void check_panel(quant_type type, int n_rows, size_t cols) {
  const quant_info *q = quant_get(type);
  size_t row_bytes = (size_t)quant_bytes(type, cols), stride = row_bytes + (size_t)q->block_bytes;
  guarded rows = guarded_new((size_t)(n_rows - 1) * stride + row_bytes);
  guarded panel = guarded_new(quant_panel_bytes(type, cols)), values = guarded_new(cols * sizeof(float));
  float is[MOST_COLS], zeros[MOST_COLS] = {0};
  random_rows(rows.data, (size_t)(n_rows - 1) * stride + row_bytes, (uint64_t)n_rows * 1000 + cols);
  q->pack(q, panel.data, rows.data, stride, n_rows, cols);
  for (int r = 0; r < PANEL_ROWS; r++) {
    if (r < n_rows) q->dequantize(q, (char *)rows.data + (size_t)r * stride, values.data, cols);
    const float *should = r < n_rows ? values.data : zeros;
    q->unpack_row(q, panel.data, r, is, cols);
    assert_same_floats(is, should, cols, q->name);
    check_levels(q, panel.data, r, cols, should);
  }
  guarded_free(rows);
  guarded_free(panel);
  guarded_free(values);
}

static void test_panels(void **state) {
  (void)state;
  static const int counts[] = {1, 2, 7, 15, 16};
  for (int type = 0; type < QUANT_TYPES; type++)
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
      bool is_float = quant_get((quant_type)type)->is_float;
      size_t unit = is_float ? QUANT_BLOCK : (size_t)quant_get((quant_type)type)->block;
      check_panel((quant_type)type, counts[i], unit);
      check_panel((quant_type)type, counts[i], 3 * unit);
      check_panel((quant_type)type, counts[i], MOST_COLS);
      if (!is_float) continue;
      check_panel((quant_type)type, counts[i], 1);
      check_panel((quant_type)type, counts[i], 77);
    }
}

/* ---- The table ---- */

/* Panels are as large as the rows, up to alignment and the bytes that six-bit factors become. */
static void test_sizes(void **state) {
  (void)state;
  static const uint64_t bytes_of_256[QUANT_TYPES] = {1024, 512, 512, 272, 144, 160, 176, 192,
                                                     84,   110, 144, 176, 210, 144, 136};
  for (int t = 0; t < QUANT_TYPES; t++) {
    quant_type type = (quant_type)t;
    bool six_bits = type == QUANT_Q3_K || type == QUANT_Q4_K || type == QUANT_Q5_K || type == QUANT_IQ4_XS;
    assert_int_equal(quant_bytes(type, 256), bytes_of_256[t]);
    size_t unit = quant_get(type)->is_float ? QUANT_BLOCK : (size_t)quant_get(type)->block;
    for (size_t cols = unit; cols <= 8 * unit; cols += unit) {
      size_t bytes = quant_panel_bytes(type, cols), exact = (size_t)quant_bytes(type, cols) * PANEL_ROWS;
      size_t factors = six_bits ? cols / MOST_BLOCK * PANEL_ROWS * (type == QUANT_IQ4_XS ? 2 : 4) : 0;
      assert_int_equal(bytes % PANEL_ALIGN, 0);
      assert_true(bytes >= exact && bytes - exact < factors + PANEL_ALIGN);
    }
  }
}

static void test_names(void **state) {
  (void)state;
  for (int t = 0; t < QUANT_TYPES; t++) {
    const quant_info *q = quant_get((quant_type)t);
    quant_type found = QUANT_TYPES;
    assert_true(quant_from_name(q->name, &found));
    assert_int_equal(found, t);
    found = QUANT_TYPES;
    assert_true(quant_from_gguf(q->gguf_id, &found));
    assert_int_equal(found, t);
  }
  quant_type type = QUANT_TYPES;
  assert_true(quant_from_name("bf16", &type));
  assert_int_equal(type, QUANT_BF16);
  assert_false(quant_from_name("Q4_2", &type));
  assert_false(quant_from_name("", &type));
  assert_false(quant_from_gguf(4, &type));
  assert_false(quant_from_gguf(UINT32_MAX, &type));
  assert_int_equal(type, QUANT_BF16);
}

/* ---- Random weights ---- */

/* Pieces give what the whole gives, and the deviation is the one asked for: its estimate from n values, of a
 * distribution whose tails are no longer than the normal one's, has a deviation of at most 1 / sqrt(2 n) of it. Halves
 * in the scales add 2^-11. */
static void test_synthesize(void **state) {
  (void)state;
  enum { N = 1 << 16, PIECE = 512 };
  static char whole[4 * N], piece[4 * PIECE];
  static float values[N];
  for (int t = 0; t < QUANT_TYPES; t++) {
    const quant_info *q = quant_get((quant_type)t);
    q->synthesize(q, whole, N, 0, 42, 0.02f);
    for (uint64_t first = 0; first + PIECE <= N; first += 9728) {
      q->synthesize(q, piece, PIECE, first, 42, 0.02f);
      assert_memory_equal(piece, whole + quant_bytes((quant_type)t, first), quant_bytes((quant_type)t, PIECE));
    }
    q->dequantize(q, whole, values, N);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) sum += values[i], squares += (double)values[i] * values[i];
    double mean = sum / N, deviation = sqrt(squares / N - mean * mean);
    if (!(fabs(deviation / 0.02 - 1) < 5 / sqrt(2.0 * N) + 0x1p-11)) fail_msg("%s: deviation %g", q->name, deviation);
  }
}

/* ---- 16-bit floats ---- */

static double half_value(uint16_t h) {
  int exponent = h >> 10 & 31, fraction = h & 1023;
  double magnitude = exponent == 31 ? (fraction ? NAN : INFINITY)
                     : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                    : ldexp(fraction, -24);
  return h >> 15 ? -magnitude : magnitude;
}

static double bfloat_value(uint16_t b) {
  int exponent = b >> 7 & 255, fraction = b & 127;
  double magnitude = exponent == 255 ? (fraction ? NAN : INFINITY)
                     : exponent      ? ldexp(128 + fraction, exponent - 134)
                                     : ldexp(fraction, -133);
  return b >> 15 ? -magnitude : magnitude;
}

typedef struct float16 {
  const char *name;
  float (*to)(uint16_t);
  uint16_t (*from)(float);
  double (*value)(uint16_t);
  uint16_t infinity;
} float16;

static const float16 float16s[] = {{"half", half_to_float, half_from_float, half_value, 0x7C00},
                                   {"bfloat", bfloat_to_float, bfloat_from_float, bfloat_value, 0x7F80}};

static void assert_bits(const float16 *f, float from, unsigned should) {
  unsigned is = f->from(from);
  if (is != should) fail_msg("%s of %a is %04x, should be %04x", f->name, from, is, should);
}

/* Every pattern to float, and back where it is a number. */
static void check_patterns(const float16 *f) {
  for (unsigned h = 0; h <= 0xFFFF; h++) {
    double should = f->value((uint16_t)h);
    float is = f->to((uint16_t)h);
    if (isnan(should)) {
      assert_true(isnan(is) && isnan(f->to(f->from(is))));
      continue;
    }
    if (is != should || !signbit(is) != !signbit(should)) fail_msg("%s %04x is %a, not %a", f->name, h, is, should);
    assert_bits(f, is, h);
  }
}

/* Between every two neighbours: the middle goes to the even one, the floats beside it to the nearer one. What would
 * come after the largest number stands for infinity. */
static void check_rounding(const float16 *f) {
  for (unsigned h = 0; h < f->infinity; h++) {
    double low = f->value((uint16_t)h),
           step = h + 1u < f->infinity ? f->value((uint16_t)(h + 1)) - low : low - f->value((uint16_t)(h - 1));
    float middle = (float)(low + step / 2);
    for (unsigned sign = 0; sign <= 0x8000; sign += 0x8000) {
      float side = sign ? -1 : 1;
      assert_bits(f, side * middle, sign | (h + (h & 1)));
      assert_bits(f, side * nextafterf(middle, 0), sign | h);
      assert_bits(f, side * nextafterf(middle, INFINITY), sign | (h + 1));
    }
  }
  assert_bits(f, INFINITY, f->infinity);
  assert_bits(f, -INFINITY, 0x8000u | f->infinity);
  assert_bits(f, 0x1.fffffep127f, f->infinity);
}

/* No neighbour of the result is nearer. */
static void check_random(const float16 *f) {
  uint64_t seed = 1;
  for (int i = 0; i < 1000000; i++) {
    float x = fabsf(float_from_bits(random_bits(&seed)));
    unsigned h = f->from(x);
    if (isnan(x) || h == f->infinity) continue;
    double distance = fabs(f->value((uint16_t)h) - x);
    double below = h ? fabs(f->value((uint16_t)(h - 1)) - x) : INFINITY, above = fabs(f->value((uint16_t)(h + 1)) - x);
    bool even = h % 2 == 0;
    if (even ? distance > below || distance > above : distance >= below || distance >= above)
      fail_msg("%s of %a is %04x", f->name, x, h);
  }
}

static void test_float16(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof float16s / sizeof *float16s; i++) {
    check_patterns(&float16s[i]);
    check_rounding(&float16s[i]);
    check_random(&float16s[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_blocks_by_hand), cmocka_unit_test(test_large_blocks_by_hand),
      cmocka_unit_test(test_reference),      cmocka_unit_test(test_pieces),
      cmocka_unit_test(test_level_bytes),    cmocka_unit_test(test_floats_by_hand),
      cmocka_unit_test(test_panel_layout),   cmocka_unit_test(test_panels),
      cmocka_unit_test(test_sizes),          cmocka_unit_test(test_names),
      cmocka_unit_test(test_synthesize),     cmocka_unit_test(test_float16),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
