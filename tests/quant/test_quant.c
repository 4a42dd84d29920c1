/* Storage types: blocks computed by hand, panels read back, conversions of 16-bit floats. */
#include "backend/buffers.h"
#include "quant/quant.h"

#include <stdlib.h>

enum { MOST_COLS = 160 };

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

/* The documented place of a level in a panel, for one row and block. */
static void test_panel_layout(void **state) {
  (void)state;
  enum { ROW = 11 };
  uint8_t rows[PANEL_ROWS * 24] = {0};
  guarded panel = guarded_new(quant_panel_bytes(QUANT_Q5_1, QUANT_BLOCK));
  const uint8_t *p = panel.data;
  hand_block(&quant_q5_1, rows + ROW * 24);
  quant_q5_1.pack(&quant_q5_1, panel.data, rows, 24, PANEL_ROWS, QUANT_BLOCK);
  for (int i = 0; i < QUANT_BLOCK; i++) {
    int nibble = p[i % 16 / 4 * 64 + ROW * 4 + i % 4] >> (i < 16 ? 0 : 4) & 15;
    uint64_t mask;
    memcpy(&mask, p + 256 + i / 4 * 8, sizeof mask);
    assert_int_equal(nibble, i < 16 ? i : 31 - i);
    assert_int_equal(mask >> (4 * ROW + i % 4) & 1, i % 3 == 0);
  }
  assert_memory_equal(p + 256 + 64 + 2 * ROW, "\x00\x38", 2);
  assert_memory_equal(p + 256 + 64 + 32 + 2 * ROW, "\x00\xC4", 2);
  guarded_free(panel);
}

/* ---- Panels ---- */

/* Any bytes, so any scales: infinities and NaN too. */
static void random_rows(void *to, size_t bytes, uint64_t seed) {
  for (size_t i = 0; i < bytes; i++) ((uint8_t *)to)[i] = (uint8_t)random_bits(&seed);
}

static void check_levels(const quant_info *q, const void *panel, int row, size_t cols, const float *should) {
  for (size_t b = 0; !q->is_float && b < cols / QUANT_BLOCK; b++) {
    quant_levels w;
    float is[QUANT_BLOCK];
    q->levels(q, panel, cols, b, &w);
    for (int i = 0; i < QUANT_BLOCK; i++) is[i] = fmaf(w.scale[row], w.level[row][i], w.min[row]);
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
      check_panel((quant_type)type, counts[i], 32);
      check_panel((quant_type)type, counts[i], 96);
      check_panel((quant_type)type, counts[i], MOST_COLS);
      if (!quant_get((quant_type)type)->is_float) continue;
      check_panel((quant_type)type, counts[i], 1);
      check_panel((quant_type)type, counts[i], 77);
    }
}

/* ---- The table ---- */

static void test_sizes(void **state) {
  (void)state;
  static const uint64_t bytes_of_64[QUANT_TYPES] = {256, 128, 128, 68, 36, 40, 44, 48};
  for (int t = 0; t < QUANT_TYPES; t++) {
    quant_type type = (quant_type)t;
    assert_int_equal(quant_bytes(type, 64), bytes_of_64[t]);
    for (size_t cols = 32; cols <= 256; cols += 32) {
      size_t bytes = quant_panel_bytes(type, cols), exact = (size_t)quant_bytes(type, cols) * PANEL_ROWS;
      assert_int_equal(bytes % PANEL_ALIGN, 0);
      assert_true(bytes >= exact && bytes - exact < PANEL_ALIGN);
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
  enum { N = 1 << 16, PIECE = 160 };
  static char whole[4 * N], piece[4 * PIECE];
  static float values[N];
  for (int t = 0; t < QUANT_TYPES; t++) {
    const quant_info *q = quant_get((quant_type)t);
    q->synthesize(q, whole, N, 0, 42, 0.02f);
    for (uint64_t first = 0; first + PIECE <= N; first += 9600) {
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
      cmocka_unit_test(test_blocks_by_hand), cmocka_unit_test(test_floats_by_hand), cmocka_unit_test(test_panel_layout),
      cmocka_unit_test(test_panels),         cmocka_unit_test(test_sizes),          cmocka_unit_test(test_names),
      cmocka_unit_test(test_synthesize),     cmocka_unit_test(test_float16),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
