#include "gale/serve/schema_words.h"

#include <string.h>

/* What stands behind a keyword. */
typedef enum word_kind {
  WORD_SCHEMA,  /* a schema, or a list of them */
  WORD_SCHEMAS, /* an object of schemas */
  WORD_REFUSED,
  WORD_FALSE, /* refused unless false */
  WORD_ONE,   /* refused unless 1 */
} word_kind;

static const struct {
  const char *word;
  word_kind kind;
} WORDS[] = {
    {"properties", WORD_SCHEMAS},
    {"$defs", WORD_SCHEMAS},
    {"definitions", WORD_SCHEMAS},
    {"additionalProperties", WORD_SCHEMA},
    {"items", WORD_SCHEMA},
    {"prefixItems", WORD_SCHEMA},
    {"anyOf", WORD_SCHEMA},
    {"allOf", WORD_SCHEMA},
    {"oneOf", WORD_SCHEMA},
    {"not", WORD_REFUSED},
    {"if", WORD_REFUSED},
    {"then", WORD_REFUSED},
    {"else", WORD_REFUSED},
    {"dependentRequired", WORD_REFUSED},
    {"dependentSchemas", WORD_REFUSED},
    {"contains", WORD_REFUSED},
    {"minContains", WORD_REFUSED},
    {"maxContains", WORD_REFUSED},
    {"uniqueItems", WORD_FALSE},
    {"multipleOf", WORD_ONE},
    {"patternProperties", WORD_REFUSED},
    {"propertyNames", WORD_REFUSED},
    {"unevaluatedItems", WORD_REFUSED},
    {"unevaluatedProperties", WORD_REFUSED},
    {"$dynamicRef", WORD_REFUSED},
    {"$anchor", WORD_REFUSED},
};

static void check(place at);

static void check_member(place at, const value *member, word_kind kind) {
  place within = {at.f, member, ""};
  within.path = arena_printf(&at.f->memory, "%s.%.*s", at.path, (int)member->key.n, member->key.s);
  if (!within.path) {
    fields_memory(at.f);
    return;
  }
  bool neutral =
      (kind == WORD_FALSE && !value_is(member, VALUE_TRUE)) || (kind == WORD_ONE && value_double(member) == 1);
  if (kind >= WORD_REFUSED && !neutral) {
    field_refuse(within, NULL, FAILURE_UNSUPPORTED, "this keyword is not supported");
  } else if (kind == WORD_SCHEMA && member->kind == VALUE_ARRAY) {
    size_t index = 0;
    for (const value *v = member->first; v && !at.f->refused; v = v->next) check(place_item(within, index++, v));
  } else if (kind == WORD_SCHEMA) {
    check(within);
  } else if (kind == WORD_SCHEMAS) {
    for (const value *v = member->first; v && !at.f->refused; v = v->next) check_member(within, v, WORD_SCHEMA);
  }
}

static void check(place at) {
  if (!value_is(at.v, VALUE_OBJECT)) return;
  for (const value *member = at.v->first; member && !at.f->refused; member = member->next)
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
      if (slice_is(member->key, WORDS[i].word)) check_member(at, member, WORDS[i].kind);
}

void schema_words_check(place schema) {
  check(schema);
}
