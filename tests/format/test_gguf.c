/* The GGUF reader: every value type, shards, and bad input. */
#include "build_gguf.h"

#include <math.h>
#include <time.h>

static const uint64_t matrix[] = {32, 2};
enum { F32 = 0, F16 = 1, Q8_0 = 8 };

static const char *text_of(const char *format, unsigned long long n) {
  static char text[64];
  snprintf(text, sizeof text, format, n);
  return text;
}

/* ---- Good files ---- */

static int64_t integer_of(const checkpoint *c, const char *key) {
  const setting *s = checkpoint_setting(c, key);
  assert_non_null(s);
  assert_int_equal(s->type, SETTING_INT);
  return s->integer;
}

static void test_all_value_types(void **state) {
  (void)state;
  build b;
  put_small(&b);
  checkpoint *c = open_good(write_build("small.gguf", &b));
  assert_int_equal(c->kind, CHECKPOINT_GGUF);
  assert_string_equal(c->format, "GGUF");
  assert_int_equal(integer_of(c, "t.u8"), 200);
  assert_int_equal(integer_of(c, "t.i8"), -128);
  assert_int_equal(integer_of(c, "t.u16"), 65535);
  assert_int_equal(integer_of(c, "t.i16"), -2);
  assert_int_equal(integer_of(c, "t.u32"), 4000000000);
  assert_int_equal(integer_of(c, "t.i32"), -3);
  assert_true(integer_of(c, "t.u64") == INT64_MAX);
  assert_true(integer_of(c, "t.i64") == INT64_MIN);
  assert_true(checkpoint_setting(c, "t.f32")->number == 0.5);
  assert_true(checkpoint_setting(c, "t.f64")->number == 0.1);
  assert_true(checkpoint_setting(c, "t.bool")->boolean);
  const setting *s = checkpoint_setting(c, "t.string");
  assert_string_equal(s->string.bytes, "two\nlines");
  assert_int_equal(s->string.length, 9);
  assert_memory_equal(b.bytes + s->offset + 8, "two", 3);
  s = checkpoint_setting(c, "t.numbers");
  assert_int_equal(s->type, SETTING_ARRAY);
  assert_int_equal(s->array.length, 2);
  assert_int_equal(s->array.items[1].integer, -1);
  assert_string_equal(checkpoint_setting(c, "t.strings")->array.items[0].string.bytes, "x");
  assert_null(checkpoint_setting(c, "t.none"));
  checkpoint_close(&c);
  assert_null(c);
}

static void test_tensors(void **state) {
  (void)state;
  build b;
  put_small(&b);
  checkpoint *c = open_good(write_build("small.gguf", &b));
  const tensor *a = checkpoint_tensor(c, "a"), *q = checkpoint_tensor(c, "b");
  assert_null(checkpoint_tensor(c, "c"));
  assert_int_equal(a->n_dims, 2);
  assert_int_equal(a->shape[0], 2);
  assert_int_equal(a->shape[1], 3);
  assert_int_equal(a->type, QUANT_F32);
  assert_int_equal(a->bytes, 24);
  assert_int_equal(q->type, QUANT_Q8_0);
  assert_int_equal(q->bytes, 68);
  assert_int_equal(q->offset + q->bytes, b.n);
  uint8_t block[34];
  gale_error error = {0};
  assert_int_equal(checkpoint_read(c, q, 34, block, 34, &error), GALE_OK);
  assert_memory_equal(block, b.bytes + q->offset + 34, 34);
  assert_int_equal(checkpoint_read(c, q, 34, block, 35, &error), GALE_E_ARGUMENT);
  assert_int_equal(checkpoint_read(c, q, 1, block, 34, &error), GALE_E_ARGUMENT);
  assert_int_equal(checkpoint_read(c, q, UINT64_MAX / 34 * 34, block, 34, &error), GALE_E_ARGUMENT);
  checkpoint_close(&c);
}

static void test_version_2_and_alignment(void **state) {
  (void)state;
  build b;
  const uint64_t dims[] = {1};
  put_preamble(&b, 1, 1);
  b.bytes[4] = 2;
  put_key_u32(&b, "general.alignment", 64);
  put_tensor(&b, "a", 1, dims, F32, 64);
  put_padding(&b, 64);
  put_data(&b, 68);
  checkpoint *c = open_good(write_build("small.gguf", &b));
  assert_int_equal(c->tensors[0].offset, b.n - 4);
  checkpoint_close(&c);
}

