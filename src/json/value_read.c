#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "json/value_index.h"
#include "json/value_number.h"

enum {
  MOST_DIGITS = 4300,
  FREE_VALUES = 1 << 20,
  BYTES_PER_VALUE = 4, /* of text, beyond those */
  VALUES_AT_ONCE = 64,
  SURELY_FINITE = 300, /* digits of an integer that fits a double */
  LONGEST_SHOWN = 48,  /* bytes of a key */
};

typedef struct reader {
  const char *start, *at, *end;
  arena *memory;
  value *fresh; /* given out next */
  size_t n_fresh, left;
  value_form form;
  hash_key hash;
  bool has_hash;
  value_status status;
  value_report *report;
} reader;

__attribute__((format(printf, 4, 5), cold)) static bool stop(reader *r, value_status status, const char *at,
                                                             const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  r->status = status;
  r->report->at = (size_t)(at - r->start);
  vsnprintf(r->report->why, sizeof r->report->why, format, arguments);
  va_end(arguments);
  return false;
}

static bool stop_memory(reader *r) {
  return stop(r, VALUE_MEMORY, r->at, "out of memory");
}

static bool allows(const reader *r, unsigned flag) {
  return r->form.flags & flag;
}

static value *new_value(reader *r) {
  if (r->left == 0) {
    stop(r, VALUE_LIMIT, r->at, "more values than a text of this length may have");
    return NULL;
  }
  if (r->n_fresh == 0) {
    r->fresh = arena_array(r->memory, VALUES_AT_ONCE, sizeof *r->fresh);
    if (!r->fresh) {
      stop_memory(r);
      return NULL;
    }
    r->n_fresh = VALUES_AT_ONCE;
  }
  r->left--;
  r->n_fresh--;
  return r->fresh++;
}

static void skip_space(reader *r) {
  while (r->at < r->end && json_space(*r->at)) r->at++;
}

static bool take(reader *r, char c) {
  if (r->at == r->end || *r->at != c) return false;
  r->at++;
  return true;
}

static bool take_word(reader *r, slice word) {
  if ((size_t)(r->end - r->at) < word.n || memcmp(r->at, word.s, word.n) != 0) return false;
  r->at += word.n;
  return true;
}

/* ---- Strings ---- */

static bool stop_string(reader *r) {
  if (r->at == r->end) return stop(r, VALUE_SYNTAX, r->at, "a string without an end");
  if ((unsigned char)*r->at < 0x20)
    return stop(r, VALUE_SYNTAX, r->at, "control character 0x%02X in a string", (unsigned char)*r->at);
  return stop(r, VALUE_SYNTAX, r->at, "not UTF-8");
}

/* Whether some of 8 bytes is a quote, a backslash, a control character or no ASCII. */
static bool is_special(const char *s) {
  static const uint64_t ONES = UINT64_MAX / 255, TOPS = ONES * 0x80;
  uint64_t bytes;
  memcpy(&bytes, s, sizeof bytes);
  uint64_t quote = bytes ^ ONES * '"', backslash = bytes ^ ONES * '\\';
  return ((quote - ONES) | (backslash - ONES) | (bytes - ONES * 0x20) | bytes) & TOPS;
}

/* Goes to the next quote or backslash. */
static bool skip_plain(reader *r) {
  while (r->at < r->end) {
    while (r->end - r->at >= 8 && !is_special(r->at)) r->at += 8;
    if (r->at == r->end) break;
    unsigned char c = (unsigned char)*r->at;
    if (c == '"' || c == '\\') return true;
    if (c < 0x20) break;
    if (c < 0x80) {
      r->at++;
      continue;
    }
    uint32_t character;
    int length = utf8_decode(r->at, (size_t)(r->end - r->at), &character);
    if (length <= 0) break;
    r->at += length;
  }
  return stop_string(r);
}

/* Four hexadecimal digits. */
static bool read_unit(reader *r, uint32_t *unit) {
  *unit = 0;
  for (int i = 0; i < 4; i++, r->at++) {
    char c = r->at < r->end ? *r->at : 0, letter = (char)(c | 0x20);
    bool digit = c >= '0' && c <= '9';
    if (!digit && (letter < 'a' || letter > 'f'))
      return stop(r, VALUE_SYNTAX, r->at, "a hexadecimal digit is expected");
    *unit = *unit << 4 | (uint32_t)(digit ? c - '0' : letter - 'a' + 10);
  }
  return true;
}

/* The character of an escape \u, behind which r is. */
static bool read_character(reader *r, uint32_t *c) {
  const char *escape = r->at - 2;
  uint32_t low;
  if (!read_unit(r, c)) return false;
  if (*c < 0xD800 || *c > 0xDFFF) return true;
  const char *behind = r->at;
  if (*c < 0xDC00 && take_word(r, SLICE("\\u"))) {
    if (!read_unit(r, &low)) return false;
    if (low >= 0xDC00 && low <= 0xDFFF) {
      *c = 0x10000 + ((*c - 0xD800) << 10) + (low - 0xDC00);
      return true;
    }
  }
  r->at = behind;
  if (!allows(r, VALUE_HALVES)) return stop(r, VALUE_SYNTAX, escape, "half of a surrogate pair, which is no character");
  r->report->half = true;
  *c = 0xFFFD;
  return true;
}

