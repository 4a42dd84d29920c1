/* From schemas to shapes. */
#include "constraint/schema_shape.h"

#include "base/error.h"

#include <string.h>

enum { DEEPEST_REFERENCE = 96 };

static const value ALWAYS = {.kind = VALUE_TRUE};

/* ---- Lists of clauses ---- */

static bool same_clause(const clause *a, const clause *b) {
  return a->schema == b->schema && a->not == b->not &&a->open == b->open;
}

clause_list *clauses_of(schema_compiler *s, const clause *clauses, size_t n) {
  uint32_t hash = (uint32_t)n;
  for (size_t i = 0; i < n; i++)
    hash =
        hash * 0x9E3779B1u + (uint32_t)((uintptr_t)clauses[i].schema >> 4) * 4 + clauses[i].not *2u + clauses[i].open;
  hash ^= hash >> 15;
  clause_list **bucket = &s->lists[hash % (sizeof s->lists / sizeof *s->lists)];
  for (clause_list *known = *bucket; known; known = known->next) {
    if (known->hash != hash || known->n != n) continue;
    size_t i = 0;
    while (i < n && same_clause(&known->clauses[i], &clauses[i])) i++;
    if (i == n) return known;
  }
  schema_work(s, n + 1);
  clause_list *list = schema_alloc(s, sizeof *list + n * sizeof *clauses);
  if (!list) return s->anything;
  *list = (clause_list){.n = n, .hash = hash, .next = *bucket, .rule = UINT32_MAX};
  if (n) memcpy(list->clauses, clauses, n * sizeof *clauses);
  *bucket = list;
  return list;
}

clause_list *clauses_one(schema_compiler *s, const value *schema, bool not, bool open) {
  if (value_is_bool(schema)) return value_is(schema, not ? VALUE_FALSE : VALUE_TRUE) ? s->anything : s->nothing;
  return clauses_of(s, &(clause){schema, not, open}, 1);
}

clause_list *clauses_join(schema_compiler *s, clause_list *a, clause_list *b) {
  if (a == s->nothing || b == s->nothing) return s->nothing;
  if (a == b || b->n == 0) return a;
  if (a->n == 0) return b;
  clause *all = schema_alloc(s, (a->n + b->n) * sizeof *all);
  if (!all) return a;
  memcpy(all, a->clauses, a->n * sizeof *all);
  size_t n = a->n;
  for (size_t i = 0; i < b->n; i++) {
    size_t k = 0;
    while (k < a->n && !same_clause(&a->clauses[k], &b->clauses[i])) k++;
    if (k == a->n) all[n++] = b->clauses[i];
  }
  return clauses_of(s, all, n);
}

/* ---- References ---- */

static int hex_digit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/* One part of a JSON pointer as the key that it stands for; n bytes are written at most. */
static size_t pointer_part(slice part, char *to) {
  size_t n = 0;
  for (size_t i = 0; i < part.n; i++) {
    char c = part.s[i];
    if (c == '%' && i + 2 < part.n && hex_digit(part.s[i + 1]) >= 0 && hex_digit(part.s[i + 2]) >= 0) {
      c = (char)(hex_digit(part.s[i + 1]) * 16 + hex_digit(part.s[i + 2]));
      i += 2;
    }
    if (c == '~' && i + 1 < part.n && (part.s[i + 1] == '0' || part.s[i + 1] == '1'))
      c = part.s[++i] == '0' ? '~' : '/';
    to[n++] = c;
  }
  return n;
}

static const value *find_item(const value *at, const char *key, size_t n) {
  if (at->kind == VALUE_OBJECT) return value_find(at, (slice){key, n});
  if (at->kind != VALUE_ARRAY || n == 0 || n > 8) return NULL;
  size_t index = 0;
  for (size_t i = 0; i < n; i++) {
    if (key[i] < '0' || key[i] > '9') return NULL;
    index = index * 10 + (size_t)(key[i] - '0');
  }
  return value_item(at, index);
}

static const value *find_target(schema_compiler *s, const value *ref) {
  if (!ref) return NULL;
  slice path = ref->text;
  if (path.n == 0 || path.s[0] != '#') return NULL;
  path.s++;
  path.n--;
  const value *at = s->root;
  char *key = schema_alloc(s, path.n + 1);
  if (!key) return NULL;
  while (at && path.n > 0) {
    if (*path.s != '/') return NULL;
    const char *end = memchr(path.s + 1, '/', path.n - 1);
    size_t length = end ? (size_t)(end - path.s) : path.n;
    at = find_item(at, key, pointer_part((slice){path.s + 1, length - 1}, key));
    path.s += length;
    path.n -= length;
  }
  return at;
}

