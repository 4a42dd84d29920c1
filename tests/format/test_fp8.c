/* 8-bit floats with scales: what they read as, how scales are found and laid out, and bad ones. */
#include "build_safetensors.h"

#include <math.h>

static int start(void **state) {
  if (make_directory(state)) return -1;
  write_text("config.json", "{}");
  return 0;
}

/* A file of a weight "x.weight" of all byte values in order, then scales of the given type and bytes. */
static void write_scaled(const char *weight_shape, size_t n, const char *scale_name, const char *scale_type,
                         const char *scale_shape, const void *scales, size_t scale_bytes) {
  char header[512], bytes[8192];
  snprintf(header, sizeof header,
           "{\"x.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":%s,\"data_offsets\":[0,%zu]},"
           "\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]},"
           "\"x.input_scale\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[%zu,%zu]}}",
           weight_shape, n, scale_name, scale_type, scale_shape, n, n + scale_bytes, n + scale_bytes,
           n + scale_bytes + 4);
  uint64_t length = strlen(header);
  memcpy(bytes, &length, 8);
  memcpy(bytes + 8, header, length);
  for (size_t i = 0; i < n; i++) bytes[8 + length + i] = (char)i;
  memcpy(bytes + 8 + length + n, scales, scale_bytes);
  memset(bytes + 8 + length + n + scale_bytes, 0, 4);
  write_bytes("model.safetensors", bytes, 8 + length + n + scale_bytes + 4);
}

/* The format's definition, by powers of two. */
static double e4m3(int b) {
  int exponent = b >> 3 & 15, mantissa = b & 7;
  double magnitude = exponent ? ldexp(1 + mantissa / 8.0, exponent - 7) : ldexp(mantissa, -9);
  if (exponent == 15 && mantissa == 7) return NAN;
  return b & 0x80 ? -magnitude : magnitude;
}

/* All elements of the only tensor, as float, read whole and in single elements. */
static void read_all(const checkpoint *c, quant_type type, float *to, size_t n) {
  assert_int_equal(c->n_tensors, 1);
  const tensor *t = checkpoint_tensor(c, "x.weight");
  assert_non_null(t);
  assert_int_equal(t->type, type);
  const quant_info *q = quant_get(type);
  size_t unit = (size_t)q->block_bytes;
  assert_int_equal(t->bytes, n * unit);
  uint8_t *whole = malloc(t->bytes), one[4];
  assert_non_null(whole);
  assert_int_equal(checkpoint_read(c, t, 0, whole, t->bytes, NULL), GALE_OK);
  for (size_t i = 0; i < n; i++) {
    assert_int_equal(checkpoint_read(c, t, i * unit, one, unit, NULL), GALE_OK);
    assert_memory_equal(one, whole + i * unit, unit);
  }
  q->dequantize(q, whole, to, n);
  free(whole);
}

static void expect_float(float got, float wanted) {
  if (isnan(wanted) ? !isnan(got) : got != wanted || signbit(got) != signbit(wanted))
    fail_msg("%g instead of %g", (double)got, (double)wanted);
}

static void test_every_number(void **state) {
  (void)state;
  float values[256];
  const float third = 1.0f / 3, quarter = 0.25f;
  write_scaled("[16,16]", 256, "x.weight_scale", "F32", "[]", &third, 4);
  checkpoint *c = open_good(directory);
  read_all(c, QUANT_F32, values, 256);
  for (int i = 0; i < 256; i++) expect_float(values[i], (float)e4m3(i) * third);
  checkpoint_close(&c);
  write_scaled("[16,16]", 256, "x.weight_scale", "F32", "[1]", &quarter, 4);
  c = open_good(directory);
  read_all(c, QUANT_BF16, values, 256);
  for (int i = 0; i < 256; i++) expect_float(values[i], (float)(e4m3(i) / 4));
  checkpoint_close(&c);
}

/* At the ends of BF16's range the products would no longer be exact. */
static void test_when_bfloat_is_exact(void **state) {
  (void)state;
  const struct {
    float scale;
    quant_type type;
  } cases[] = {{0x1p-117f, QUANT_BF16}, {0x1p-118f, QUANT_F32}, {0x1p118f, QUANT_BF16},
               {0x1p119f, QUANT_F32},   {3, QUANT_F32},         {0, QUANT_F32}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    float values[256];
    write_scaled("[16,16]", 256, "x.weight_scale", "F32", "[]", &cases[i].scale, 4);
    checkpoint *c = open_good(directory);
    read_all(c, cases[i].type, values, 256);
    for (int k = 0; k < 127; k++) expect_float(values[k], (float)e4m3(k) * cases[i].scale);
    checkpoint_close(&c);
  }
}