static void test_vocabulary_only(void **state) {
  (void)state;
  build b;
  put_preamble(&b, 0, 1);
  put_key_u32(&b, "x", 1);
  checkpoint *c = open_good(write_build("small.gguf", &b));
  assert_int_equal(c->n_tensors, 0);
  assert_null(checkpoint_tensor(c, "a"));
  checkpoint_close(&c);
}

/* 260,000 strings of differing length, some across the edges of the reader's window. */
static void test_large_vocabulary(void **state) {
  (void)state;
  enum { N = 260000 };
  build b;
  put_preamble(&b, 0, 1);
  put_key(&b, "tokens", GGUF_ARRAY), put_u32(&b, GGUF_STRING), put_u64(&b, N);
  FILE *f = fopen(at("large.gguf"), "wb");
  assert_non_null(f);
  fwrite(b.bytes, 1, b.n, f);
  for (int i = 0; i < N; i++) {
    char token[40];
    uint64_t n = (uint64_t)snprintf(token, sizeof token, "%d%.*s", i, i % 20, "abcdefghijklmnopqrst");
    fwrite(&n, sizeof n, 1, f);
    fwrite(token, 1, n, f);
  }
  assert_int_equal(fclose(f), 0);
  clock_t start = clock();
  checkpoint *c = open_good(at("large.gguf"));
  print_message("%d strings in %.1f ms\n", N, 1e3 * (double)(clock() - start) / CLOCKS_PER_SEC);
  const setting *s = checkpoint_setting(c, "tokens");
  assert_int_equal(s->array.length, N);
  for (int i = 0; i < N; i++) {
    char token[40];
    int n = snprintf(token, sizeof token, "%d%.*s", i, i % 20, "abcdefghijklmnopqrst");
    assert_int_equal(s->array.items[i].string.length, n);
    assert_memory_equal(s->array.items[i].string.bytes, token, n + 1);
  }
  checkpoint_close(&c);
}

/* ---- Bad input ---- */

static void shorter_than_the_magic(void **state) {
  (void)state;
  const size_t sizes[] = {0, 3, 4};
  const char *fields[] = {"magic at offset 0", "magic at offset 0", "version at offset 4"};
  for (int i = 0; i < 3; i++) {
    const char *path = write_bytes("short.gguf", GGUF_MAGIC, sizes[i]);
    refuse(path, GALE_E_FORMAT, path, fields[i], "truncated", NULL);
  }
}

static void magic_version_byte_order(void **state) {
  (void)state;
  const uint32_t versions[] = {0, 1, 4, 0x80000000u, UINT32_MAX};
  build b;
  put_small(&b);
  b.bytes[0] = 'F';
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "magic at offset 0", "is accepted", NULL);
  const struct {
    const char start[12], *what;
  } others[] = {
      {"PK\x03\x04rest", "a PyTorch checkpoint"},
      {"\x80\x02rest", "a pickled checkpoint"},
      {"tjggrest", "a GGML file from before GGUF"},
      {"alggrest", "an adapter (LoRA)"},
      {"<!DOCTYPE", "a web page"},
      {"\x02\0\0\0\0\0\0\0{}", "a safetensors file"},
  };
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    refuse(write_bytes("bad.gguf", others[i].start, sizeof others[i].start), GALE_E_FORMAT, "not a GGUF file but",
           others[i].what, NULL);
  for (int i = 0; i < 5; i++) {
    put_small(&b);
    memcpy(b.bytes + 4, &versions[i], 4);
    refuse(write_build("bad.gguf", &b), GALE_E_UNSUPPORTED, at("bad.gguf"), "version at offset 4",
           text_of("%llu; 2 and 3 are accepted", versions[i]), NULL);
  }
  put_small(&b);
  memcpy(b.bytes + 4, "\0\0\0\3", 4);
  refuse(write_build("bad.gguf", &b), GALE_E_UNSUPPORTED, at("bad.gguf"), "version at offset 4", "big-endian", NULL);
}

static void counts_absurd(void **state) {
  (void)state;
  const uint64_t counts[] = {(uint64_t)1 << 63, UINT64_MAX, 1 << 23, 100};
  build b;
  for (int i = 0; i < 4; i++) {
    put_preamble(&b, counts[i], 0);
    refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "tensor count at offset 8",
           text_of("%llu entries", counts[i]), NULL);
    put_preamble(&b, 0, counts[i]);
    refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "key count at offset 16",
           text_of("%llu entries", counts[i]), NULL);
  }
}