/* ---- Applicators ---- */

static shape_list expand(schema_compiler *s, clause c);

static const shape_list NONE = {0};

static shape_list expand_ref(schema_compiler *s, const value *ref, bool not, bool open) {
  if (!value_is(ref, VALUE_STRING)) {
    schema_fail(s, ref, GALE_E_ARGUMENT, "a reference is a string");
    return NONE;
  }
  const value *target = find_target(s, ref);
  if (target) return expand(s, (clause){target, not, open});
  schema_fail(s, ref, GALE_E_ARGUMENT, "the schema has nothing at this reference, and nothing is fetched");
  return NONE;
}

static bool is_list(schema_compiler *s, const value *v) {
  if (value_is(v, VALUE_ARRAY) && v->count > 0) return true;
  schema_fail(s, v, GALE_E_ARGUMENT, "must be a list of schemas that is not empty");
  return false;
}

static shape_list every(schema_compiler *s, shape_list acc, const value *list, bool not, bool open) {
  if (!is_list(s, list)) return NONE;
  for (const value *v = list->first; v && !schema_failed(s); v = v->next)
    acc = shapes_intersect(s, acc, expand(s, (clause){v, not, open}));
  return acc;
}

static shape_list any_of(schema_compiler *s, const value *list, bool not, bool open) {
  shape_list all = NONE;
  if (!is_list(s, list)) return NONE;
  for (const value *v = list->first; v && !schema_failed(s); v = v->next)
    all = shapes_join(s, all, expand(s, (clause){v, not, open}));
  return all;
}

/* Branches that others overlap with are kept to where these do not hold. */
static shape_list one_of(schema_compiler *s, shape_list acc, const value *list, bool open) {
  if (!is_list(s, list)) return NONE;
  size_t n = list->count, i = 0;
  shape_list *each = schema_alloc(s, n * sizeof *each), all = NONE;
  const value **branch = schema_alloc(s, n * sizeof *branch);
  if (!each || !branch) return NONE;
  for (const value *v = list->first; v && !schema_failed(s); v = v->next, i++) {
    branch[i] = v;
    each[i] = shapes_intersect(s, acc, expand(s, (clause){v, false, open}));
  }
  for (i = 0; i < n && !schema_failed(s); i++) {
    shape_list kept = each[i];
    for (size_t k = 0; k < n && kept.n > 0 && !schema_failed(s); k++)
      if (k != i && shapes_intersect(s, kept, each[k]).n > 0)
        kept = shapes_intersect(s, kept, expand(s, (clause){branch[k], true, true}));
    all = shapes_join(s, all, kept);
  }
  return all;
}

static shape_list conditional(schema_compiler *s, const value *schema, bool not, bool open) {
  const value *test = value_get(schema, "if"), *then = value_get(schema, "then"), *other = value_get(schema, "else");
  if (!then) then = &ALWAYS;
  if (!other) other = &ALWAYS;
  shape_list yes = shapes_intersect(s, expand(s, (clause){test, false, true}), expand(s, (clause){then, not, open}));
  shape_list no = shapes_intersect(s, expand(s, (clause){test, true, true}), expand(s, (clause){other, not, open}));
  return shapes_join(s, yes, no);
}

/* ---- Dependencies ---- */

static shape *object_with(schema_compiler *s, slice name, bool there) {
  shape *o = shape_new(s, SHAPE_OBJECT);
  name_list *required = schema_alloc(s, sizeof *required);
  member_rule *rule = schema_alloc(s, sizeof *rule);
  named_clauses *named = schema_alloc(s, sizeof *named);
  if (!o || !required || !rule || !named) return NULL;
  if (there) {
    *required = (name_list){.name = name};
    o->required = required;
  } else {
    *named = (named_clauses){.name = name, .of = s->nothing};
    *rule = (member_rule){.named = named, .n_named = 1, .others = s->anything};
    o->members = rule;
  }
  return o;
}

static shape_list dependency(schema_compiler *s, const value *of, bool not, bool open) {
  shape_list absent = shapes_all(s, not ? 0 : ~(1u << SHAPE_OBJECT));
  if (!not ) absent = shapes_add(s, absent, object_with(s, of->key, false));
  shape_list there = shapes_add(s, NONE, object_with(s, of->key, true));
  if (of->kind != VALUE_ARRAY) {
    there = shapes_intersect(s, there, expand(s, (clause){of, not, open}));
    return shapes_join(s, absent, there);
  }
  shape_list some = NONE;
  for (const value *v = of->first; v && !schema_failed(s); v = v->next) {
    if (!value_is(v, VALUE_STRING)) {
      schema_fail(s, v, GALE_E_ARGUMENT, "must be the name of a member");
      return NONE;
    }
    shape *other = object_with(s, v->text, !not );
    if (not )
      some = shapes_add(s, some, other);
    else
      there = shapes_intersect(s, there, shapes_add(s, NONE, other));
  }
  return not ? shapes_intersect(s, there, some) : shapes_join(s, absent, there);
}

