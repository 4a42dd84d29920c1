/* Writes GGUF files field by field, right or wrong. */
#ifndef TESTS_FORMAT_BUILD_GGUF_H
#define TESTS_FORMAT_BUILD_GGUF_H

#include "files.h"

#include "format/gguf.h"

typedef struct build {
  uint8_t bytes[16384];
  size_t n;
} build;

static inline void put(build *b, const void *from, size_t n) {
  assert_true(b->n + n <= sizeof b->bytes);
  memcpy(b->bytes + b->n, from, n);
  b->n += n;
}
static inline void put_u8(build *b, uint8_t v) {
  put(b, &v, sizeof v);
}
static inline void put_u16(build *b, uint16_t v) {
  put(b, &v, sizeof v);
}
static inline void put_u32(build *b, uint32_t v) {
  put(b, &v, sizeof v);
}
static inline void put_u64(build *b, uint64_t v) {
  put(b, &v, sizeof v);
}
static inline void put_f32(build *b, float v) {
  put(b, &v, sizeof v);
}
static inline void put_f64(build *b, double v) {
  put(b, &v, sizeof v);
}
static inline void put_string(build *b, const char *s) {
  put_u64(b, strlen(s));
  put(b, s, strlen(s));
}

static inline void put_preamble(build *b, uint64_t n_tensors, uint64_t n_keys) {
  b->n = 0;
  put(b, GGUF_MAGIC, 4);
  put_u32(b, 3);
  put_u64(b, n_tensors);
  put_u64(b, n_keys);
}

/* A key and the type of its value, which is to follow. */
static inline void put_key(build *b, const char *key, uint32_t type) {
  put_string(b, key);
  put_u32(b, type);
}

static inline void put_key_u32(build *b, const char *key, uint32_t v) {
  put_key(b, key, GGUF_U32);
  put_u32(b, v);
}

static inline void put_key_u16(build *b, const char *key, uint16_t v) {
  put_key(b, key, GGUF_U16);
  put_u16(b, v);
}

/* dims innermost first, as in the file. */
static inline void put_tensor(build *b, const char *name, uint32_t n_dims, const uint64_t *dims, uint32_t type,
                              uint64_t offset) {
  put_string(b, name);
  put_u32(b, n_dims);
  for (uint32_t i = 0; i < n_dims; i++) put_u64(b, dims[i]);
  put_u32(b, type);
  put_u64(b, offset);
}

static inline void put_padding(build *b, size_t alignment) {
  while (b->n % alignment) put_u8(b, 0);
}

static inline void put_data(build *b, size_t n) {
  for (size_t i = 0; i < n; i++) put_u8(b, (uint8_t)(i * 7 + 1));
}

/* A whole file with every value type and two tensors: "a" F32 [2, 3] and "b" Q8_0 [2, 32]. */
static inline void put_small(build *b) {
  const uint64_t a[] = {3, 2}, q[] = {32, 2};
  put_preamble(b, 2, 14);
  put_key(b, "t.u8", GGUF_U8), put_u8(b, 200);
  put_key(b, "t.i8", GGUF_I8), put_u8(b, 0x80);
  put_key(b, "t.u16", GGUF_U16), put_u16(b, 65535);
  put_key(b, "t.i16", GGUF_I16), put_u16(b, 0xFFFE);
  put_key(b, "t.u32", GGUF_U32), put_u32(b, 4000000000u);
  put_key(b, "t.i32", GGUF_I32), put_u32(b, 0xFFFFFFFD);
  put_key(b, "t.f32", GGUF_F32), put_f32(b, 0.5f);
  put_key(b, "t.bool", GGUF_BOOL), put_u8(b, 1);
  put_key(b, "t.string", GGUF_STRING), put_string(b, "two\nlines");
  put_key(b, "t.u64", GGUF_U64), put_u64(b, INT64_MAX);
  put_key(b, "t.i64", GGUF_I64), put_u64(b, (uint64_t)INT64_MIN);
  put_key(b, "t.f64", GGUF_F64), put_f64(b, 0.1);
  put_key(b, "t.numbers", GGUF_ARRAY), put_u32(b, GGUF_I16), put_u64(b, 2), put_u16(b, 7), put_u16(b, 0xFFFF);
  put_key(b, "t.strings", GGUF_ARRAY), put_u32(b, GGUF_STRING), put_u64(b, 2), put_string(b, "x"), put_string(b, "");
  put_tensor(b, "a", 2, a, 0, 0);
  put_tensor(b, "b", 2, q, 8, 32);
  put_padding(b, 32);
  put_data(b, 24);
  put_padding(b, 32);
  put_data(b, 68);
}

static inline const char *write_build(const char *name, const build *b) {
  return write_bytes(name, b->bytes, b->n);
}

#endif