static void string_lengths(void **state) {
  (void)state;
  const uint64_t lengths[] = {UINT64_MAX, (uint64_t)1 << 63, 1000};
  build b;
  for (int i = 0; i < 3; i++) {
    put_preamble(&b, 0, 1);
    put_u64(&b, lengths[i]);
    put_data(&b, 40);
    refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "key at offset 24",
           text_of("a string of %llu bytes", lengths[i]), NULL);
    put_preamble(&b, 0, 1);
    put_key(&b, "text", GGUF_STRING);
    put_u64(&b, lengths[i]);
    put_data(&b, 40);
    refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "value of key \"text\" at offset 36",
           text_of("a string of %llu bytes", lengths[i]), NULL);
  }
  put_preamble(&b, 0, 1);
  put_u64(&b, 3), put(&b, "a\0b", 3);
  put_data(&b, 40);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "key at offset 24", "byte 0x00", NULL);
  put_preamble(&b, 0, 1);
  put_key_u32(&b, "", 1);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "key at offset 24", "0 characters", NULL);
}

static void arrays_and_value_types(void **state) {
  (void)state;
  build b;
  put_preamble(&b, 0, 1);
  put_key(&b, "list", GGUF_ARRAY), put_u32(&b, GGUF_U8), put_u64(&b, (uint64_t)1 << 60);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "value of key \"list\" at offset 36",
         "1152921504606846976 entries", NULL);
  put_preamble(&b, 0, 1);
  put_key(&b, "list", GGUF_ARRAY), put_u32(&b, GGUF_ARRAY), put_u64(&b, 1);
  put_u32(&b, GGUF_U8), put_u64(&b, 1), put_u8(&b, 0);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "value of key \"list\"", "array of value type 9",
         NULL);
  put_preamble(&b, 0, 1);
  put_key(&b, "list", GGUF_ARRAY), put_u32(&b, 99), put_u64(&b, 1);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "value of key \"list\"", "array of value type 99",
         NULL);
  put_preamble(&b, 0, 1);
  put_key_u32(&b, "x", 0);
  b.bytes[33] = 99;
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "value of key \"x\" at offset 33",
         "value type 99; 0 to 12", NULL);
  put_preamble(&b, 0, 1);
  put_key(&b, "flag", GGUF_BOOL), put_u8(&b, 2);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "value of key \"flag\"", "a boolean of 2", NULL);
  put_preamble(&b, 0, 1);
  put_key(&b, "big", GGUF_U64), put_u64(&b, UINT64_MAX);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "value of key \"big\"", "2^63", NULL);
}

/* The number of elements is bounded for all arrays of a file together. */
static void array_elements_in_all(void **state) {
  (void)state;
  enum { N = 3 << 20 };
  build b;
  FILE *f = fopen(at("bad.gguf"), "wb");
  assert_non_null(f);
  put_preamble(&b, 0, 2);
  for (int i = 0; i < 2; i++) {
    put_key(&b, i ? "y" : "x", GGUF_ARRAY), put_u32(&b, GGUF_U8), put_u64(&b, N);
    fwrite(b.bytes, 1, b.n, f);
    b.n = 0;
    for (int k = 0; k < N; k++) fputc(0, f);
  }
  assert_int_equal(fclose(f), 0);
  refuse(at("bad.gguf"), GALE_E_FORMAT, at("bad.gguf"), "value of key \"y\"", "4194304", NULL);
  unlink(at("bad.gguf"));
}

static void duplicates(void **state) {
  (void)state;
  build b;
  put_preamble(&b, 0, 3);
  put_key_u32(&b, "x", 1), put_key_u32(&b, "y", 1), put_key_u32(&b, "x", 2);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "key \"x\" is there twice", "offset 71", NULL);
  put_preamble(&b, 2, 0);
  put_tensor(&b, "same", 2, matrix, Q8_0, 0), put_tensor(&b, "same", 2, matrix, Q8_0, 96);
  put_padding(&b, 32), put_data(&b, 192);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "tensor \"same\" is there twice", "offset", NULL);
}