static void test_names_and_types(void **state) {
  (void)state;
  const float one_and_half = 1.5f;
  const uint16_t half = 0x3E00, bfloat = 0x3FC0;
  const uint8_t exponent = 130;
  const struct {
    const char *name, *type;
    const void *bytes;
    size_t n;
    double scale;
  } cases[] = {{"x.weight_scale_inv", "F32", &one_and_half, 4, 1.5}, {"x.weight_scale", "F16", &half, 2, 1.5},
               {"x.qscale_weight", "BF16", &bfloat, 2, 1.5},         {"x.scale", "F32", &one_and_half, 4, 1.5},
               {"x.weight_scale", "F8_E8M0", &exponent, 1, 8},       {"x.weight_scale", "U8", &exponent, 1, 8}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    float values[256];
    write_scaled("[256,1]", 256, cases[i].name, cases[i].type, "[]", cases[i].bytes, cases[i].n);
    checkpoint *c = open_good(directory);
    read_all(c, cases[i].scale == 8 ? QUANT_BF16 : QUANT_F32, values, 256);
    for (int k = 0; k < 256; k++) expect_float(values[k], (float)(e4m3(k) * cases[i].scale));
    checkpoint_close(&c);
  }
}

/* Element (r, c) of a matrix of `columns` must have scale r / rows_each * across + c / columns_each of 3, 5, 7 ... */
static void expect_grid(const char *shape, size_t n, const char *scale_shape, size_t n_scales, int columns,
                        int rows_each, int columns_each, int across) {
  float scales[256], values[2048];
  for (size_t i = 0; i < n_scales; i++) scales[i] = (float)(2 * i + 3);
  write_scaled(shape, n, "x.weight_scale_inv", "F32", scale_shape, scales, n_scales * 4);
  checkpoint *c = open_good(directory);
  read_all(c, QUANT_F32, values, n);
  for (int i = 0; i < (int)n; i++) {
    int row = i / columns, column = i % columns;
    expect_float(values[i], (float)e4m3(i % 256) * scales[row / rows_each * across + column / columns_each]);
  }
  checkpoint_close(&c);
}

static void test_grids(void **state) {
  (void)state;
  expect_grid("[16,16]", 256, "[16]", 16, 16, 1, 16, 1);
  expect_grid("[16,16]", 256, "[16,1]", 16, 16, 1, 16, 1);
  expect_grid("[16,16]", 256, "[4,2]", 8, 16, 4, 8, 2);
  expect_grid("[4,200]", 800, "[1,2]", 2, 200, 4, 128, 2); /* the last block of 128 is cut short */
  expect_grid("[200,4]", 800, "[2,1]", 2, 4, 128, 4, 1);
  expect_grid("[4,8,8]", 256, "[4,1,1]", 4, 8, 8, 8, 1); /* experts with a scale each */
  expect_grid("[4,8,8]", 256, "[4]", 4, 8, 8, 8, 1);
  expect_grid("[4,8,8]", 256, "[4,2,2]", 16, 8, 4, 4, 2);
  write_text("config.json", "{\"quantization_config\":{\"weight_block_size\":[16,24]}}");
  expect_grid("[20,40]", 800, "[2,2]", 4, 40, 16, 24, 2);
  write_text("config.json", "{\"quantization_config\":{\"weight_block_size\":[0,-1]}}");
  expect_grid("[20,40]", 800, "[2,2]", 4, 40, 10, 20, 2);
}

static void test_scale_in_another_shard(void **state) {
  (void)state;
  write_safetensors("x1.safetensors", "{\"x.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":[1,2],\"data_offsets\":[0,2]}}",
                    2);
  write_safetensors("x2.safetensors", "{\"x.weight_scale\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[0,2]}}",
                    2);
  write_text("model.safetensors.index.json",
             "{\"weight_map\":{\"x.weight\":\"x1.safetensors\",\"x.weight_scale\":\"x2.safetensors\"}}");
  checkpoint *c = open_good(directory);
  float values[2];
  read_all(c, QUANT_F32, values, 2);
  checkpoint_close(&c);
}

static void test_bad_scales(void **state) {
  (void)state;
  const float scales[8] = {1, 1, 1, 1, 1, 1, 1, 1}, infinite = INFINITY;
  const char *path = at("model.safetensors");
  const char *const shapes[] = {"[3]", "[5,1]", "[1,16,1]", "[2,2,2]", "[1,7]"};
  const size_t counts[] = {3, 5, 16, 8, 7};
  for (int i = 0; i < 5; i++) {
    float many[16];
    for (int k = 0; k < 16; k++) many[k] = scales[k % 8];
    write_scaled("[16,16]", 256, "x.weight_scale", "F32", shapes[i], many, counts[i] * 4);
    refuse(directory, GALE_E_FORMAT, path, "x.weight_scale", "offset", "no grid of scales over \"x.weight\"", NULL);
  }
  write_scaled("[16,16]", 256, "x.weight_scale", "F32", "[]", &infinite, 4);
  refuse(directory, GALE_E_FORMAT, path, "x.weight_scale", "offset", "scale 0 is not finite", NULL);
  write_scaled("[16,16]", 256, "x.weight_scale", "F8_E8M0", "[]", "\xFF", 1);
  refuse(directory, GALE_E_FORMAT, path, "scale 0 is not finite", NULL);
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, start, remove_directory)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_A_DIRECTORY(test_every_number),           IN_A_DIRECTORY(test_when_bfloat_is_exact),
      IN_A_DIRECTORY(test_names_and_types),        IN_A_DIRECTORY(test_grids),
      IN_A_DIRECTORY(test_scale_in_another_shard), IN_A_DIRECTORY(test_bad_scales),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