/* At a backslash; writes at most as many bytes as the escape has. */
static bool read_escape(reader *r, char *to, size_t *n, unsigned no_nul) {
  static const char NAMES[] = "\"\\/bfnrt", BYTES[] = "\"\\/\b\f\n\r\t";
  const char *escape = r->at++;
  char name = r->at < r->end ? *r->at : 0;
  const char *found = name ? strchr(NAMES, name) : NULL;
  if (!found && name != 'u') return stop(r, VALUE_SYNTAX, escape, "an unknown escape");
  r->at++;
  uint32_t c;
  if (found) {
    to[(*n)++] = BYTES[found - NAMES];
    return true;
  }
  if (!read_character(r, &c)) return false;
  if (c == 0 && (r->form.flags & no_nul) == no_nul)
    return stop(r, VALUE_SYNTAX, escape, "a NUL byte in a text that may hold none");
  *n += (size_t)utf8_encode(c, to + *n);
  return true;
}

/* The quote that ends a string, or the text's end; r is within it. */
static const char *closing_quote(const reader *r) {
  const char *s = r->at;
  while (s < r->end && *s != '"') s += *s == '\\' && s + 1 < r->end ? 2 : 1;
  return s;
}

/* At a quote. */
static bool read_string(reader *r, slice *text, unsigned no_nul) {
  const char *from = ++r->at;
  if (!skip_plain(r)) return false;
  if (*r->at == '"') {
    *text = (slice){from, (size_t)(r->at++ - from)};
    return true;
  }
  char *to = arena_alloc(r->memory, (size_t)(closing_quote(r) - from));
  if (!to) return stop_memory(r);
  size_t n = 0;
  for (;;) {
    memcpy(to + n, from, (size_t)(r->at - from));
    n += (size_t)(r->at - from);
    if (*r->at == '"') break;
    if (!read_escape(r, to, &n, no_nul)) return false;
    from = r->at;
    if (!skip_plain(r)) return false;
  }
  r->at++;
  *text = (slice){to, n};
  return true;
}

/* ---- Numbers ---- */

static size_t skip_digits(reader *r) {
  const char *from = r->at;
  while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
  return (size_t)(r->at - from);
}

/* Whether the form takes a number that is one; `digits` stand before its point. */
static bool fits(reader *r, const value *v, size_t digits, bool exponent) {
  bool integer = v->kind == VALUE_INTEGER;
  int64_t number;
  if (integer && digits <= 18) return true;
  if (integer && allows(r, VALUE_INT64) && !value_int64(v, &number))
    return stop(r, VALUE_SYNTAX, v->text.s, "an integer beyond 64 bits");
  if (allows(r, VALUE_NOT_FINITE)) {
    if (!integer || digits <= MOST_DIGITS) return true;
    return stop(r, VALUE_LIMIT, v->text.s, "a number of more than %d digits", MOST_DIGITS);
  }
  if ((digits <= SURELY_FINITE && !exponent) || !isinf(number_value(v->text))) return true;
  return stop(r, VALUE_SYNTAX, v->text.s, "a number beyond the range of a double");
}

static bool read_number(reader *r, value *v) {
  const char *from = r->at;
  take(r, '-');
  size_t digits = take(r, '0') ? 1 : skip_digits(r);
  if (digits == 0) return stop(r, VALUE_SYNTAX, r->at, "a digit is expected");
  v->kind = VALUE_INTEGER;
  if (take(r, '.')) {
    v->kind = VALUE_REAL;
    if (skip_digits(r) == 0) return stop(r, VALUE_SYNTAX, r->at, "a digit is expected");
  }
  bool exponent = take(r, 'e') || take(r, 'E');
  if (exponent) {
    v->kind = VALUE_REAL;
    if (!take(r, '+')) take(r, '-');
    if (skip_digits(r) == 0) return stop(r, VALUE_SYNTAX, r->at, "a digit is expected");
  }
  v->text = (slice){from, (size_t)(r->at - from)};
  return fits(r, v, digits, exponent);
}

/* ---- Lists and objects ---- */

static bool read_value(reader *r, value *v, int depth);

static bool index_member(reader *r, value *object, value *member) {
  if (object->count < INDEX_FROM) return true;
  if (!r->has_hash) {
    r->hash = hash_key_random();
    r->has_hash = true;
  }
  return index_add(r->memory, object, member, &r->hash) || stop_memory(r);
}

static value *add_item(reader *r, value *list, value ***last) {
  value *item = new_value(r);
  if (!item) return NULL;
  **last = item;
  *last = &item->next;
  list->count++;
  return item;
}