static shape_list dependencies(schema_compiler *s, const value *map, bool not, bool open) {
  shape_list acc = not ? NONE : shapes_all(s, ~0u);
  if (!value_is(map, VALUE_OBJECT)) {
    schema_fail(s, map, GALE_E_ARGUMENT, "must be an object");
    return NONE;
  }
  for (const value *v = map->first; v && !schema_failed(s); v = v->next) {
    shape_list one = dependency(s, v, not, open);
    acc = not ? shapes_join(s, acc, one) : shapes_intersect(s, acc, one);
  }
  return acc;
}

/* ---- Keywords ---- */

typedef enum keyword_kind {
  KEY_OTHER,
  KEY_OWN,
  KEY_REF,
  KEY_ALL,
  KEY_ANY,
  KEY_ONE,
  KEY_NOT,
  KEY_IF,
  KEY_DEPENDENCIES,
  KEY_REFUSED,
} keyword_kind;

static keyword_kind keyword(slice name) {
  static const struct {
    const char *name;
    keyword_kind kind;
  } WORDS[] = {
      {"type", KEY_OWN},
      {"enum", KEY_OWN},
      {"const", KEY_OWN},
      {"properties", KEY_OWN},
      {"required", KEY_OWN},
      {"additionalProperties", KEY_OWN},
      {"patternProperties", KEY_OWN},
      {"propertyNames", KEY_OWN},
      {"minProperties", KEY_OWN},
      {"maxProperties", KEY_OWN},
      {"items", KEY_OWN},
      {"prefixItems", KEY_OWN},
      {"additionalItems", KEY_OWN},
      {"minItems", KEY_OWN},
      {"maxItems", KEY_OWN},
      {"uniqueItems", KEY_OWN},
      {"contains", KEY_OWN},
      {"minLength", KEY_OWN},
      {"maxLength", KEY_OWN},
      {"pattern", KEY_OWN},
      {"format", KEY_OWN},
      {"minimum", KEY_OWN},
      {"maximum", KEY_OWN},
      {"exclusiveMinimum", KEY_OWN},
      {"exclusiveMaximum", KEY_OWN},
      {"multipleOf", KEY_OWN},
      {"$ref", KEY_REF},
      {"allOf", KEY_ALL},
      {"anyOf", KEY_ANY},
      {"oneOf", KEY_ONE},
      {"not", KEY_NOT},
      {"if", KEY_IF},
      {"dependencies", KEY_DEPENDENCIES},
      {"dependentRequired", KEY_DEPENDENCIES},
      {"dependentSchemas", KEY_DEPENDENCIES},
      {"unevaluatedItems", KEY_REFUSED},
      {"unevaluatedProperties", KEY_REFUSED},
      {"$dynamicRef", KEY_REFUSED},
      {"$recursiveRef", KEY_REFUSED},
      {"$anchor", KEY_REFUSED},
      {"$dynamicAnchor", KEY_REFUSED},
      {"extends", KEY_REFUSED},
      {"disallow", KEY_REFUSED},
      {"divisibleBy", KEY_REFUSED},
  };
  for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
    if (slice_is(name, WORDS[i].name)) return WORDS[i].kind;
  return KEY_OTHER;
}

static shape_list apply(schema_compiler *s, shape_list acc, const value *schema, const value *v, keyword_kind kind,
                        bool open) {
  switch (kind) {
  case KEY_OWN:
    return shapes_intersect(s, acc, schema_own(s, schema, open));
  case KEY_REF:
    return shapes_intersect(s, acc, expand_ref(s, v, false, open));
  case KEY_ALL:
    return every(s, acc, v, false, open);
  case KEY_ANY:
    return shapes_intersect(s, acc, any_of(s, v, false, open));
  case KEY_ONE:
    return one_of(s, acc, v, open);
  case KEY_NOT:
    return shapes_intersect(s, acc, expand(s, (clause){v, true, true}));
  case KEY_IF:
    return shapes_intersect(s, acc, conditional(s, schema, false, open));
  case KEY_DEPENDENCIES:
    return shapes_intersect(s, acc, dependencies(s, v, false, open));
  case KEY_REFUSED:
    schema_fail(s, v, GALE_E_UNSUPPORTED, "this keyword is not supported");
    return NONE;
  default:
    return acc;
  }
}

