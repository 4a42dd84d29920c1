#include "constraint/json_text.h"

#include "base/utf8.h"
#include "constraint/char_set.h"

#include <string.h>

static expr *byte_of(expr_pool *p, char c) {
  return expr_range(p, (unsigned char)c, (unsigned char)c);
}

static expr *range_json(expr_pool *p, bool escaped) {
  char_set s = {0};
  char_set_add(&s, 0, LAST_CHARACTER);
  expr *e = chars_json(p, &s, escaped);
  char_set_free(&s);
  return e;
}

/* digits 0 to 9, so often */
static expr *digits_of(expr_pool *p, uint32_t least, uint32_t most) {
  return expr_repeat(p, expr_range(p, '0', '9'), least, most);
}

static void make_numbers(expr_pool *p, json_parts *j) {
  j->natural = expr_or(p, byte_of(p, '0'), expr_seq(p, expr_range(p, '1', '9'), digits_of(p, 0, JSON_DIGITS - 1)));
  j->fraction = expr_optional(p, expr_seq(p, byte_of(p, '.'), digits_of(p, 1, JSON_DIGITS)));
  expr *minus = expr_optional(p, byte_of(p, '-'));
  /* 1.0 is an integer, as JSON Schema has it */
  expr *zeros = expr_optional(p, expr_seq(p, byte_of(p, '.'), expr_repeat(p, byte_of(p, '0'), 1, JSON_DIGITS)));
  j->integer = expr_list(p, (expr *const[]){minus, j->natural, zeros}, 3);
  byte_set e = byte_set_of('e', 'e'), sign = byte_set_of('+', '+');
  byte_set_add(&e, 'E', 'E');
  byte_set_add(&sign, '-', '-');
  j->exponent = expr_list(
      p, (expr *const[]){expr_set(p, e), expr_optional(p, expr_set(p, sign)), digits_of(p, 1, JSON_EXPONENT_DIGITS)},
      3);
  j->number = expr_list(p, (expr *const[]){minus, j->natural, j->fraction, expr_optional(p, j->exponent)}, 4);
}

static expr *make_any(expr_pool *p, const expr_maker *maker, expr_number depth);

static const expr_maker any_maker = {.make = make_any};

const json_parts *json_parts_of(expr_pool *p) {
  if (p->json) return p->failed ? NULL : p->json;
  json_parts *j = expr_alloc(p, sizeof *j);
  if (!j) return NULL;
  j->space = expr_or(p, expr_optional(p, byte_of(p, ' ')),
                     expr_seq(p, byte_of(p, '\n'), expr_repeat(p, byte_of(p, ' '), 0, 40)));
  j->comma = expr_seq(p, byte_of(p, ','), j->space);
  j->colon = expr_list(p, (expr *const[]){j->space, byte_of(p, ':'), j->space}, 3);
  j->quote = byte_of(p, '"');
  j->letter = range_json(p, false);
  j->character = range_json(p, true);
  j->letters = expr_repeat(p, j->letter, 0, REPEAT_ALWAYS);
  expr *all = expr_repeat(p, j->character, 0, REPEAT_ALWAYS);
  j->string = expr_list(p, (expr *const[]){j->quote, all, j->quote}, 3);
  make_numbers(p, j);
  p->json = j;
  p->rest = expr_box(p, j->letters);
  return p->failed ? NULL : j;
}

/* ---- Any value ---- */

/* '(' ws (item ws (, ws item ws)*)? ')' with so many items */
static expr *bracketed(expr_pool *p, char open, expr *item, uint32_t least, uint32_t most, char close) {
  const json_parts *j = json_parts_of(p);
  if (!j) return p->none;
  expr *body = p->empty;
  if (most > 0) {
    expr *one = expr_seq(p, item, j->space);
    uint32_t more = most == REPEAT_ALWAYS ? most : most - 1;
    body = expr_seq(p, one, expr_repeat(p, expr_seq(p, j->comma, one), least > 1 ? least - 1 : 0, more));
    if (least == 0) body = expr_optional(p, body);
  }
  return expr_list(p, (expr *const[]){byte_of(p, open), j->space, body, byte_of(p, close)}, 4);
}

expr *json_array_of(expr_pool *p, expr *item, uint32_t least, uint32_t most) {
  return bracketed(p, '[', item, least, most, ']');
}

