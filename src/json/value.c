#include "json/value.h"

#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/unicode.h"

enum { MOST_DIGITS = 4300 };

slice slice_of(const char *s) {
  return (slice){s, s ? strlen(s) : 0};
}

bool slice_is(slice a, const char *s) {
  return a.s && a.n == strlen(s) && memcmp(a.s, s, a.n) == 0;
}

bool slice_equal(slice a, slice b) {
  return a.n == b.n && (a.n == 0 || memcmp(a.s, b.s, a.n) == 0);
}

/* ---- Reading ---- */

typedef struct reader {
  arena *memory;
  const char *s;
  size_t at, n;
  value_status status;
  bool half;
} reader;

static bool stop(reader *r, value_status status) {
  if (!r->status) r->status = status;
  return false;
}

static void skip_space(reader *r) {
  while (r->at < r->n &&
         (r->s[r->at] == ' ' || (r->s[r->at] >= 9 && r->s[r->at] <= 13 && r->s[r->at] != 11 && r->s[r->at] != 12)))
    r->at++;
}

static bool take(reader *r, const char *word) {
  size_t n = strlen(word);
  if (r->n - r->at < n || memcmp(r->s + r->at, word, n) != 0) return false;
  r->at += n;
  return true;
}

static bool read_hex(reader *r, uint32_t *c) {
  *c = 0;
  if (r->n - r->at < 4) return stop(r, VALUE_SYNTAX);
  for (int i = 0; i < 4; i++, r->at++) {
    char h = r->s[r->at];
    int digit = h >= '0' && h <= '9'   ? h - '0'
                : h >= 'a' && h <= 'f' ? h - 'a' + 10
                : h >= 'A' && h <= 'F' ? h - 'A' + 10
                                       : -1;
    if (digit < 0) return stop(r, VALUE_SYNTAX);
    *c = *c << 4 | (uint32_t)digit;
  }
  return true;
}

/* What follows a backslash; at most as many bytes as it takes in the text. */
static bool read_escape(reader *r, char *to, size_t *n) {
  static const char NAMES[] = "\"\\/bfnrt", BYTES[] = "\"\\/\b\f\n\r\t";
  if (r->at == r->n) return stop(r, VALUE_SYNTAX);
  char name = r->s[r->at++];
  const char *found = name ? strchr(NAMES, name) : NULL;
  if (found) {
    to[(*n)++] = BYTES[found - NAMES];
    return true;
  }
  uint32_t c, low;
  if (name != 'u') return stop(r, VALUE_SYNTAX);
  if (!read_hex(r, &c)) return false;
  size_t behind = r->at;
  if (c >= 0xD800 && c < 0xDC00 && take(r, "\\u")) {
    if (!read_hex(r, &low)) return false;
    if (low >= 0xDC00 && low < 0xE000)
      c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    else
      r->at = behind;
  }
  if (c >= 0xD800 && c < 0xE000) {
    r->half = true;
    c = 0xFFFD;
  }
  *n += (size_t)utf8_encode(c, to + *n);
  return true;
}

static bool read_string(reader *r, slice *text) {
  size_t start = ++r->at, end = start;
  bool plain = true;
  while (end < r->n && r->s[end] != '"') {
    if ((unsigned char)r->s[end] < 0x20) break;
    plain &= r->s[end] != '\\';
    end += r->s[end] == '\\' ? 2 : 1;
  }
  if (end >= r->n || r->s[end] != '"') {
    r->at = end < r->n ? end : r->n;
    return stop(r, VALUE_SYNTAX);
  }
  *text = (slice){r->s + start, end - start};
  if (!plain) {
    char *to = arena_alloc(r->memory, end - start);
    size_t n = 0;
    if (!to) return stop(r, VALUE_MEMORY);
    while (r->at < end) {
      char c = r->s[r->at++];
      if (c != '\\')
        to[n++] = c;
      else if (!read_escape(r, to, &n))
        return false;
    }
    *text = (slice){to, n};
  }
  r->at = end + 1;
  return true;
}

/* A finite number in the fewest digits that give it back, in Python's choice of notation. */
static size_t write_real(double x, char to[40], char point) {
  char digits[40];
  int used = 0, precision = 0;
  do used = snprintf(digits, sizeof digits, "%.*e", precision, x);
  while (++precision < 17 && strtod(digits, NULL) != x);
  char *e = memchr(digits, 'e', (size_t)used);
  int exponent = (int)strtol(e + 1, NULL, 10), n = 0;
  char *from = digits;
  size_t out = 0;
  if (*from == '-') to[out++] = *from++;
  for (char *d = from; d < e; d++)
    if (*d != point) from[n++] = *d;
  while (n > 1 && from[n - 1] == '0') n--;
  if (exponent < -4 || exponent >= 16) {
    to[out++] = from[0];
    if (n > 1) to[out++] = '.';
    for (int i = 1; i < n; i++) to[out++] = from[i];
    return out + (size_t)snprintf(to + out, 8, "e%+03d", exponent);
  }
  if (exponent < 0) to[out++] = '0';
  for (int i = exponent < 0 ? exponent + 1 : 0; i < n || i <= exponent; i++) {
    if (i == exponent + 1 || (exponent < 0 && i == exponent + 1)) to[out++] = '.';
    to[out++] = i >= 0 && i < n ? from[i] : '0';
  }
  if (n <= exponent + 1) {
    to[out++] = '.';
    to[out++] = '0';
  }
  return out;
}

