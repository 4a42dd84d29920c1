/* What a schema's own keywords say of values, and what they deny. */
#include "constraint/schema_shape.h"

#include <string.h>

enum { MOST_COUNT = 65536 };

/* ---- Reading keywords ---- */

static bool fail_kind(schema_compiler *s, const value *v, const char *why) {
  schema_fail(s, v, GALE_E_ARGUMENT, why);
  return false;
}

/* A count; false where the keyword is not there. Too large a lower bound is refused, an upper one says nothing then. */
static bool read_count(schema_compiler *s, const value *schema, const char *key, bool lower, uint32_t *count) {
  const value *v = value_get(schema, key);
  if (!v) return false;
  double number = value_is_number(v) ? value_double(v) : -1;
  if (!(number >= 0) || number != (double)(int64_t)(number > 1e15 ? 1e15 : number))
    return number > 1e15 && !lower ? false : fail_kind(s, v, "must be a whole number, 0 or more");
  if (number > MOST_COUNT) {
    if (lower) schema_fail(s, v, GALE_E_UNSUPPORTED, "more than 65536 is not supported");
    *count = number >= 4e9 ? REPEAT_ALWAYS : (uint32_t)number;
    return !lower;
  }
  *count = (uint32_t)number;
  return true;
}

static bool read_number(schema_compiler *s, const value *schema, const char *key, decimal *d) {
  const value *v = value_get(schema, key);
  if (!v) return false;
  if (!value_is_number(v)) return fail_kind(s, v, "must be a number");
  if (decimal_read(v->text, d)) return true;
  schema_fail(s, v, GALE_E_UNSUPPORTED, "the number has too many digits");
  return false;
}

/* A bound, exclusive by a keyword of its own or, in draft 4, by a boolean. */
static bound read_bound(schema_compiler *s, const value *schema, const char *key, const char *other, int side) {
  bound a = {0}, b = {0};
  const value *exclusive = value_get(schema, other);
  a.there = read_number(s, schema, key, &a.number);
  a.exclusive = a.there && value_is(exclusive, VALUE_TRUE);
  if (exclusive && !value_is_bool(exclusive)) {
    b.there = read_number(s, schema, other, &b.number);
    b.exclusive = true;
  }
  if (!a.there || !b.there) return a.there ? a : b;
  int order = decimal_compare(&a.number, &b.number) * side;
  return order > 0 ? a : b;
}

/* ---- Kinds ---- */

enum { ALL_KINDS = (1 << SHAPE_KINDS) - 1, INTEGER = 1 << SHAPE_KINDS };

static unsigned kinds_of_name(const value *v) {
  static const struct {
    const char *name;
    unsigned kinds;
  } TYPES[] = {
      {"null", 1 << SHAPE_NULL},     {"boolean", 1 << SHAPE_FALSE | 1 << SHAPE_TRUE},
      {"string", 1 << SHAPE_STRING}, {"number", 1 << SHAPE_NUMBER},
      {"integer", INTEGER},          {"array", 1 << SHAPE_ARRAY},
      {"object", 1 << SHAPE_OBJECT}, {"any", ALL_KINDS},
  };
  for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
    if (value_says(v, TYPES[i].name)) return TYPES[i].kinds;
  return 0;
}

static unsigned read_kinds(schema_compiler *s, const value *type) {
  unsigned kinds = 0;
  if (!type) return ALL_KINDS;
  if (value_is(type, VALUE_ARRAY)) {
    for (const value *v = type->first; v; v = v->next) {
      unsigned one = kinds_of_name(v);
      if (!one) fail_kind(s, v, "is the name of no type");
      kinds |= one;
    }
  } else {
    kinds = kinds_of_name(type);
    if (!kinds) fail_kind(s, type, "is the name of no type");
  }
  return kinds;
}

/* ---- Literals ---- */

static shape_list literals(schema_compiler *s, const value *const *values, size_t n) {
  shape_list all = {0};
  value_list **last[SHAPE_KINDS];
  shape *of[SHAPE_KINDS] = {0};
  for (size_t i = 0; i < n && !schema_failed(s); i++) {
    shape_kind kind = kind_of(values[i]);
    if (!of[kind]) {
      shape *one = shape_new(s, kind);
      if (!one) return all;
      one->literal = true;
      last[kind] = &one->values;
      of[kind] = one;
      all = shapes_add(s, all, one);
    }
    value_list *item = schema_alloc(s, sizeof *item);
    if (!item) return all;
    *item = (value_list){.v = values[i]};
    *last[kind] = item;
    last[kind] = &item->next;
  }
  schema_work(s, n);
  return all;
}

