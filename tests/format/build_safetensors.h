/* Writes safetensors files and the directories around them. */
#ifndef TESTS_FORMAT_BUILD_SAFETENSORS_H
#define TESTS_FORMAT_BUILD_SAFETENSORS_H

#include "files.h"

/* A file of a header and n_data bytes 1, 2, 3 ... */
static inline const char *write_safetensors(const char *name, const char *header, size_t n_data) {
  char bytes[8192];
  uint64_t n = strlen(header);
  assert_true(8 + n + n_data <= sizeof bytes);
  memcpy(bytes, &n, 8);
  memcpy(bytes + 8, header, n);
  for (size_t i = 0; i < n_data; i++) bytes[8 + n + i] = (char)(i + 1);
  return write_bytes(name, bytes, 8 + n + n_data);
}

/* One F32 tensor of [2, 3]. */
static inline const char *write_one(const char *name, const char *tensor_name) {
  char header[256];
  snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}", tensor_name);
  return write_safetensors(name, header, 24);
}

/* A scalar, three supported types out of order, and metadata: 4 + 8 + 6 + 2 bytes. */
static const char small_header[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                                   "\"half\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[12,18]},"
                                   "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                                   "\"brain\":{\"dtype\":\"BF16\",\"shape\":[1,1,1,1],\"data_offsets\":[18,20]},"
                                   "\"m\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[4,12]}}  ";
enum { SMALL_DATA = 20 };

#endif
