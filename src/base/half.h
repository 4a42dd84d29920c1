/* 16-bit floats, converted in plain integer arithmetic: exact towards float, rounded to nearest even
 * towards 16 bits. Subnormal values are kept. */
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float float_from_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static inline uint32_t float_to_bits(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

/* IEEE 754 binary16. */
static inline float half_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = h & 0x7FFFu;
  if (magnitude >= 0x7C00u) { /* as the hardware does, a signalling NaN comes out quiet */
    uint32_t quiet = magnitude > 0x7C00u ? 0x400000u : 0;
    return float_from_bits(sign | 0x7F800000u | quiet | (magnitude & 0x3FFu) << 13);
  }
  if (magnitude < 0x400u) {
    float f = (float)magnitude * 0x1p-24f;
    return sign ? -f : f;
  }
  return float_from_bits(sign | ((magnitude << 13) + (112u << 23)));
}

static inline uint16_t half_from_float(float f) {
  uint32_t bits = float_to_bits(f), magnitude = bits & 0x7FFFFFFFu;
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
  if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu));
  if (magnitude >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u);
  if (magnitude < 0x38800000u) { /* adding 0.5 leaves the value in units of 2^-24 in the low bits, rounded */
    uint32_t sum = float_to_bits(float_from_bits(magnitude) + 0.5f);
    return (uint16_t)(sign | (sum - 0x3F000000u));
  }
  uint32_t odd = magnitude >> 13 & 1u;
  return (uint16_t)(sign | ((magnitude + 0xFFFu + odd - (112u << 23)) >> 13));
}

/* bfloat16: the upper half of a float. */
static inline float bfloat_to_float(uint16_t b) {
  return float_from_bits((uint32_t)b << 16);
}

static inline uint16_t bfloat_from_float(float f) {
  uint32_t bits = float_to_bits(f);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(bits >> 16 | 0x40u);
  return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

#endif