static bool read_values(schema_compiler *s, const value *list, const value ***values) {
  if (!value_is(list, VALUE_ARRAY) || list->count == 0) return fail_kind(s, list, "must be a list that is not empty");
  *values = schema_alloc(s, list->count * sizeof **values);
  size_t i = 0;
  if (!*values) return false;
  for (const value *v = list->first; v; v = v->next) (*values)[i++] = v;
  return true;
}

/* ---- Parts of shapes ---- */

static bool is_schema(schema_compiler *s, const value *v) {
  return value_is(v, VALUE_OBJECT) || value_is_bool(v) || fail_kind(s, v, "a schema is an object, true or false");
}

static void read_range(schema_compiler *s, const value *schema, const char *least, const char *most, shape *a) {
  bool both = read_count(s, schema, least, true, &a->least);
  both &= read_count(s, schema, most, false, &a->most);
  if (both && a->least > a->most) fail_kind(s, value_get(schema, least), "the bounds exclude everything");
}

static text_rule *text_of(schema_compiler *s, const value *v, bool format, bool not ) {
  text_rule *rule = schema_alloc(s, sizeof *rule);
  if (!rule) return NULL;
  if (!value_is(v, VALUE_STRING)) {
    fail_kind(s, v, "must be a string");
    return NULL;
  }
  *rule = (text_rule){.at = v, .pattern = format ? format_pattern(v->text) : v->text, .not = not };
  if (!rule->pattern.s) return NULL;
  schema_pattern(s, rule->pattern, v);
  return rule;
}

static void read_texts(schema_compiler *s, const value *schema, shape *a) {
  const value *pattern = value_get(schema, "pattern"), *format = value_get(schema, "format");
  read_range(s, schema, "minLength", "maxLength", a);
  if (pattern) a->texts = text_of(s, pattern, false, false);
  if (format) {
    text_rule *rule = text_of(s, format, true, false);
    if (rule) {
      rule->next = a->texts;
      a->texts = rule;
    }
  }
}

static number_rule *multiple_of(schema_compiler *s, const value *schema, bool not ) {
  const value *v = value_get(schema, "multipleOf");
  number_rule *rule = v ? schema_alloc(s, sizeof *rule) : NULL;
  if (!rule) return NULL;
  *rule = (number_rule){.at = v, .not = not };
  if (!read_number(s, schema, "multipleOf", &rule->divisor)) return NULL;
  if (rule->divisor.n > 0 && !rule->divisor.negative) return rule;
  fail_kind(s, v, "must be more than 0");
  return NULL;
}

static void read_numbers(schema_compiler *s, const value *schema, shape *a) {
  a->low = read_bound(s, schema, "minimum", "exclusiveMinimum", 1);
  a->high = read_bound(s, schema, "maximum", "exclusiveMaximum", -1);
  a->multiples = multiple_of(s, schema, false);
  if (!a->low.there || !a->high.there) return;
  int order = decimal_compare(&a->low.number, &a->high.number);
  if (order > 0 || (order == 0 && (a->low.exclusive || a->high.exclusive)))
    fail_kind(s, schema, "the bounds exclude everything");
}

static item_rule *read_items(schema_compiler *s, const value *schema, bool open) {
  const value *items = value_get(schema, "items"), *prefix = value_get(schema, "prefixItems"), *rest = items;
  if (value_is(items, VALUE_ARRAY)) { /* up to draft 2019-09 */
    prefix = items;
    rest = value_get(schema, "additionalItems");
  }
  if (!prefix && !rest) return NULL;
  item_rule *rule = schema_alloc(s, sizeof *rule);
  if (!rule) return NULL;
  *rule = (item_rule){.rest = s->anything};
  if (rest && is_schema(s, rest)) rule->rest = clauses_one(s, rest, false, open);
  if (!prefix) return rule;
  if (!value_is(prefix, VALUE_ARRAY)) {
    fail_kind(s, prefix, "must be a list of schemas");
    return NULL;
  }
  rule->prefix = schema_alloc(s, (prefix->count + 1) * sizeof *rule->prefix);
  for (const value *v = prefix->first; v && rule->prefix; v = v->next)
    if (is_schema(s, v)) rule->prefix[rule->n_prefix++] = clauses_one(s, v, false, open);
  return rule;
}

