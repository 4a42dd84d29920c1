#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/value_number.h"

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

static void add_word(byte_list *to, const value *v) {
  char real[REAL_BYTES];
  if (v->kind == VALUE_REAL)
    bytes_add(to, (slice){real, write_real(value_double(v), real)});
  else if (v->kind == VALUE_INTEGER && slice_is(v->text, "-0"))
    bytes_add(to, SLICE("0"));
  else
    bytes_add(to, v->text);
}

/* depth -1: all on one line. */
static void add_value(byte_list *to, const value *v, int depth) {
  if (v->kind == VALUE_STRING) {
    bytes_add_string(to, v->text);
    return;
  }
  if (v->kind != VALUE_ARRAY && v->kind != VALUE_OBJECT) {
    add_word(to, v);
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
