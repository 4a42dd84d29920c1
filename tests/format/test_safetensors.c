/* The safetensors reader and its sets of shards: good files and bad input. */
#include "build_safetensors.h"

static int start(void **state) {
  if (make_directory(state)) return -1;
  write_text("config.json", "{}");
  return 0;
}

static void test_small(void **state) {
  (void)state;
  write_safetensors("model.safetensors", small_header, SMALL_DATA);
  checkpoint *c = open_good(directory);
  assert_int_equal(c->kind, CHECKPOINT_HF);
  assert_int_equal(c->n_tensors, 4);
  const char *const names[] = {"scalar", "m", "half", "brain"};
  const quant_type types[] = {QUANT_F32, QUANT_F32, QUANT_F16, QUANT_BF16};
  const int dims[] = {1, 2, 1, 4};
  const unsigned char first[] = {1, 5, 13, 19};
  for (int i = 0; i < 4; i++) {
    const tensor *t = &c->tensors[i];
    unsigned char data[8];
    assert_string_equal(t->name, names[i]);
    assert_int_equal(t->type, types[i]);
    assert_int_equal(t->n_dims, dims[i]);
    assert_int_equal(checkpoint_read(c, t, 0, data, t->bytes, NULL), GALE_OK);
    assert_int_equal(data[0], first[i]);
  }
  assert_int_equal(checkpoint_tensor(c, "scalar")->shape[0], 1);
  assert_int_equal(checkpoint_tensor(c, "half")->shape[0], 3);
  checkpoint_close(&c);
}

static void test_foreign_types(void **state) {
  (void)state;
  write_safetensors("model.safetensors",
                    "{\"m\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                    "\"i\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[4,20]},"
                    "\"e\":{\"dtype\":\"F8_E5M2\",\"shape\":[2],\"data_offsets\":[20,22]},"
                    "\"f\":{\"dtype\":\"F8_E4M3\",\"shape\":[1,2],\"data_offsets\":[22,24]},"
                    "\"k.input_scale\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[24,25]}}",
                    25);
  checkpoint *c = open_good(directory);
  assert_int_equal(c->n_tensors, 1);
  assert_null(checkpoint_tensor(c, "i"));
  assert_string_equal(checkpoint_foreign(c, "i"), "I64");
  assert_string_equal(checkpoint_foreign(c, "e"), "F8_E5M2");
  assert_string_equal(checkpoint_foreign(c, "f"), "F8_E4M3 without a scale");
  assert_string_equal(checkpoint_foreign(c, "k.input_scale"), "BOOL");
  assert_null(checkpoint_foreign(c, "m"));
  assert_null(checkpoint_foreign(c, "x"));
  checkpoint_close(&c);
}