static contains_rule *read_contains(schema_compiler *s, const value *schema) {
  const value *v = value_get(schema, "contains");
  if (!v || !is_schema(s, v)) return NULL;
  contains_rule *rule = schema_alloc(s, sizeof *rule);
  if (!rule) return NULL;
  *rule = (contains_rule){.at = v, .of = clauses_one(s, v, false, true), .least = 1, .most = REPEAT_ALWAYS};
  read_count(s, schema, "minContains", true, &rule->least);
  read_count(s, schema, "maxContains", false, &rule->most);
  return rule;
}

static void read_array(schema_compiler *s, const value *schema, bool open, shape *a) {
  const value *unique = value_get(schema, "uniqueItems");
  read_range(s, schema, "minItems", "maxItems", a);
  a->items = read_items(s, schema, open);
  a->contains = read_contains(s, schema);
  if (unique && !value_is_bool(unique)) fail_kind(s, unique, "must be true or false");
  if (value_is(unique, VALUE_TRUE)) a->unique = unique;
}

static named_clauses *read_named(schema_compiler *s, const value *map, bool open, size_t *n) {
  *n = 0;
  if (!map) return NULL;
  if (!value_is(map, VALUE_OBJECT)) {
    fail_kind(s, map, "must be an object");
    return NULL;
  }
  named_clauses *list = schema_alloc(s, (map->count + 1) * sizeof *list);
  for (const value *v = map->first; v && list && is_schema(s, v) && schema_work(s, 1); v = v->next)
    list[(*n)++] = (named_clauses){v->key, v, clauses_one(s, v, false, open)};
  return list;
}

static name_list *read_required(schema_compiler *s, const value *schema) {
  const value *v = value_get(schema, "required");
  name_list *first = NULL, **last = &first;
  if (!v) return NULL;
  if (!value_is(v, VALUE_ARRAY)) {
    fail_kind(s, v, "must be a list of names");
    return NULL;
  }
  for (const value *name = v->first; name; name = name->next) {
    name_list *one = schema_alloc(s, sizeof *one);
    if (!one || !schema_work(s, 1)) return first;
    if (!value_is(name, VALUE_STRING)) {
      fail_kind(s, name, "must be a name");
      return first;
    }
    *one = (name_list){.name = name->text};
    *last = one;
    last = &one->next;
  }
  return first;
}

static void read_object(schema_compiler *s, const value *schema, bool open, shape *a) {
  const value *named = value_get(schema, "properties"), *matching = value_get(schema, "patternProperties");
  const value *others = value_get(schema, "additionalProperties"), *names = value_get(schema, "propertyNames");
  read_range(s, schema, "minProperties", "maxProperties", a);
  a->required = read_required(s, schema);
  if (names && is_schema(s, names)) {
    a->names = schema_alloc(s, sizeof *a->names);
    if (a->names) *a->names = (clause_chain){.of = clauses_one(s, names, false, open)};
  }
  a->closed = named && !others && !matching && !open;
  if (!named && !matching && !others) return;
  member_rule *rule = schema_alloc(s, sizeof *rule);
  if (!rule) return;
  *rule = (member_rule){.others = s->anything};
  rule->named = read_named(s, named, open, &rule->n_named);
  rule->matching = read_named(s, matching, open, &rule->n_matching);
  for (size_t i = 0; i < rule->n_matching; i++) schema_pattern(s, rule->matching[i].name, rule->matching[i].at);
  if (others && is_schema(s, others)) rule->others = clauses_one(s, others, false, open);
  a->members = rule;
}

/* ---- All of them ---- */

static shape_list kinds_shapes(schema_compiler *s, unsigned kinds) {
  shape_list all = shapes_all(s, kinds & ALL_KINDS);
  if (!(kinds & INTEGER) || kinds & 1 << SHAPE_NUMBER) return all;
  shape *integer = shape_new(s, SHAPE_NUMBER);
  if (integer) integer->whole = true;
  return shapes_add(s, all, integer);
}

shape_list schema_own(schema_compiler *s, const value *schema, bool open) {
  const value *list = value_get(schema, "enum"), *one = value_get(schema, "const");
  shape_list all = kinds_shapes(s, read_kinds(s, value_get(schema, "type")));
  for (size_t i = 0; i < all.n && !schema_failed(s); i++) switch (all.shapes[i]->kind) {
    case SHAPE_NUMBER:
      read_numbers(s, schema, all.shapes[i]);
      break;
    case SHAPE_STRING:
      read_texts(s, schema, all.shapes[i]);
      break;
    case SHAPE_ARRAY:
      read_array(s, schema, open, all.shapes[i]);
      break;
    case SHAPE_OBJECT:
      read_object(s, schema, open, all.shapes[i]);
      break;
    default:
      break;
    }
  const value **values;
  if (list && read_values(s, list, &values)) all = shapes_intersect(s, literals(s, values, list->count), all);
  if (one) all = shapes_intersect(s, literals(s, &one, 1), all);
  return all;
}