expr *json_any_object(expr_pool *p, int depth) {
  const json_parts *j = json_parts_of(p);
  if (!j) return p->none;
  if (depth <= 0) return p->none;
  expr *member = expr_list(p, (expr *const[]){j->string, j->colon, json_any(p, depth - 1)}, 3);
  return bracketed(p, '{', member, 0, REPEAT_ALWAYS, '}');
}

expr *json_any_array(expr_pool *p, int depth) {
  return depth <= 0 ? p->none : json_array_of(p, json_any(p, depth - 1), 0, REPEAT_ALWAYS);
}

static expr *make_any(expr_pool *p, const expr_maker *maker, expr_number depth) {
  (void)maker;
  const json_parts *j = json_parts_of(p);
  if (!j) return p->none;
  expr *kinds[] = {j->string,
                   j->number,
                   expr_string(p, "true"),
                   expr_string(p, "false"),
                   expr_string(p, "null"),
                   json_any_object(p, (int)depth.half[0]),
                   json_any_array(p, (int)depth.half[0])};
  return expr_alt(p, kinds, sizeof kinds / sizeof *kinds);
}

expr *json_any(expr_pool *p, int depth) {
  if (!json_parts_of(p)) return p->none;
  expr_number number = {{(uint64_t)depth, 0}};
  return expr_lazy(p, &any_maker, number);
}

/* ---- This value ---- */

bool json_plain(slice text) {
  for (size_t i = 0; i < text.n; i++) {
    unsigned char c = (unsigned char)text.s[i];
    if (c < 0x20 || c == '"' || c == '\\' || c == '/' || c >= 0x80) return false;
  }
  return true;
}

expr *json_letters_of(expr_pool *p, slice text) {
  const json_parts *j = json_parts_of(p);
  if (!j) return p->none;
  expr *whole = p->empty;
  for (size_t end = text.n; end > 0 && !p->failed;) {
    size_t start = end; /* of the last run of characters that are written in one way */
    while (start > 0) {
      unsigned char c = (unsigned char)text.s[start - 1];
      if (c < 0x20 || c == '"' || c == '\\' || c == '/' || c >= 0x80) break;
      start--;
    }
    whole = expr_seq(p, expr_text(p, text.s + start, end - start), whole);
    end = start;
    if (end == 0) break;
    do end--;
    while (end > 0 && ((unsigned char)text.s[end] & 0xC0) == 0x80);
    size_t length;
    uint32_t c = utf8_at(text.s + end, text.n - end, &length);
    char_set one = {0};
    char_set_add(&one, c, c);
    whole = expr_seq(p, chars_json(p, &one, false), whole);
    char_set_free(&one);
  }
  return whole;
}

expr *json_string_of(expr_pool *p, slice text) {
  const json_parts *j = json_parts_of(p);
  if (!j) return p->none;
  char quoted[256];
  if (text.n + 2 <= sizeof quoted && json_plain(text)) {
    quoted[0] = quoted[text.n + 1] = '"';
    memcpy(quoted + 1, text.s, text.n);
    return expr_text(p, quoted, text.n + 2);
  }
  return expr_list(p, (expr *const[]){j->quote, json_letters_of(p, text), j->quote}, 3);
}

static expr *items_of(expr_pool *p, const json_parts *j, const value *v) {
  expr *whole = byte_of(p, v->kind == VALUE_ARRAY ? ']' : '}');
  for (size_t i = v->count; i-- > 0 && !p->failed;) {
    const value *item = value_item(v, i);
    expr *of = json_value_of(p, item);
    if (v->kind == VALUE_OBJECT) of = expr_list(p, (expr *const[]){json_string_of(p, item->key), j->colon, of}, 3);
    whole = expr_list(p, (expr *const[]){i > 0 ? j->comma : p->empty, of, j->space, whole}, 4);
  }
  return expr_list(p, (expr *const[]){byte_of(p, v->kind == VALUE_ARRAY ? '[' : '{'), j->space, whole}, 3);
}

expr *json_value_of(expr_pool *p, const value *v) {
  const json_parts *j = json_parts_of(p);
  if (!j) return p->none;
  switch (v->kind) {
  case VALUE_NULL:
  case VALUE_FALSE:
  case VALUE_TRUE:
  case VALUE_INTEGER:
  case VALUE_REAL:
    return expr_text(p, v->text.s, v->text.n);
  case VALUE_STRING:
    return json_string_of(p, v->text);
  default:
    return items_of(p, j, v);
  }
}
