#include "chat/answer_tags.h"

#include <stdlib.h>

static const slice OPENING = SLICE("<tool_call>"), CLOSING = SLICE("</tool_call>");

/* What is held becomes content. */
static json_found give_held(tag_calls *s, slice *what) {
  s->given.n = 0;
  bytes_add(&s->given, (slice){s->held.bytes, s->held.n});
  s->held.n = 0;
  s->tag = 0;
  *what = (slice){s->given.bytes, s->given.n};
  return s->given.failed ? FOUND_FAILURE : FOUND_TEXT;
}

static bool hold(tag_calls *s, char c, json_found *found) {
  bytes_add(&s->held, (slice){&c, 1});
  if (s->held.failed) *found = FOUND_FAILURE;
  return !s->held.failed;
}

/* Content up to what may be a tag, or one more byte of that. */
static size_t take_content(tag_calls *s, slice text, json_found *found, slice *what) {
  size_t plain = 0;
  while (s->place == TAG_TEXT && s->held.n == 0 && plain < text.n && text.s[plain] != OPENING.s[0]) plain++;
  if (plain > 0) {
    *found = FOUND_TEXT;
    *what = (slice){text.s, plain};
    return plain;
  }
  char c = text.s[0];
  bool goes_on = c == OPENING.s[s->tag], space = s->place == TAG_AFTER && s->tag == 0 && json_space(c);
  if (!goes_on && !space) {
    /* No tag. This byte is looked at again, unless nothing was held. */
    s->place = TAG_TEXT;
    *what = (slice){text.s, 1};
    *found = FOUND_TEXT;
    if (s->held.n == 0) return 1;
    *found = give_held(s, what);
    return 0;
  }
  if (!hold(s, c, found)) return 1;
  if (goes_on) s->tag++;
  if (s->tag < OPENING.n) return 1;
  /* White space between calls goes with the tag. */
  s->held.n = 0;
  s->tag = 0;
  s->place = TAG_CALL;
  json_calls_free(&s->object);
  return 1;
}

/* Text between the tags. */
static size_t take_call(tag_calls *s, slice text, json_found *found, slice *what) {
  slice part = {text.s, s->object.place == PLACE_ARGUMENTS ? text.n : 1};
  size_t n = json_calls_take(&s->object, part, found, what);
  if (*found == FOUND_TEXT) {
    s->place = TAG_TEXT;
    s->given.n = 0;
    bytes_add(&s->given, OPENING);
    bytes_add(&s->given, *what);
    *what = (slice){s->given.bytes, s->given.n};
    if (s->given.failed) *found = FOUND_FAILURE;
  } else if (s->object.place == PLACE_AFTER) {
    s->place = TAG_CLOSE;
  }
  return n;
}

size_t tag_calls_take(tag_calls *s, slice text, json_found *found, slice *what) {
  *found = FOUND_NOTHING;
  switch (s->place) {
  case TAG_TEXT:
  case TAG_AFTER:
    return take_content(s, text, found, what);
  case TAG_CALL:
    return take_call(s, text, found, what);
  case TAG_CLOSE:
    break;
  }
  for (size_t i = 0; i < text.n; i++) {
    s->tag = text.s[i] == CLOSING.s[s->tag] ? s->tag + 1 : text.s[i] == CLOSING.s[0];
    if (s->tag < CLOSING.n) continue;
    s->tag = 0;
    s->place = TAG_AFTER;
    return i + 1;
  }
  return text.n;
}

slice tag_calls_rest(tag_calls *s) {
  slice rest = json_calls_rest(&s->object);
  s->given.n = 0;
  if (s->place == TAG_CALL && s->object.place < PLACE_ARGUMENTS) {
    bytes_add(&s->given, OPENING);
    bytes_add(&s->given, rest);
  } else if (s->place == TAG_TEXT || (s->place == TAG_AFTER && s->tag > 0)) {
    bytes_add(&s->given, (slice){s->held.bytes, s->held.n});
  }
  return (slice){s->given.bytes, s->given.failed ? 0 : s->given.n};
}

void tag_calls_free(tag_calls *s) {
  json_calls_free(&s->object);
  free(s->held.bytes);
  free(s->given.bytes);
  *s = (tag_calls){0};
}