static void stop_duplicate(reader *r, const char *at, slice key) {
  int n = key.n < LONGEST_SHOWN ? (int)key.n : LONGEST_SHOWN;
  while (n > 0 && (size_t)n < key.n && (key.s[n] & 0xC0) == 0x80) n--; /* whole characters */
  stop(r, VALUE_SYNTAX, at, "duplicate key \"%.*s\"", n, key.s);
}

/* The member of a key at r: a new one, or the earlier with that key. */
static value *add_member(reader *r, value *object, value ***last) {
  const char *from = r->at;
  slice key = {0};
  if (from == r->end || *from != '"') {
    stop(r, VALUE_SYNTAX, from, "a key in quotes is expected");
    return NULL;
  }
  if (!read_string(r, &key, VALUE_NO_NUL_KEY)) return NULL;
  value *member = (value *)value_find(object, key);
  if (member && !allows(r, VALUE_LAST_OF_KEY)) {
    stop_duplicate(r, from, key);
    return NULL;
  }
  if (member) {
    *member = (value){.key = key, .next = member->next};
    return member;
  }
  member = add_item(r, object, last);
  if (member) member->key = key;
  return member && index_member(r, object, member) ? member : NULL;
}

static bool read_colon(reader *r) {
  skip_space(r);
  if (!take(r, ':')) return stop(r, VALUE_SYNTAX, r->at, "a colon is expected");
  skip_space(r);
  return true;
}

/* At an opening bracket; depth counts it. */
static bool read_items(reader *r, value *v, int depth) {
  bool object = v->kind == VALUE_OBJECT;
  char end = object ? '}' : ']';
  value **last = &v->first;
  if (depth > r->form.depth) return stop(r, VALUE_LIMIT, r->at, "nested deeper than %d", r->form.depth);
  r->at++;
  skip_space(r);
  if (take(r, end)) return true;
  do {
    skip_space(r);
    value *item = object ? add_member(r, v, &last) : add_item(r, v, &last);
    if (!item || (object && !read_colon(r)) || !read_value(r, item, depth)) return false;
    skip_space(r);
  } while (take(r, ','));
  if (take(r, end)) return true;
  return stop(r, VALUE_SYNTAX, r->at, object ? "a comma or } is expected" : "a comma or ] is expected");
}

static bool read_word(reader *r, value *v) {
  static const struct {
    slice word;
    value_kind kind;
  } WORDS[] = {{SLICE("null"), VALUE_NULL}, {SLICE("false"), VALUE_FALSE},   {SLICE("true"), VALUE_TRUE},
               {SLICE("NaN"), VALUE_REAL},  {SLICE("Infinity"), VALUE_REAL}, {SLICE("-Infinity"), VALUE_REAL}};
  for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
    if (WORDS[i].kind == VALUE_REAL && !allows(r, VALUE_NOT_FINITE)) break;
    if (!take_word(r, WORDS[i].word)) continue;
    v->kind = WORDS[i].kind;
    v->text = WORDS[i].word;
    return true;
  }
  return stop(r, VALUE_SYNTAX, r->at, "a value is expected");
}

static bool begins_number(const reader *r) {
  bool minus = *r->at == '-', infinite = minus && r->end - r->at > 1 && r->at[1] == 'I';
  return (minus && !infinite) || (*r->at >= '0' && *r->at <= '9');
}

/* depth: lists and objects that it is in. */
static bool read_value(reader *r, value *v, int depth) {
  switch (r->at < r->end ? *r->at : 0) {
  case '"':
    v->kind = VALUE_STRING;
    return read_string(r, &v->text, VALUE_NO_NUL);
  case '[':
    v->kind = VALUE_ARRAY;
    return read_items(r, v, depth + 1);
  case '{':
    v->kind = VALUE_OBJECT;
    return read_items(r, v, depth + 1);
  default:
    return r->at < r->end && begins_number(r) ? read_number(r, v) : read_word(r, v);
  }
}

value_status value_read(arena *memory, slice text, value_form form, value **root, value_report *report) {
  *report = (value_report){0};
  if (!text.s) text = SLICE("");
  reader r = {.start = text.s,
              .at = text.s,
              .end = text.s + text.n,
              .memory = memory,
              .left = FREE_VALUES + text.n / BYTES_PER_VALUE,
              .form = form,
              .report = report};
  if (text.n > UINT32_MAX) {
    stop(&r, VALUE_LIMIT, r.at, "longer than 4 GiB");
    return r.status;
  }
  if (take_word(&r, SLICE("\xEF\xBB\xBF"))) {
    stop(&r, VALUE_SYNTAX, r.start, "a byte order mark");
    return r.status;
  }
  skip_space(&r);
  value *v = new_value(&r);
  if (!v || !read_value(&r, v, 0)) return r.status;
  skip_space(&r);
  if (r.at < r.end) stop(&r, VALUE_SYNTAX, r.at, "something stands behind the value");
  if (!r.status) *root = v;
  return r.status;
}