static void alignment(void **state) {
  (void)state;
  const uint32_t bad[] = {0, 1, 3, 4, 48, 131072, 0x80000000u, UINT32_MAX};
  build b;
  for (int i = 0; i < 8; i++) {
    put_preamble(&b, 0, 1);
    put_key_u32(&b, "general.alignment", bad[i]);
    refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "\"general.alignment\" at offset 49",
           "power of two from 8 to 65536", NULL);
  }
  put_preamble(&b, 0, 1);
  put_key(&b, "general.alignment", GGUF_STRING), put_string(&b, "32");
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "\"general.alignment\"", "32-bit unsigned", NULL);
  put_preamble(&b, 0, 1);
  put_key(&b, "general.alignment", GGUF_U64), put_u64(&b, 32);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "\"general.alignment\"", "32-bit unsigned", NULL);
}

static void refuse_shape(uint32_t n_dims, const uint64_t *dims, uint32_t type, const char *why) {
  build b;
  put_preamble(&b, 1, 0);
  put_tensor(&b, "t", n_dims, dims, type, 0);
  put_padding(&b, 32), put_data(&b, 256);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "tensor \"t\" at offset 33", why, NULL);
}

static void dimensions(void **state) {
  (void)state;
  refuse_shape(0, NULL, F32, "0 dimensions; 1 to 4");
  refuse_shape(5, (uint64_t[]){1, 1, 1, 1, 1}, F32, "5 dimensions; 1 to 4");
  refuse_shape(2, (uint64_t[]){0, 1}, F32, "0 or negative");
  refuse_shape(2, (uint64_t[]){1, UINT64_MAX}, F32, "0 or negative");
  refuse_shape(4, (uint64_t[]){65536, 65536, 65536, 65536}, F32, "too large");
  refuse_shape(2, (uint64_t[]){(uint64_t)1 << 62, 1}, F32, "too large");
  refuse_shape(2, (uint64_t[]){(uint64_t)1 << 31, (uint64_t)1 << 33}, F16, "too large");
}

static void rows_of_part_blocks(void **state) {
  (void)state;
  refuse_shape(2, (uint64_t[]){33, 1}, Q8_0, "not whole blocks of its type (Q8_0)");
  refuse_shape(2, (uint64_t[]){16, 2}, Q8_0, "not whole blocks");
}

static void tensor_types(void **state) {
  (void)state;
  const struct {
    uint32_t type;
    const char *text;
  } types[] = {
      {4, ": Q4_2 (4) is not supported"},
      {5, ": Q4_3 (5) is"},
      {31, ": Q4_0_4_4 (31) is"},
      {16, ": IQ2_XXS (16) is"},
      {19, ": IQ1_S (19) is"},
      {21, ": IQ3_S (21) is"},
      {29, ": IQ1_M (29) is"},
      {35, ": TQ2_0 (35) is"},
      {39, ": MXFP4 (39) is"},
      {28, ": F64 (28) is"},
      {99, ": number 99 is not supported"},
      {30 + 256, ": number 286 is"},
      {UINT32_MAX, ": number 4294967295 is"},
      {0x80000000u, ": number 2147483648 is"},
  };
  build b;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    put_preamble(&b, 1, 0);
    put_tensor(&b, "t", 2, matrix, types[i].type, 0);
    put_padding(&b, 32), put_data(&b, 256);
    refuse(write_build("bad.gguf", &b), GALE_E_UNSUPPORTED, at("bad.gguf"), "type of tensor \"t\" at offset 53",
           types[i].text, "F32, F16, BF16, Q8_0, Q4_0", NULL);
  }
}

static void refuse_offset(uint64_t first, uint64_t second, const char *why) {
  build b;
  put_preamble(&b, 2, 0);
  put_tensor(&b, "t", 2, matrix, Q8_0, first), put_tensor(&b, "u", 2, matrix, Q8_0, second);
  put_padding(&b, 32), put_data(&b, 192);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "data of tensor", "offset", why, NULL);
}

static void offsets(void **state) {
  (void)state;
  refuse_offset(1, 96, "not a multiple of the alignment 32");
  refuse_offset(0, 0, "overlaps");
  refuse_offset(0, 64, "overlaps tensor \"t\"");
  refuse_offset(64, 0, "overlaps tensor \"u\"");
  refuse_offset(0, 128, "past the end of the file");
  refuse_offset(0, 192, "past the end of the file");
  refuse_offset(0, (uint64_t)1 << 40, "past the end of the file");
  refuse_offset(0, UINT64_MAX - 31, "past the end of the file");
}

