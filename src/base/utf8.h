/* UTF-8: reading, writing and checking it. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAR_INVALID UINT32_MAX

/* Reads the character at s, where n >= 1 bytes are left. Returns its length, 1 to 4, and sets *c. Bytes
 * that cannot begin a character give minus the length of the longest prefix that could (at least 1), as
 * the Unicode Standard replaces them; bytes that end too early give 0. */
static inline int utf8_decode(const char *s, size_t n, uint32_t *c) {
  unsigned first = (unsigned char)s[0];
  if (first < 0x80) {
    *c = first;
    return 1;
  }
  if (first < 0xC2 || first > 0xF4) return -1;
  int length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  /* The second byte alone rules out overlong forms, surrogates and what lies past U+10FFFF. */
  unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  uint32_t bits = first & (0x7Fu >> length);
  for (int i = 1; i < length; i++) {
    if ((size_t)i == n) return 0;
    unsigned byte = (unsigned char)s[i];
    if (byte < low || byte > high) return -i;
    bits = bits << 6 | (byte & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  *c = bits;
  return length;
}

/* The character at s, where n >= 1 bytes are left, or CHAR_INVALID of length 1. */
static inline uint32_t utf8_at(const char *s, size_t n, size_t *length) {
  uint32_t c = CHAR_INVALID;
  int got = utf8_decode(s, n, &c);
  *length = got > 0 ? (size_t)got : 1;
  return got > 0 ? c : CHAR_INVALID;
}

/* Writes c < 0x110000 and returns its length. */
static inline int utf8_encode(uint32_t c, char to[4]) {
  if (c < 0x80) {
    to[0] = (char)c;
    return 1;
  }
  int length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (int i = length - 1; i > 0; i--, c >>= 6) to[i] = (char)(0x80 | (c & 0x3F));
  to[0] = (char)((0xF00u >> length & 0xFF) | c);
  return length;
}

static inline bool utf8_valid(const char *s, size_t n) {
  for (size_t i = 0; i < n;) {
    uint32_t c;
    int length = utf8_decode(s + i, n - i, &c);
    if (length <= 0) return false;
    i += (size_t)length;
  }
  return true;
}

#endif