/* Tensors without elements may lie anywhere, also inside another's range. */
static void test_no_elements(void **state) {
  (void)state;
  write_safetensors("model.safetensors",
                    "{\"z\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                    "\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
                    "\"m\":{\"dtype\":\"BF16\",\"shape\":[3,0,5],\"data_offsets\":[4,4]},"
                    "\"q\":{\"dtype\":\"F8_E4M3\",\"shape\":[0,2],\"data_offsets\":[4,4]},"
                    "\"n\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[8,8]},"
                    "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                    8);
  checkpoint *c = open_good(directory);
  assert_int_equal(c->n_tensors, 2);
  assert_int_equal(checkpoint_tensor(c, "b")->offset - checkpoint_tensor(c, "z")->offset, 4);
  assert_string_equal(checkpoint_foreign(c, "a"), "F32 with 0 elements");
  assert_string_equal(checkpoint_foreign(c, "m"), "BF16 with 0 elements");
  assert_string_equal(checkpoint_foreign(c, "q"), "F8_E4M3 with 0 elements");
  assert_string_equal(checkpoint_foreign(c, "n"), "I64 with 0 elements");
  checkpoint_close(&c);
  write_safetensors("model.safetensors", "{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0);
  c = open_good(directory);
  assert_int_equal(c->n_tensors, 0);
  checkpoint_close(&c);
}

/* ---- Sets of files ---- */

static const char map_of_two[] =
    "{\"metadata\":{\"total_size\":48},\"weight_map\":{\"a\":\"x1.safetensors\",\"b\":\"x2.safetensors\"}}";

static void test_index(void **state) {
  (void)state;
  write_one("model.safetensors", "not_this");
  write_one("x1.safetensors", "a");
  write_one("x2.safetensors", "b");
  write_text("model.safetensors.index.json", map_of_two);
  checkpoint *c = open_good(directory);
  assert_int_equal(c->n_files, 2);
  assert_int_equal(c->n_tensors, 2);
  assert_int_equal(checkpoint_tensor(c, "b")->file, 1);
  checkpoint_close(&c);
}

static void test_numbered_without_index(void **state) {
  (void)state;
  write_one("model-00001-of-00002.safetensors", "a");
  write_one("model-00002-of-00002.safetensors", "b");
  checkpoint *c = open_good(directory);
  assert_int_equal(c->n_tensors, 2);
  checkpoint_close(&c);
}

static void test_single_of_any_name(void **state) {
  (void)state;
  write_one("model-of-mine.safetensors", "a");
  checkpoint *c = open_good(directory);
  assert_non_null(checkpoint_tensor(c, "a"));
  checkpoint_close(&c);
}

/* ---- Bad input ---- */

static void duplicate_names(void **state) {
  (void)state;
  const char *path = write_safetensors("model.safetensors",
                                       "{\"m\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                                       "\"m\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                                       8);
  refuse(directory, GALE_E_FORMAT, path, "duplicate", "\"m\"", "offset", NULL);
  write_one("model-00001-of-00002.safetensors", "a");
  write_one("model-00002-of-00002.safetensors", "a");
  unlink(path);
  refuse(directory, GALE_E_FORMAT, "model-00002-of-00002.safetensors", "\"a\" is there twice", NULL);
}

static void truncated_anywhere(void **state) {
  (void)state;
  char bytes[1024];
  write_safetensors("model.safetensors", small_header, SMALL_DATA);
  FILE *f = fopen(at("model.safetensors"), "rb");
  size_t size = fread(bytes, 1, sizeof bytes, f);
  fclose(f);
  for (size_t n = 0; n < size; n++) {
    write_bytes("model.safetensors", bytes, n);
    refuse(directory, GALE_E_FORMAT, at("model.safetensors"), "offset", NULL);
  }
}

static void shards(void **state) {
  (void)state;
  write_one("model-00001-of-00003.safetensors", "a");
  write_one("model-00003-of-00003.safetensors", "c");
  refuse(directory, GALE_E_IO, "model-00002-of-00003.safetensors", "No such file", NULL);
  write_one("model-00001-of-99999.safetensors", "a");
  unlink(at("model-00001-of-00003.safetensors"));
  unlink(at("model-00003-of-00003.safetensors"));
  refuse(directory, GALE_E_IO, "model-00002-of-99999.safetensors", "No such file", NULL);
  write_text("model.safetensors.index.json", map_of_two);
  refuse(directory, GALE_E_IO, at("x1.safetensors"), "No such file", NULL);
  write_one("x1.safetensors", "b");
  write_one("x2.safetensors", "a");
  refuse(directory, GALE_E_FORMAT, at("model.safetensors.index.json"), "weight_map entry \"a\"",
         "x1.safetensors has no such tensor", NULL);
  write_text("model.safetensors.index.json", "{\"weight_map\":{}}");
  refuse(directory, GALE_E_FORMAT, at("model.safetensors.index.json"), "key \"weight_map\"", NULL);
}

static void lengths(void **state) {
  (void)state;
  const uint64_t lengths[] = {(uint64_t)1 << 63, UINT64_MAX, 100000001, 1000};
  const char *path = write_bytes("model.safetensors", "\2\0\0", 3);
  refuse(directory, GALE_E_FORMAT, path, "truncated", "offset 0", NULL);
  for (int i = 0; i < 4; i++) {
    char bytes[64] = {0}, number[32];
    memcpy(bytes, &lengths[i], 8);
    snprintf(number, sizeof number, "%llu", (unsigned long long)lengths[i]);
    write_bytes("model.safetensors", bytes, sizeof bytes);
    refuse(directory, GALE_E_FORMAT, path, "header length at offset 0", number, "100000000", NULL);
  }
}

static void text(void **state) {
  (void)state;
  const char *path = at("model.safetensors");
  char padded[16] = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
  padded[0] = 4;
  write_bytes("model.safetensors", padded, 12);
  refuse(directory, GALE_E_FORMAT, path, "JSON at line 1, offset", NULL);
  write_safetensors("model.safetensors", "{\"\xFF\":1}", 0);
  refuse(directory, GALE_E_FORMAT, path, "JSON at line 1", "offset", NULL);
  write_safetensors("model.safetensors", "{\"a\\u0000b\":1}", 0);
  refuse(directory, GALE_E_FORMAT, path, "JSON at line 1", "NUL byte", NULL);
  write_safetensors("model.safetensors", "[]", 0);
  refuse(directory, GALE_E_FORMAT, path, "an object is accepted", NULL);
  write_safetensors("model.safetensors", "{} x", 0);
  refuse(directory, GALE_E_FORMAT, path, "JSON at line 1, offset", NULL);
  char deep[400];
  memset(deep, '[', sizeof deep - 1);
  deep[sizeof deep - 1] = 0;
  write_safetensors("model.safetensors", deep, 0);
  refuse(directory, GALE_E_FORMAT, path, "JSON at line 1, offset 72", "nested deeper than 64", NULL);
}

/* One entry "t" with 8 bytes of data. */
static void refuse_entry(gale_status status, const char *dtype, const char *shape, const char *offsets,
                         const char *why) {
  char header[256];
  snprintf(header, sizeof header, "{\"t\":{\"dtype\":%s,\"shape\":%s,\"data_offsets\":%s}}", dtype, shape, offsets);
  const char *path = write_safetensors("model.safetensors", header, 8);
  refuse(directory, status, path, "tensor \"t\"", "offset", why, NULL);
}

static void entries(void **state) {
  (void)state;
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[2]", "[8,0]", "data_offsets");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[2]", "[-8,0]", "data_offsets");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[2]", "[0,16]", "the 8 bytes of data");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[2]", "[0,9223372036854775807]", "data_offsets");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[2]", "[0]", "two integers");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[2]", "[0,8.0]", "two integers");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[3]", "[0,8]", "8 bytes, but dtype and shape make 12");
  refuse_entry(GALE_E_FORMAT, "\"F16\"", "[2]", "[0,8]", "make 4");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[1]", "[4,8]", "a gap at offset");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[0]", "[0,8]", "8 bytes, but dtype and shape make 0");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[-1]", "[0,8]", "dimensions of 0 and more");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[4294967296,4294967296,0]", "[0,0]", "too large");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[1,1,1,1,2]", "[0,8]", "up to 4 dimensions");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "2", "[0,8]", "up to 4 dimensions");
  refuse_entry(GALE_E_FORMAT, "\"F32\"", "[4294967296,4294967296]", "[0,8]", "too large");
  refuse_entry(GALE_E_FORMAT, "1", "[2]", "[0,8]", "a string is accepted");
  refuse_entry(GALE_E_UNSUPPORTED, "\"F31\"", "[2]", "[0,8]", "F32, F16, BF16, F8_E4M3 and");
  refuse_entry(GALE_E_FORMAT, "\"I64\"", "[2]", "[0,8]", "make 16");
  const char *path = write_safetensors("model.safetensors", "{\"t\":{\"data_offsets\":[0,99999999999999999999]}}", 0);
  refuse(directory, GALE_E_FORMAT, path, "offset", "\"data_offsets\": an integer beyond 64 bits", NULL);
  write_safetensors("model.safetensors", "{\"t\":5}", 0);
  refuse(directory, GALE_E_FORMAT, path, "tensor \"t\"", "an object is accepted", NULL);
}

