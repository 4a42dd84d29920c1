#include "constraint/char_set.h"

#include <stdlib.h>
#include <string.h>

void char_set_add(char_set *s, uint32_t first, uint32_t last) {
  if (s->n == s->capacity) {
    size_t capacity = s->capacity ? s->capacity * 2 : 8;
    char_range *ranges = capacity > 1 << 22 ? NULL : realloc(s->ranges, capacity * sizeof *ranges);
    if (!ranges) {
      s->failed = true;
      return;
    }
    s->ranges = ranges;
    s->capacity = capacity;
  }
  s->ranges[s->n++] = (char_range){first, last};
}

void char_set_free(char_set *s) {
  free(s->ranges);
  *s = (char_set){0};
}

static int by_first(const void *a, const void *b) {
  uint32_t x = ((const char_range *)a)->first, y = ((const char_range *)b)->first;
  return (x > y) - (x < y);
}

void char_set_tidy(char_set *s) {
  if (s->n > 1) qsort(s->ranges, s->n, sizeof *s->ranges, by_first);
  size_t n = 0;
  for (size_t i = 0; i < s->n; i++) {
    char_range r = s->ranges[i];
    if (n > 0 && r.first <= s->ranges[n - 1].last + 1) {
      if (r.last > s->ranges[n - 1].last) s->ranges[n - 1].last = r.last;
    } else {
      s->ranges[n++] = r;
    }
  }
  s->n = n;
}

void char_set_invert(char_set *s) {
  char_set_tidy(s);
  char_set gaps = {.failed = s->failed};
  uint32_t from = 0;
  for (size_t i = 0; i < s->n; i++) {
    if (s->ranges[i].first > from) char_set_add(&gaps, from, s->ranges[i].first - 1);
    from = s->ranges[i].last + 1;
  }
  if (from <= LAST_CHARACTER) char_set_add(&gaps, from, LAST_CHARACTER);
  char_set_free(s);
  *s = gaps;
}

/* ---- Numbers as digits ---- */

typedef enum digit_style { DIGITS_UTF8, DIGITS_HEX } digit_style;

/* n digits of `bits` each; the first of UTF-8's has the bits of `lead` too. */
typedef struct digits {
  digit_style style;
  int bits, n;
  unsigned lead;
} digits;

static expr *digit(expr_pool *p, const digits *d, bool leading, uint32_t first, uint32_t last) {
  if (d->style == DIGITS_UTF8) {
    unsigned base = leading ? d->lead : 0x80;
    return expr_range(p, base | first, base | last);
  }
  byte_set set = {{0}};
  for (uint32_t v = first; v <= last; v++) {
    byte_set_add(&set, v < 10 ? '0' + v : 'a' + v - 10, v < 10 ? '0' + v : 'a' + v - 10);
    if (v >= 10) byte_set_add(&set, 'A' + v - 10, 'A' + v - 10);
  }
  return expr_set(p, set);
}

static expr *digits_between(expr_pool *p, const digits *d, int left, uint32_t low, uint32_t high) {
  if (left == 0) return p->empty;
  uint32_t most = (UINT32_C(1) << (d->bits * (left - 1))) - 1;
  uint32_t first = low >> (d->bits * (left - 1)), last = high >> (d->bits * (left - 1));
  bool leading = left == d->n;
  low &= most;
  high &= most;
  if (first == last) return expr_seq(p, digit(p, d, leading, first, first), digits_between(p, d, left - 1, low, high));
  expr *parts = p->none;
  if (low > 0) {
    parts = expr_seq(p, digit(p, d, leading, first, first), digits_between(p, d, left - 1, low, most));
    first++;
  }
  if (high < most) {
    parts = expr_or(p, parts, expr_seq(p, digit(p, d, leading, last, last), digits_between(p, d, left - 1, 0, high)));
    last--;
  }
  if (first > last) return parts;
  return expr_or(p, parts, expr_seq(p, digit(p, d, leading, first, last), digits_between(p, d, left - 1, 0, most)));
}

/* ---- UTF-8 ---- */

