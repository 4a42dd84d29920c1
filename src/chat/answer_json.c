#include "chat/answer_json.h"

#include <stdlib.h>

enum { LONGEST_HEAD = 4096 };

/* Follows strings and brackets; true if c is structure, and not part of a string. */
static bool structure(json_calls *s, char c) {
  if (s->in_string) {
    bool ends = c == '"' && !s->escaped;
    s->escaped = c == '\\' && !s->escaped;
    s->in_string = !ends;
    return false;
  }
  if (c == '"') s->in_string = true;
  if (c == '{' || c == '[') s->depth++;
  if (c == '}' || c == ']') s->depth--;
  return c != '"';
}

static bool key_is(const json_calls *s, const char *name) {
  return s->held.bytes && slice_is((slice){s->held.bytes + s->key, s->key_end - s->key}, name);
}

/* Whether what is held, up to the colon behind "parameters", is the beginning of a call; its name is kept then. */
static bool take_name(json_calls *s) {
  byte_list whole = {0};
  bytes_add(&whole, (slice){s->held.bytes, s->held.n});
  bytes_add(&whole, SLICE("null}"));
  arena memory = {0};
  value *root;
  value_report report;
  slice text = {whole.bytes, whole.n};
  bool good = !whole.failed && value_read(&memory, text, VALUE_PROMPT, &root, &report) == VALUE_OK;
  const value *name = good ? value_get(root, "name") : NULL, *type = good ? value_get(root, "type") : NULL;
  good = name && name->kind == VALUE_STRING && name->text.n > 0 &&
         (!type || (type->kind == VALUE_STRING && slice_is(type->text, "function")));
  s->name.n = 0;
  if (good) bytes_add(&s->name, name->text);
  arena_free(&memory);
  free(whole.bytes);
  return good;
}

/* One more byte of an object that may be a call. */
static json_place head(json_calls *s, char c) {
  bool was_string = s->in_string;
  bool outside = structure(s, c);
  bytes_add(&s->held, (slice){&c, 1});
  if (!was_string && s->in_string) s->key = s->held.n;
  if (was_string && !s->in_string) s->key_end = s->held.n - 1;
  if (s->held.n > LONGEST_HEAD || s->depth == 0) return PLACE_TEXT;
  if (!outside || c != ':' || s->depth != 1) return PLACE_HEAD;
  /* An object that begins otherwise is content in JSON, which need not be held back. */
  if (s->n_keys++ == 0 && !key_is(s, "name") && !key_is(s, "type")) return PLACE_TEXT;
  if (!key_is(s, "parameters") && !key_is(s, "arguments")) return PLACE_HEAD;
  return take_name(s) ? PLACE_VALUE : PLACE_TEXT;
}

/* The place after one more byte, but for arguments and text, which are looked at as a whole. */
static json_place next(json_calls *s, char c) {
  switch (s->place) {
  case PLACE_START:
  case PLACE_AFTER:
    if (c == '{') {
      s->depth = 0;
      s->n_keys = 0;
      s->in_string = s->escaped = false;
      return head(s, c);
    }
    /* Separators between calls and behind the last one are dropped. */
    if (s->place == PLACE_AFTER && (json_space(c) || c == ';' || c == ',')) return PLACE_AFTER;
    bytes_add(&s->held, (slice){&c, 1});
    return json_space(c) ? PLACE_START : PLACE_TEXT;
  case PLACE_HEAD:
    return head(s, c);
  case PLACE_VALUE:
    if (c == '{') return PLACE_ARGUMENTS;
    bytes_add(&s->held, (slice){&c, 1});
    return json_space(c) ? PLACE_VALUE : PLACE_TEXT;
  case PLACE_TAIL:
    structure(s, c);
    return s->depth > 0 ? PLACE_TAIL : PLACE_AFTER;
  case PLACE_ARGUMENTS:
  case PLACE_TEXT:
    break;
  }
  return s->place;
}

static size_t take_arguments(json_calls *s, slice text) {
  size_t i = 0;
  while (i < text.n && s->place == PLACE_ARGUMENTS) {
    structure(s, text.s[i++]);
    if (s->depth == 1) s->place = PLACE_TAIL;
  }
  return i;
}

size_t json_calls_take(json_calls *s, slice text, json_found *found, slice *what) {
  *found = FOUND_NOTHING;
  if (s->place == PLACE_TEXT) {
    *found = FOUND_TEXT;
    *what = text;
    return text.n;
  }
  if (s->place == PLACE_ARGUMENTS) {
    size_t n = take_arguments(s, text);
    *found = FOUND_ARGUMENTS;
    *what = (slice){text.s, n};
    return n;
  }
  for (size_t i = 0; i < text.n; i++) {
    s->place = next(s, text.s[i]);
    if (s->held.failed || s->name.failed) {
      *found = FOUND_FAILURE;
      return i;
    }
    if (s->place == PLACE_ARGUMENTS) {
      *found = FOUND_CALL;
      *what = (slice){s->name.bytes, s->name.n};
      s->held.n = 0;
      return i;
    }
    if (s->place == PLACE_TEXT) {
      *found = FOUND_TEXT;
      *what = (slice){s->held.bytes, s->held.n};
      s->held.n = 0;
      return i + 1;
    }
  }
  return text.n;
}

slice json_calls_rest(const json_calls *s) {
  return (slice){s->held.bytes, s->held.n};
}

void json_calls_free(json_calls *s) {
  free(s->held.bytes);
  free(s->name.bytes);
  *s = (json_calls){0};
}