static void cover(void **state) {
  (void)state;
  const char *path = write_safetensors("model.safetensors",
                                       "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                                       "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
                                       12);
  refuse(directory, GALE_E_FORMAT, path, "tensor \"b\"", "an overlap at offset", NULL);
  write_safetensors("model.safetensors", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 12);
  refuse(directory, GALE_E_FORMAT, path, "data at offset", "4 bytes belong to no tensor", NULL);
  write_safetensors("model.safetensors", "{}", 12);
  refuse(directory, GALE_E_FORMAT, path, "12 bytes belong to no tensor", NULL);
}

static void refuse_map(gale_status status, const char *value, const char *why) {
  char map[256];
  snprintf(map, sizeof map, "{\"weight_map\":{\"a\":%s}}", value);
  write_text("model.safetensors.index.json", map);
  refuse(directory, status, why, NULL);
}

static void weight_map(void **state) {
  (void)state;
  const char *wanted = "weight_map entry \"a\"";
  write_one("x1.safetensors", "a");
  refuse_map(GALE_E_FORMAT, "\"../x1.safetensors\"", wanted);
  refuse_map(GALE_E_FORMAT, "\"..\"", wanted);
  refuse_map(GALE_E_FORMAT, "\"\"", wanted);
  refuse_map(GALE_E_FORMAT, "\"/etc/passwd\"", wanted);
  refuse_map(GALE_E_FORMAT, "\"sub/x1.safetensors\"", wanted);
  refuse_map(GALE_E_FORMAT, "7", wanted);
  refuse_map(GALE_E_IO, "\".\"", "not a regular file");
  assert_int_equal(mkfifo(at("fifo"), 0600), 0);
  refuse_map(GALE_E_IO, "\"fifo\"", "not a regular file");
  assert_int_equal(symlink("/dev/zero", at("device")), 0);
  refuse_map(GALE_E_IO, "\"device\"", "not a regular file");
}

