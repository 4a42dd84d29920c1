/* The properties of characters that the pre-tokenisers ask for. */
#ifndef BASE_UNICODE_H
#define BASE_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  CHAR_UPPER = 1,        /* Lu, Lt */
  CHAR_LOWER = 2,        /* Ll */
  CHAR_LETTER_OTHER = 4, /* Lm, Lo */
  CHAR_MARK = 8,         /* M */
  CHAR_NUMBER = 16,      /* N */
  CHAR_SPACE = 32,       /* White_Space: U+001C to U+001F are not in it */
  CHAR_OTHER = 64,       /* neither letter, number nor white space; marks are */
  CHAR_SYMBOL = 128,     /* P, and $ + < = > ^ ~ | */
  CHAR_LETTER = CHAR_UPPER | CHAR_LOWER | CHAR_LETTER_OTHER,
};

extern const uint8_t unicode_index[0x110000 / 128];
extern const uint8_t unicode_pages[][128];

/* c < 0x110000 */
static inline unsigned unicode_flags(uint32_t c) {
  return unicode_pages[unicode_index[c >> 7]][c & 127];
}

#endif