static expr *utf8_range(expr_pool *p, uint32_t first, uint32_t last) {
  static const struct {
    uint32_t first, last;
    digits form;
  } LENGTHS[] = {
      {0, 0x7F, {DIGITS_UTF8, 7, 1, 0}},
      {0x80, 0x7FF, {DIGITS_UTF8, 6, 2, 0xC0}},
      {0x800, 0xD7FF, {DIGITS_UTF8, 6, 3, 0xE0}},
      {0xE000, 0xFFFF, {DIGITS_UTF8, 6, 3, 0xE0}},
      {0x10000, 0x10FFFF, {DIGITS_UTF8, 6, 4, 0xF0}},
  };
  expr *all = p->none;
  for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
    uint32_t low = first > LENGTHS[i].first ? first : LENGTHS[i].first;
    uint32_t high = last < LENGTHS[i].last ? last : LENGTHS[i].last;
    if (low <= high) all = expr_or(p, all, digits_between(p, &LENGTHS[i].form, LENGTHS[i].form.n, low, high));
  }
  return all;
}

static void check(expr_pool *p, const char_set *s) {
  if (!s->failed) return;
  expr_fail(p, "out of memory");
  p->no_memory = true;
}

expr *chars_utf8(expr_pool *p, char_set *s) {
  char_set_tidy(s);
  check(p, s);
  expr *all = p->none;
  for (size_t i = 0; i < s->n && !p->failed; i++)
    all = expr_or(p, all, utf8_range(p, s->ranges[i].first, s->ranges[i].last));
  return all;
}

/* ---- JSON ---- */

static bool has(const char_set *s, uint32_t c) {
  for (size_t i = 0; i < s->n; i++)
    if (s->ranges[i].first <= c && c <= s->ranges[i].last) return true;
  return false;
}

/* What stands behind \u for characters of a range. */
static expr *hex_range(expr_pool *p, uint32_t first, uint32_t last) {
  static const digits HEX = {DIGITS_HEX, 4, 4, 0};
  expr *all = p->none;
  if (first < 0xD800) all = digits_between(p, &HEX, 4, first, last < 0xD800 ? last : 0xD7FF);
  if (first < 0xE000) first = 0xE000;
  if (first <= last && first < 0x10000)
    all = expr_or(p, all, digits_between(p, &HEX, 4, first, last < 0x10000 ? last : 0xFFFF));
  if (last < 0x10000) return all;
  if (first < 0x10000) first = 0x10000;
  uint32_t low = first - 0x10000, high = last - 0x10000;
  while (low <= high && !p->failed) { /* at most three times: a part of a high half's, whole ones, a part */
    uint32_t from = low >> 10, to = from, from_low = low & 0x3FF, to_low = 0x3FF;
    if (from == high >> 10)
      to_low = high & 0x3FF;
    else if (from_low == 0)
      to = (high & 0x3FF) == 0x3FF ? high >> 10 : (high >> 10) - 1;
    expr *parts[] = {digits_between(p, &HEX, 4, 0xD800 + from, 0xD800 + to), expr_string(p, "\\u"),
                     digits_between(p, &HEX, 4, 0xDC00 + from_low, 0xDC00 + to_low)};
    all = expr_or(p, all, expr_list(p, parts, 3));
    low = (to << 10) + to_low + 1;
  }
  return all;
}

expr *chars_json(expr_pool *p, char_set *s, bool escaped) {
  static const char SHORT[] = "\b\f\n\r\t\"\\/", LETTERS[] = "bfnrt\"\\/";
  char_set_tidy(s);
  check(p, s);
  expr *plain = p->none, *coded = p->none;
  static const char_range PLAIN[] = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, LAST_CHARACTER}};
  const char_range coded_parts[] = {{0, 0x1F}, {escaped ? 0x20 : 0x80, LAST_CHARACTER}};
  for (size_t i = 0; i < s->n && !p->failed; i++) {
    char_range r = s->ranges[i];
    for (int k = 0; k < 3; k++) {
      uint32_t low = r.first > PLAIN[k].first ? r.first : PLAIN[k].first;
      uint32_t high = r.last < PLAIN[k].last ? r.last : PLAIN[k].last;
      if (low <= high) plain = expr_or(p, plain, utf8_range(p, low, high));
    }
    for (int k = 0; k < 2; k++) {
      uint32_t low = r.first > coded_parts[k].first ? r.first : coded_parts[k].first;
      uint32_t high = r.last < coded_parts[k].last ? r.last : coded_parts[k].last;
      if (low <= high) coded = expr_or(p, coded, hex_range(p, low, high));
    }
  }
  byte_set letters = {{0}};
  for (int i = 0; SHORT[i]; i++)
    if (has(s, (unsigned char)SHORT[i])) byte_set_add(&letters, (unsigned char)LETTERS[i], (unsigned char)LETTERS[i]);
  expr *behind = expr_or(p, expr_set(p, letters), expr_seq(p, expr_string(p, "u"), coded));
  return expr_or(p, plain, expr_seq(p, expr_string(p, "\\"), behind));
}