static void truncated_anywhere(void **state) {
  (void)state;
  build b;
  put_small(&b);
  for (size_t n = 0; n < b.n; n++) {
    const char *path = write_bytes("short.gguf", b.bytes, n);
    refuse(path, GALE_E_FORMAT, path, "offset", NULL);
  }
}

static void truncated_while_open(void **state) {
  (void)state;
  build b;
  put_small(&b);
  checkpoint *c = open_good(write_build("shrinks.gguf", &b));
  gale_error error = {0};
  uint8_t data[68];
  assert_int_equal(truncate(at("shrinks.gguf"), (off_t)b.n - 10), 0);
  assert_int_equal(checkpoint_read(c, checkpoint_tensor(c, "b"), 0, data, 68, &error), GALE_E_IO);
  assert_non_null(strstr(error.message, at("shrinks.gguf")));
  assert_non_null(strstr(error.message, "became shorter"));
  checkpoint_close(&c);
}

static void not_finite(void **state) {
  (void)state;
  build b;
  put_preamble(&b, 0, 1);
  put_key(&b, "eps", GGUF_F32), put_f32(&b, NAN);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "value of key \"eps\" at offset 35", "not finite",
         NULL);
  put_preamble(&b, 0, 1);
  put_key(&b, "eps", GGUF_ARRAY), put_u32(&b, GGUF_F64), put_u64(&b, 1), put_f64(&b, INFINITY);
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, at("bad.gguf"), "value of key \"eps\"", "not finite", NULL);
}

/* ---- Shards ---- */

static void write_shard(const char *name, uint16_t number, uint16_t count, uint32_t n_tensors,
                        const char *tensor_name) {
  build b;
  put_preamble(&b, 1, 4);
  put_key_u16(&b, "split.no", number), put_key_u16(&b, "split.count", count);
  put_key(&b, "split.tensors.count", GGUF_I32), put_u32(&b, n_tensors);
  put_key_u32(&b, "shard", number);
  put_tensor(&b, tensor_name, 2, matrix, Q8_0, 0);
  put_padding(&b, 32);
  put_u8(&b, (uint8_t)number);
  put_data(&b, 67);
  write_build(name, &b);
}

static void write_shards(void) {
  write_shard("m-00001-of-00003.gguf", 0, 3, 3, "t0");
  write_shard("m-00002-of-00003.gguf", 1, 3, 3, "t1");
  write_shard("m-00003-of-00003.gguf", 2, 3, 3, "t2");
}

static void test_shards(void **state) {
  (void)state;
  write_shards();
  checkpoint *c = open_good(at("m-00001-of-00003.gguf"));
  assert_int_equal(c->n_files, 3);
  assert_int_equal(c->n_tensors, 3);
  assert_int_equal(checkpoint_setting(c, "shard")->integer, 0);
  for (int i = 0; i < 3; i++) {
    char name[16];
    uint8_t block[34];
    snprintf(name, sizeof name, "t%d", i);
    const tensor *t = checkpoint_tensor(c, name);
    assert_int_equal(t->file, i);
    assert_int_equal(checkpoint_read(c, t, 0, block, 34, NULL), GALE_OK);
    assert_int_equal(block[0], i);
  }
  checkpoint_close(&c);
}

static void shards(void **state) {
  (void)state;
  write_shards();
  refuse(at("m-00002-of-00003.gguf"), GALE_E_FORMAT, "m-00002-of-00003.gguf", "split.no", "m-00001-of-00003.gguf",
         NULL);
  unlink(at("m-00003-of-00003.gguf"));
  refuse(at("m-00001-of-00003.gguf"), GALE_E_IO, at("m-00003-of-00003.gguf"), "No such file", NULL);
  write_shard("m-00003-of-00003.gguf", 1, 3, 3, "t2");
  refuse(at("m-00001-of-00003.gguf"), GALE_E_FORMAT, at("m-00003-of-00003.gguf"), "split.no 1", "2 of 3 is wanted",
         NULL);
  write_shard("m-00003-of-00003.gguf", 2, 4, 3, "t2");
  refuse(at("m-00001-of-00003.gguf"), GALE_E_FORMAT, at("m-00003-of-00003.gguf"), "split.count 4", NULL);
  write_shard("m-00003-of-00003.gguf", 2, 3, 3, "t1");
  refuse(at("m-00001-of-00003.gguf"), GALE_E_FORMAT, at("m-00003-of-00003.gguf"), "\"t1\" is there twice", NULL);
  write_shard("m-00003-of-00003.gguf", 2, 3, 3, "t2");
  write_shard("m-00001-of-00003.gguf", 0, 3, 4, "t0");
  refuse(at("m-00001-of-00003.gguf"), GALE_E_FORMAT, "split.tensors.count is 4", "3 tensors", NULL);
  write_shard("absurd.gguf", 0, 65535, 1, "t0");
  refuse(at("absurd.gguf"), GALE_E_FORMAT, at("absurd.gguf"), "split.count is 65535", "-00001-of-65535.gguf", NULL);
  write_shard("absurd-00001-of-65535.gguf", 0, 65535, 1, "t0");
  refuse(at("absurd-00001-of-65535.gguf"), GALE_E_IO, "absurd-00002-of-65535.gguf", NULL);
  write_shard("bad.gguf", 3, 3, 1, "t0");
  refuse(at("bad.gguf"), GALE_E_FORMAT, at("bad.gguf"), "split.no 3 with split.count 3", NULL);
  build b;
  put_preamble(&b, 0, 1);
  put_key(&b, "split.count", GGUF_STRING), put_string(&b, "2");
  refuse(write_build("bad.gguf", &b), GALE_E_FORMAT, "\"split.count\" at offset", "an integer is accepted", NULL);
}