static bool read_real(reader *r, value *v, size_t start) {
  char point = *localeconv()->decimal_point;
  char *copy = arena_string(r->memory, r->s + start, r->at - start), *to = arena_alloc(r->memory, 40);
  if (!copy || !to) return stop(r, VALUE_MEMORY);
  char *dot = strchr(copy, '.');
  if (dot) *dot = point;
  double x = strtod(copy, NULL);
  v->kind = VALUE_REAL;
  v->text = isinf(x) ? (x > 0 ? SLICE("Infinity") : SLICE("-Infinity")) : (slice){to, write_real(x, to, point)};
  return true;
}

static size_t read_digits(reader *r) {
  size_t start = r->at;
  while (r->at < r->n && r->s[r->at] >= '0' && r->s[r->at] <= '9') r->at++;
  return r->at - start;
}

static bool read_number(reader *r, value *v) {
  size_t start = r->at;
  bool real = false;
  take(r, "-");
  size_t digits = r->at, n = take(r, "0") ? 1 : read_digits(r);
  if (n == 0) return stop(r, VALUE_SYNTAX);
  size_t behind = r->at;
  if (take(r, ".") && read_digits(r) > 0) real = true, behind = r->at;
  r->at = behind;
  if ((take(r, "e") || take(r, "E")) && (take(r, "+") || take(r, "-") || true) && read_digits(r) > 0)
    real = true, behind = r->at;
  r->at = behind;
  if (real) return read_real(r, v, start);
  if (n > MOST_DIGITS) return stop(r, VALUE_LIMIT);
  v->kind = VALUE_INTEGER;
  v->text = n == 1 && r->s[digits] == '0' ? SLICE("0") : (slice){r->s + start, r->at - start};
  return true;
}

static bool read_any(reader *r, value *v, int depth);

static bool read_items(reader *r, value *v, int depth, char end) {
  value **last = &v->first;
  r->at++;
  skip_space(r);
  if (r->at < r->n && r->s[r->at] == end) {
    r->at++;
    return true;
  }
  for (;;) {
    value *item = arena_alloc(r->memory, sizeof *item);
    if (!item) return stop(r, VALUE_MEMORY);
    skip_space(r);
    if (end == '}') {
      if (r->at == r->n || r->s[r->at] != '"') return stop(r, VALUE_SYNTAX);
      if (!read_string(r, &item->key)) return false;
      skip_space(r);
      if (!take(r, ":")) return stop(r, VALUE_SYNTAX);
      skip_space(r);
    }
    if (!read_any(r, item, depth + 1)) return false;
    *last = item;
    last = &item->next;
    v->count++;
    skip_space(r);
    if (r->at < r->n && r->s[r->at] == end) break;
    if (!take(r, ",")) return stop(r, VALUE_SYNTAX);
  }
  r->at++;
  return true;
}

static int compare_keys(const void *a, const void *b) {
  slice x = (*(value *const *)a)->key, y = (*(value *const *)b)->key;
  int order = memcmp(x.s, y.s, x.n < y.n ? x.n : y.n);
  if (order) return order;
  if (x.n != y.n) return x.n < y.n ? -1 : 1;
  /* Equal keys stay in their order, which members hold in count meanwhile. */
  size_t i = (*(value *const *)a)->count, j = (*(value *const *)b)->count;
  return (i > j) - (i < j);
}

/* Of members with one key the last takes the first one's place. */
static bool drop_repeated(reader *r, value *object) {
  if (object->count < 2) return true;
  value **list = malloc(object->count * sizeof *list);
  size_t *counts = malloc(object->count * sizeof *counts), n = 0;
  if (!list || !counts) {
    free(list);
    free(counts);
    return stop(r, VALUE_MEMORY);
  }
  for (value *m = object->first; m; m = m->next, n++) {
    list[n] = m;
    counts[n] = m->count;
    m->count = n;
  }
  qsort(list, n, sizeof *list, compare_keys);
  for (size_t i = 0, end; i < n; i = end) {
    for (end = i + 1; end < n && slice_equal(list[i]->key, list[end]->key);) end++;
    value *first = list[i], *last = list[end - 1];
    size_t place = last->count;
    for (size_t k = i + 1; k < end; k++) list[k]->key.s = NULL;
    first->kind = last->kind;
    first->text = last->text;
    first->first = last->first;
    first->count = counts[place];
  }
  object->count = 0;
  for (value **link = &object->first; *link;) {
    if ((*link)->key.s) {
      object->count++;
      link = &(*link)->next;
    } else {
      *link = (*link)->next;
    }
  }
  free(list);
  free(counts);
  return true;
}