/* ---- Denials ---- */

static shape *add_kind(schema_compiler *s, shape_list *to, shape_kind kind) {
  shape *a = shape_new(s, kind);
  *to = shapes_add(s, *to, a);
  return a;
}

static void deny_kinds(schema_compiler *s, const value *schema, shape_list *to) {
  const value *type = value_get(schema, "type");
  if (!type) return;
  unsigned kinds = read_kinds(s, type);
  bool integers = kinds & INTEGER && !(kinds & 1 << SHAPE_NUMBER);
  *to = shapes_join(s, *to, shapes_all(s, ALL_KINDS & ~kinds & ~(integers ? 1u << SHAPE_NUMBER : 0)));
  if (integers) {
    shape *a = add_kind(s, to, SHAPE_NUMBER);
    if (a) a->broken = true;
  }
}

static void deny_values(schema_compiler *s, const value *const *values, size_t n, shape_list *to) {
  shape_list all = shapes_all(s, ALL_KINDS), kept = {0};
  for (size_t k = 0; k < all.n; k++) {
    shape *a = all.shapes[k];
    bool possible = true;
    for (size_t i = 0; i < n; i++) {
      if (kind_of(values[i]) != a->kind) continue;
      value_list *item = schema_alloc(s, sizeof *item);
      if (!item) return;
      *item = (value_list){a->excluded, values[i]};
      a->excluded = item;
      possible = a->kind > SHAPE_TRUE; /* null, false and true are one value each */
    }
    if (possible) kept = shapes_add(s, kept, a);
  }
  *to = shapes_join(s, *to, kept);
}

static void deny_range(schema_compiler *s, const value *schema, const char *least, const char *most, shape_kind kind,
                       shape_list *to) {
  uint32_t count;
  shape *a;
  if (read_count(s, schema, least, true, &count) && count > 0 && (a = add_kind(s, to, kind))) a->most = count - 1;
  if (read_count(s, schema, most, false, &count) && count < REPEAT_ALWAYS - 1 && (a = add_kind(s, to, kind)))
    a->least = count + 1;
}

static void deny_numbers(schema_compiler *s, const value *schema, shape_list *to) {
  bound low = read_bound(s, schema, "minimum", "exclusiveMinimum", 1);
  bound high = read_bound(s, schema, "maximum", "exclusiveMaximum", -1);
  number_rule *multiple = multiple_of(s, schema, true);
  shape *a;
  if (low.there && (a = add_kind(s, to, SHAPE_NUMBER))) a->high = (bound){true, !low.exclusive, low.number};
  if (high.there && (a = add_kind(s, to, SHAPE_NUMBER))) a->low = (bound){true, !high.exclusive, high.number};
  if (multiple && (a = add_kind(s, to, SHAPE_NUMBER))) a->multiples = multiple;
}

static void deny_texts(schema_compiler *s, const value *schema, shape_list *to) {
  const value *pattern = value_get(schema, "pattern"), *format = value_get(schema, "format");
  text_rule *rules[] = {pattern ? text_of(s, pattern, false, true) : NULL,
                        format ? text_of(s, format, true, true) : NULL};
  for (int i = 0; i < 2; i++) {
    shape *a = rules[i] ? add_kind(s, to, SHAPE_STRING) : NULL;
    if (a) a->texts = rules[i];
  }
}

static clause_list *negated(schema_compiler *s, const value *v, bool open) {
  return clauses_one(s, v, true, open);
}

/* An item at this place, or for SIZE_MAX some item, is not as it should. */
static void deny_item(schema_compiler *s, const value *v, size_t place, bool open, shape_list *to) {
  if (!is_schema(s, v) || negated(s, v, open) == s->nothing) return;
  shape *a = add_kind(s, to, SHAPE_ARRAY);
  contains_rule *some = schema_alloc(s, sizeof *some);
  item_rule *rule = schema_alloc(s, sizeof *rule);
  clause_list **prefix = place == SIZE_MAX ? NULL : schema_alloc(s, (place + 1) * sizeof *prefix);
  if (!a || !some || !rule) return;
  if (place == SIZE_MAX) {
    *some = (contains_rule){.at = v, .of = negated(s, v, open), .least = 1, .most = REPEAT_ALWAYS};
    a->contains = some;
  } else if (prefix) {
    for (size_t i = 0; i < place; i++) prefix[i] = s->anything;
    prefix[place] = negated(s, v, open);
    *rule = (item_rule){.prefix = prefix, .n_prefix = place + 1, .rest = s->anything};
    a->items = rule;
    a->least = (uint32_t)place + 1;
  }
}