static void fifo_and_device(void **state) {
  (void)state;
  assert_int_equal(mkfifo(at("fifo.gguf"), 0600), 0);
  refuse(at("fifo.gguf"), GALE_E_IO, at("fifo.gguf"), "not a regular file", NULL);
  refuse("/dev/zero", GALE_E_IO, "/dev/zero", "not a regular file", NULL);
}

static void missing_and_unreadable(void **state) {
  (void)state;
  build b;
  put_small(&b);
  refuse(at("nothing.gguf"), GALE_E_IO, at("nothing.gguf"), "No such file", NULL);
  refuse("", GALE_E_IO, "No such file", NULL);
  write_build("closed.gguf", &b);
  assert_int_equal(chmod(at("closed.gguf"), 0), 0);
  if (geteuid() != 0) refuse(at("closed.gguf"), GALE_E_IO, at("closed.gguf"), "Permission denied", NULL);
}

/* A file that another one takes the place of stays what it was when it was opened. */
static void replaced_while_open(void **state) {
  (void)state;
  build b;
  put_small(&b);
  checkpoint *c = open_good(write_build("old.gguf", &b));
  write_text("new.gguf", "something else");
  assert_int_equal(rename(at("new.gguf"), at("old.gguf")), 0);
  uint8_t data[68];
  const tensor *t = checkpoint_tensor(c, "b");
  assert_int_equal(checkpoint_read(c, t, 0, data, 68, NULL), GALE_OK);
  assert_memory_equal(data, b.bytes + t->offset, 68);
  checkpoint_close(&c);
}

static void test_mutations(void **state) {
  (void)state;
  uint64_t seed = 1;
  build b;
  put_small(&b);
  for (int i = 0; i < 2000; i++) {
    build bad = b;
    bad.bytes[next_random(&seed) % b.n] ^= (uint8_t)(1 + next_random(&seed) % 255);
    try_open(write_build("mutated.gguf", &bad));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_value_types),
      cmocka_unit_test(test_tensors),
      cmocka_unit_test(test_version_2_and_alignment),
      cmocka_unit_test(test_vocabulary_only),
      cmocka_unit_test(test_large_vocabulary),
      cmocka_unit_test(shorter_than_the_magic),
      cmocka_unit_test(magic_version_byte_order),
      cmocka_unit_test(counts_absurd),
      cmocka_unit_test(string_lengths),
      cmocka_unit_test(arrays_and_value_types),
      cmocka_unit_test(array_elements_in_all),
      cmocka_unit_test(duplicates),
      cmocka_unit_test(alignment),
      cmocka_unit_test(dimensions),
      cmocka_unit_test(rows_of_part_blocks),
      cmocka_unit_test(tensor_types),
      cmocka_unit_test(offsets),
      cmocka_unit_test(truncated_anywhere),
      cmocka_unit_test(truncated_while_open),
      cmocka_unit_test(not_finite),
      cmocka_unit_test(test_shards),
      cmocka_unit_test(shards),
      cmocka_unit_test(fifo_and_device),
      cmocka_unit_test(missing_and_unreadable),
      cmocka_unit_test(replaced_while_open),
      cmocka_unit_test(test_mutations),
  };
  return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