static void fifo_in_place_of_weights(void **state) {
  (void)state;
  assert_int_equal(mkfifo(at("model.safetensors"), 0600), 0);
  refuse(directory, GALE_E_IO, at("model.safetensors"), "not a regular file", NULL);
}

static void test_mutations(void **state) {
  (void)state;
  uint64_t seed = 2;
  char bytes[1024];
  write_safetensors("model.safetensors", small_header, SMALL_DATA);
  FILE *f = fopen(at("model.safetensors"), "rb");
  size_t size = fread(bytes, 1, sizeof bytes, f);
  fclose(f);
  for (int i = 0; i < 2000; i++) {
    size_t place = next_random(&seed) % size;
    char old = bytes[place];
    bytes[place] = (char)(old ^ (char)(1 + next_random(&seed) % 255));
    write_bytes("model.safetensors", bytes, size);
    try_open(directory);
    bytes[place] = old;
  }
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, start, remove_directory)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_A_DIRECTORY(test_small),
      IN_A_DIRECTORY(test_foreign_types),
      IN_A_DIRECTORY(test_no_elements),
      IN_A_DIRECTORY(test_index),
      IN_A_DIRECTORY(test_numbered_without_index),
      IN_A_DIRECTORY(test_single_of_any_name),
      IN_A_DIRECTORY(duplicate_names),
      IN_A_DIRECTORY(truncated_anywhere),
      IN_A_DIRECTORY(shards),
      IN_A_DIRECTORY(lengths),
      IN_A_DIRECTORY(text),
      IN_A_DIRECTORY(entries),
      IN_A_DIRECTORY(cover),
      IN_A_DIRECTORY(weight_map),
      IN_A_DIRECTORY(fifo_in_place_of_weights),
      IN_A_DIRECTORY(test_mutations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