static void deny_array(schema_compiler *s, const value *schema, bool open, shape_list *to) {
  const value *items = value_get(schema, "items"), *prefix = value_get(schema, "prefixItems");
  const value *unique = value_get(schema, "uniqueItems"), *rest = value_is(items, VALUE_ARRAY) ? NULL : items;
  if (value_is(items, VALUE_ARRAY)) {
    prefix = items;
    rest = value_get(schema, "additionalItems");
  }
  if (prefix && rest && !value_is(rest, VALUE_TRUE))
    schema_fail(s, rest, GALE_E_UNSUPPORTED, "its opposite is not supported");
  size_t i = 0;
  for (const value *v = prefix ? prefix->first : NULL; v; v = v->next) deny_item(s, v, i++, open, to);
  if (!prefix && rest) deny_item(s, rest, SIZE_MAX, open, to);
  if (value_is(unique, VALUE_TRUE)) schema_fail(s, unique, GALE_E_UNSUPPORTED, "its opposite is not supported");
  const contains_rule *contains = read_contains(s, schema);
  if (!contains) return;
  if (contains->least != 1 || contains->most != REPEAT_ALWAYS)
    schema_fail(s, contains->at, GALE_E_UNSUPPORTED, "its opposite is not supported");
  shape *a = add_kind(s, to, SHAPE_ARRAY);
  item_rule *none = schema_alloc(s, sizeof *none);
  if (!a || !none) return;
  *none = (item_rule){.rest = negated(s, contains->at, true)};
  a->items = none;
}

/* A member of this name is there and is not `of`; where `of` is NULL, it is not there. */
static void deny_member(schema_compiler *s, slice name, clause_list *of, shape_list *to) {
  if (of == s->nothing && of) return;
  shape *a = add_kind(s, to, SHAPE_OBJECT);
  member_rule *rule = schema_alloc(s, sizeof *rule);
  named_clauses *named = schema_alloc(s, sizeof *named);
  name_list *required = schema_alloc(s, sizeof *required);
  if (!a || !rule || !named || !required) return;
  *named = (named_clauses){.name = name, .of = of ? of : s->nothing};
  *rule = (member_rule){.named = named, .n_named = 1, .others = s->anything};
  a->members = rule;
  *required = (name_list){.name = name};
  if (of) a->required = required;
}

static void deny_object(schema_compiler *s, const value *schema, bool open, shape_list *to) {
  static const char *const HARD[] = {"additionalProperties", "patternProperties", "propertyNames"};
  const value *named = value_get(schema, "properties");
  for (size_t i = 0; i < 3; i++) {
    const value *v = value_get(schema, HARD[i]);
    bool nothing = v && (value_is(v, VALUE_TRUE) || (value_is(v, VALUE_OBJECT) && v->count == 0));
    if (v && !nothing) schema_fail(s, v, GALE_E_UNSUPPORTED, "its opposite is not supported");
  }
  for (const name_list *r = read_required(s, schema); r; r = r->next) deny_member(s, r->name, NULL, to);
  if (!named) return;
  if (!value_is(named, VALUE_OBJECT)) {
    fail_kind(s, named, "must be an object");
    return;
  }
  for (const value *v = named->first; v; v = v->next)
    if (is_schema(s, v)) deny_member(s, v->key, negated(s, v, open), to);
}

shape_list schema_own_not(schema_compiler *s, const value *schema, bool open) {
  shape_list all = {0};
  const value *list = value_get(schema, "enum"), *one = value_get(schema, "const");
  const value **values;
  deny_kinds(s, schema, &all);
  if (list && read_values(s, list, &values)) deny_values(s, values, list->count, &all);
  if (one) deny_values(s, &one, 1, &all);
  deny_numbers(s, schema, &all);
  deny_texts(s, schema, &all);
  deny_range(s, schema, "minLength", "maxLength", SHAPE_STRING, &all);
  deny_range(s, schema, "minItems", "maxItems", SHAPE_ARRAY, &all);
  deny_range(s, schema, "minProperties", "maxProperties", SHAPE_OBJECT, &all);
  deny_array(s, schema, open, &all);
  deny_object(s, schema, open, &all);
  return all;
}