static bool read_any(reader *r, value *v, int depth) {
  static const struct {
    const char *word;
    value_kind kind;
  } WORDS[] = {{"null", VALUE_NULL}, {"false", VALUE_FALSE},   {"true", VALUE_TRUE},
               {"NaN", VALUE_REAL},  {"Infinity", VALUE_REAL}, {"-Infinity", VALUE_REAL}};
  if (depth > VALUE_DEPTH) return stop(r, VALUE_LIMIT);
  if (r->at == r->n) return stop(r, VALUE_SYNTAX);
  switch (r->s[r->at]) {
  case '"':
    v->kind = VALUE_STRING;
    return read_string(r, &v->text);
  case '[':
    v->kind = VALUE_ARRAY;
    return read_items(r, v, depth, ']');
  case '{':
    v->kind = VALUE_OBJECT;
    return read_items(r, v, depth, '}') && drop_repeated(r, v);
  }
  for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
    if (!take(r, WORDS[i].word)) continue;
    v->kind = WORDS[i].kind;
    v->text = slice_of(WORDS[i].word);
    return true;
  }
  return read_number(r, v);
}

value_status value_read(arena *memory, slice text, value **root, size_t *at) {
  reader r = {.memory = memory, .s = text.s, .n = text.n};
  value *v = arena_alloc(memory, sizeof *v);
  if (!v) return VALUE_MEMORY;
  skip_space(&r);
  if (read_any(&r, v, 0)) {
    skip_space(&r);
    if (r.at < r.n) stop(&r, VALUE_SYNTAX);
  }
  *at = r.at;
  v->half = r.half;
  if (!r.status) *root = v;
  return r.status;
}

const value *value_get(const value *object, const char *key) {
  if (!object || object->kind != VALUE_OBJECT) return NULL;
  for (const value *m = object->first; m; m = m->next)
    if (slice_is(m->key, key)) return m;
  return NULL;
}

const value *value_given(const value *object, const char *key) {
  const value *v = value_get(object, key);
  return v && v->kind != VALUE_NULL ? v : NULL;
}

/* ---- Writing ---- */

void bytes_add(byte_list *to, slice text) {
  if (to->failed || text.n == 0) return;
  if (text.n > to->capacity - to->n) {
    size_t capacity = text.n <= SIZE_MAX / 4 - to->n ? 2 * (to->n + text.n) : 0;
    char *bytes = capacity ? realloc(to->bytes, capacity) : NULL;
    to->failed = !bytes;
    if (!bytes) return;
    to->bytes = bytes;
    to->capacity = capacity;
  }
  memcpy(to->bytes + to->n, text.s, text.n);
  to->n += text.n;
}

void bytes_drop(byte_list *from, size_t n) {
  if (n == 0) return;
  memmove(from->bytes, from->bytes + n, from->n - n);
  from->n -= n;
}

void bytes_add_string(byte_list *to, slice text) {
  static const char BYTES[] = "\"\\\b\f\n\r\t", NAMES[] = "\"\\bfnrt";
  bytes_add(to, SLICE("\""));
  size_t done = 0;
  for (size_t i = 0; i < text.n; i++) {
    unsigned char c = (unsigned char)text.s[i];
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    bytes_add(to, (slice){text.s + done, i - done});
    char escape[8] = "\\";
    const char *found = c ? strchr(BYTES, c) : NULL;
    if (found)
      escape[1] = NAMES[found - BYTES];
    else
      snprintf(escape, sizeof escape, "\\u%04x", c);
    bytes_add(to, slice_of(escape));
    done = i + 1;
  }
  bytes_add(to, (slice){text.s + done, text.n - done});
  bytes_add(to, SLICE("\""));
}

static void add_line(byte_list *to, int depth) {
  bytes_add(to, SLICE("\n"));
  for (int i = 0; i < depth; i++) bytes_add(to, SLICE("    "));
}

/* depth -1: all on one line. */
static void add_value(byte_list *to, const value *v, int depth) {
  if (v->kind == VALUE_STRING) {
    bytes_add_string(to, v->text);
    return;
  }
  if (v->kind != VALUE_ARRAY && v->kind != VALUE_OBJECT) {
    bytes_add(to, v->text);
    return;
  }
  bool lines = depth >= 0 && v->first;
  bytes_add(to, v->kind == VALUE_ARRAY ? SLICE("[") : SLICE("{"));
  for (const value *item = v->first; item; item = item->next) {
    if (item != v->first) bytes_add(to, lines ? SLICE(",") : SLICE(", "));
    if (lines) add_line(to, depth + 1);
    if (v->kind == VALUE_OBJECT) {
      bytes_add_string(to, item->key);
      bytes_add(to, SLICE(": "));
    }
    add_value(to, item, lines ? depth + 1 : -1);
  }
  if (lines) add_line(to, depth);
  bytes_add(to, v->kind == VALUE_ARRAY ? SLICE("]") : SLICE("}"));
}

void bytes_add_value(byte_list *to, const value *v) {
  add_value(to, v, -1);
}

void bytes_add_indented(byte_list *to, const value *v) {
  add_value(to, v, 0);
}