/* Where a schema's own keywords count: names of members come in the order in which they are met. */
static const value *own_place(const value *schema) {
  const value *first = NULL;
  for (const value *v = schema->first; v; v = v->next) {
    if (slice_is(v->key, "properties")) return v;
    if (!first && keyword(v->key) == KEY_OWN) first = v;
  }
  return first;
}

static shape_list affirm(schema_compiler *s, const value *schema, bool open) {
  shape_list acc = shapes_all(s, ~0u);
  const value *own = own_place(schema);
  const value *ref = s->refs_alone ? value_get(schema, "$ref") : NULL;
  if (value_is(ref, VALUE_STRING)) return expand_ref(s, ref, false, open);
  for (const value *v = schema->first; v && !schema_failed(s); v = v->next) {
    keyword_kind kind = keyword(v->key);
    if (kind == KEY_OWN && v != own) continue;
    shape_list more = apply(s, acc, schema, v, kind, open);
    if (s->lenient && s->status == GALE_E_UNSUPPORTED && !s->p->failed)
      s->status = GALE_OK;
    else
      acc = more;
  }
  return acc;
}

/* At least one of the keywords does not hold. */
static shape_list deny(schema_compiler *s, const value *schema, bool open) {
  const value *ref = s->refs_alone ? value_get(schema, "$ref") : NULL;
  if (value_is(ref, VALUE_STRING)) return expand_ref(s, ref, true, open);
  shape_list all = own_place(schema) ? schema_own_not(s, schema, open) : NONE, one;
  for (const value *v = schema->first; v && !schema_failed(s); v = v->next) {
    switch (keyword(v->key)) {
    case KEY_REF:
      one = expand_ref(s, v, true, open);
      break;
    case KEY_ALL:
      one = any_of(s, v, true, open);
      break;
    case KEY_ANY:
      one = every(s, shapes_all(s, ~0u), v, true, open);
      break;
    case KEY_NOT:
      one = expand(s, (clause){v, false, true});
      break;
    case KEY_IF:
      one = conditional(s, schema, true, open);
      break;
    case KEY_DEPENDENCIES:
      one = dependencies(s, v, true, open);
      break;
    case KEY_ONE: {
      one = every(s, shapes_all(s, ~0u), v, true, open); /* none holds, or two do */
      for (const value *a = v->first; a && !schema_failed(s); a = a->next)
        for (const value *b = a->next; b && !schema_failed(s); b = b->next)
          one = shapes_join(
              s, one, shapes_intersect(s, expand(s, (clause){a, false, open}), expand(s, (clause){b, false, open})));
      break;
    }
    case KEY_REFUSED:
      schema_fail(s, v, GALE_E_UNSUPPORTED, "this keyword is not supported");
      return NONE;
    default:
      continue;
    }
    all = shapes_join(s, all, one);
  }
  return all;
}

static shape_list expand(schema_compiler *s, clause c) {
  if (schema_failed(s)) return NONE;
  if (value_is_bool(c.schema)) return value_is(c.schema, c.not ? VALUE_FALSE : VALUE_TRUE) ? shapes_all(s, ~0u) : NONE;
  if (!value_is(c.schema, VALUE_OBJECT)) {
    schema_fail(s, c.schema, GALE_E_ARGUMENT, "a schema is an object, true or false");
    return NONE;
  }
  if (s->depth >= DEEPEST_REFERENCE) {
    schema_fail(s, c.schema, GALE_E_UNSUPPORTED, "schemas refer to one another without end, or too deeply");
    return NONE;
  }
  s->depth++;
  schema_work(s, 1);
  shape_list all = c.not ? deny(s, c.schema, c.open) : affirm(s, c.schema, c.open);
  s->depth--;
  return schema_failed(s) ? NONE : all;
}

shape_list schema_resolve(schema_compiler *s, clause_list *clauses) {
  if (clauses == s->nothing) return NONE;
  if (clauses->resolved) return clauses->shapes;
  shape_list acc = shapes_all(s, ~0u);
  for (size_t i = 0; i < clauses->n && !schema_failed(s); i++)
    acc = shapes_intersect(s, acc, expand(s, clauses->clauses[i]));
  if (schema_failed(s)) return NONE;
  clauses->shapes = acc;
  clauses->resolved = true;
  return acc;
}
