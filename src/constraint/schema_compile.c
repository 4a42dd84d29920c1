/* From a schema to an expression: the whole, strings and numbers. */
#include "constraint/schema_shape.h"

#include "base/error.h"
#include "constraint/char_set.h"
#include "constraint/compile.h"
#include "constraint/expr_build.h"
#include "constraint/json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST_VALUE = 80, MOST_TEXT = 4 << 20, MOST_WORK = 400000, MOST_ARENA = 24 << 20 };

/* ---- Errors ---- */

/* Writes the JSON pointer of `at` below v; false if it is not there. */
static bool find_place(const value *v, const value *at, char *path, size_t used, size_t size, int depth) {
  if (v == at) {
    path[used] = 0;
    return true;
  }
  if (depth > 200 || (v->kind != VALUE_ARRAY && v->kind != VALUE_OBJECT)) return false;
  size_t i = 0;
  for (const value *item = v->first; item; item = item->next, i++) {
    size_t n = used;
    char number[24];
    snprintf(number, sizeof number, "%zu", i);
    slice key = v->kind == VALUE_OBJECT ? item->key : slice_of(number);
    if (n + 2 * key.n + 2 < size) {
      path[n++] = '/';
      for (size_t k = 0; k < key.n; k++) {
        if (key.s[k] == '~' || key.s[k] == '/') {
          path[n++] = '~';
          path[n++] = key.s[k] == '~' ? '0' : '1';
        } else {
          path[n++] = key.s[k];
        }
      }
    }
    if (find_place(item, at, path, n, size, depth + 1)) return true;
  }
  return false;
}

void schema_fail(schema_compiler *s, const value *at, gale_status status, const char *why) {
  if (s->status) return;
  char path[300] = "";
  if (at) find_place(s->root, at, path, 0, sizeof path, 0);
  s->status = error_set(s->error, status, "%s: %s", *path ? path : "/", why);
}

bool schema_failed(const schema_compiler *s) {
  return s->status || s->p->failed;
}

void *schema_alloc(schema_compiler *s, size_t n) {
  s->nodes += n;
  void *at = s->nodes > MOST_ARENA ? NULL : arena_alloc(&s->memory, n);
  if (at) return at;
  expr_fail(s->p, s->nodes > MOST_ARENA ? "the schema takes too much memory" : "out of memory");
  s->p->no_memory = s->nodes <= MOST_ARENA;
  return NULL;
}

bool schema_work(schema_compiler *s, size_t n) {
  s->work += n;
  if (s->work > MOST_WORK) expr_fail(s->p, "the schema takes too many steps");
  return s->work <= MOST_WORK;
}

/* ---- Strings ---- */

struct compiled_text {
  compiled_text *next;
  slice pattern;
  expr *e;
};

expr *schema_pattern(schema_compiler *s, slice pattern, const value *at) {
  for (const compiled_text *t = s->patterns; t; t = t->next)
    if (slice_equal(t->pattern, pattern)) return t->e;
  if (schema_failed(s)) return s->p->none;
  expr *e = s->p->none;
  gale_error why = {0};
  gale_status status = compile_pattern(s->p, pattern, PATTERN_SEARCH, &e, &why);
  if (status) {
    schema_fail(s, at, status, why.message);
    return s->p->none;
  }
  compiled_text *t = schema_alloc(s, sizeof *t);
  if (!t) return s->p->none;
  *t = (compiled_text){s->patterns, pattern, e};
  s->patterns = t;
  return e;
}

/* Text as it is first written in a JSON string. */
static bool reads(expr_pool *p, expr *e, slice text) {
  byte_list written = {0};
  bytes_add_string(&written, text);
  for (size_t i = 1; i + 1 < written.n && e != p->none; i++) e = expr_next(p, e, (unsigned char)written.bytes[i]);
  bool yes = !written.failed && e->nullable && e != p->none;
  free(written.bytes);
  return yes;
}

bool pattern_finds(schema_compiler *s, slice pattern, const value *at, slice text) {
  return schema_work(s, 1) && reads(s->p, schema_pattern(s, pattern, at), text);
}

expr *schema_string_content(schema_compiler *s, const shape *a) {
  const json_parts *j = json_parts_of(s->p);
  if (!j) return s->p->none;
  bool plain = !a->texts && !a->excluded;
  expr *e = expr_repeat(s->p, plain ? j->character : j->letter, a->least, a->most);
  bool any_length = a->least == 0 && a->most == REPEAT_ALWAYS, first = any_length;
  for (const text_rule *t = a->texts; t && !schema_failed(s); t = t->next) {
    expr *one = schema_pattern(s, t->pattern, t->at);
    if (t->not ) one = expr_not(s->p, one);
    e = first && !t->not ? one : expr_and(s->p, e, one);
    first = false;
  }
  expr *excluded = s->p->none;
  for (const value_list *v = a->excluded; v; v = v->next)
    excluded = expr_or(s->p, excluded, json_letters_of(s->p, v->v->text));
  return excluded == s->p->none ? e : expr_and(s->p, e, expr_not(s->p, excluded));
}

/* ---- Numbers ---- */

expr *schema_number(schema_compiler *s, const shape *a) {
  expr_pool *p = s->p;
  const json_parts *j = json_parts_of(p);
  if (!j) return p->none;
  expr *e = a->whole ? j->integer : j->number;
  if (a->low.there) e = numbers_from(p, &a->low.number, a->low.exclusive, a->whole);
  if (a->high.there) {
    expr *high = numbers_to(p, &a->high.number, a->high.exclusive, a->whole);
    e = a->low.there ? expr_and(p, e, high) : high;
  }
  bool plain = !a->low.there && !a->high.there;
  const decimal zero = {0};
  expr *integer = j->integer;
  if (a->low.there && a->low.number.n == 0 && !a->low.exclusive && !a->high.there && !a->whole) /* >= 0: no sign */
    e = expr_or(p, e, expr_list(p, (expr *const[]){j->natural, j->fraction, j->exponent}, 3));
  if (s->strict_integers) {
    integer = expr_seq(p, expr_optional(p, expr_string(p, "-")), j->natural);
    if (a->whole) e = plain ? integer : expr_and(p, e, integer);
  }
  /* Whether a number is whole is told from its digits: those with exponents are left out. */
  if (a->broken) {
    if (plain) e = expr_or(p, numbers_from(p, &zero, false, false), numbers_to(p, &zero, false, false));
    e = expr_and(p, e, expr_not(p, integer));
    plain = false;
  }
  for (const number_rule *m = a->multiples; m && !schema_failed(s); m = m->next) {
    decimal one = {.n = 1, .point = 1, .digits = "1"};
    if (!m->not &&a->whole && decimal_compare(&m->divisor, &one) == 0) continue;
    expr *of = numbers_multiple(p, &m->divisor, a->whole);
    if (!of) {
      schema_fail(s, m->at, GALE_E_UNSUPPORTED, "the divisor takes too many states");
      return p->none;
    }
    /* Exponents would have to be counted: numbers without are enough. */
    expr *all = expr_or(p, numbers_from(p, &zero, false, a->whole), numbers_to(p, &zero, false, a->whole));
    if (m->not ) of = expr_and(p, all, expr_not(p, of));
    e = plain ? of : expr_and(p, e, of);
    plain = false;
  }
  for (const value_list *v = a->excluded; v; v = v->next) {
    decimal d;
    expr *all = plain ? expr_or(p, numbers_from(p, &zero, false, a->whole), numbers_to(p, &zero, false, a->whole)) : e;
    if (decimal_read(v->v->text, &d)) e = expr_and(p, all, expr_not(p, number_equal(p, &d)));
    plain = false;
  }
  return e;
}

/* ---- Values ---- */

static expr *literal_values(schema_compiler *s, const shape *a) {
  expr_vector v;
  vector_begin(&v);
  for (const value_list *item = a->values; item; item = item->next) {
    decimal d;
    bool number = a->kind == SHAPE_NUMBER && decimal_read(item->v->text, &d);
    vector_add(s->p, &v, number ? number_equal(s->p, &d) : json_value_of(s->p, item->v));
  }
  expr *e = expr_alt(s->p, v.items, v.n);
  vector_end(&v);
  return e;
}

static expr *any_value(schema_compiler *s, const shape *a) {
  (void)a;
  return json_any(s->p, JSON_DEPTH);
}

static expr *shape_value(schema_compiler *s, const shape *a) {
  const json_parts *j = json_parts_of(s->p);
  if (!j) return s->p->none;
  if (a->literal) return literal_values(s, a);
  switch (a->kind) {
  case SHAPE_NULL:
    return expr_string(s->p, "null");
  case SHAPE_FALSE:
    return expr_string(s->p, "false");
  case SHAPE_TRUE:
    return expr_string(s->p, "true");
  case SHAPE_NUMBER:
    return schema_number(s, a);
  case SHAPE_STRING: {
    if (!a->texts && !a->excluded && !a->least && a->most == REPEAT_ALWAYS) return j->string;
    return expr_list(s->p, (expr *const[]){j->quote, schema_string_content(s, a), j->quote}, 3);
  }
  case SHAPE_ARRAY:
    return schema_array(s, a);
  default:
    return schema_object(s, a);
  }
}

static expr *compile_clauses(schema_compiler *s, clause_list *clauses) {
  if (clauses == s->anything) return any_value(s, NULL);
  shape_list shapes = schema_resolve(s, clauses);
  expr_vector v;
  vector_begin(&v);
  for (size_t i = 0; i < shapes.n && !schema_failed(s); i++) vector_add(s->p, &v, shape_value(s, shapes.shapes[i]));
  expr *e = schema_failed(s) ? s->p->none : expr_alt(s->p, v.items, v.n);
  vector_end(&v);
  return e;
}

expr *schema_value(schema_compiler *s, clause_list *clauses) {
  if (clauses == s->nothing || schema_failed(s)) return s->p->none;
  if (clauses->compiled) return clauses->compiled;
  if (clauses->compiling) {
    if (clauses->rule == UINT32_MAX) clauses->rule = expr_rule_new(s->p, false);
    return expr_call(s->p, clauses->rule);
  }
  if (s->depth >= DEEPEST_VALUE) {
    schema_fail(s, clauses->n ? clauses->clauses[0].schema : NULL, GALE_E_UNSUPPORTED, "nested too deeply");
    return s->p->none;
  }
  s->depth++;
  clauses->compiling = true;
  expr *e = compile_clauses(s, clauses);
  clauses->compiling = false;
  s->depth--;
  if (clauses->rule != UINT32_MAX) {
    expr_rule_set(s->p, clauses->rule, e);
    e = expr_call(s->p, clauses->rule);
  }
  clauses->compiled = e;
  return e;
}

/* ---- The whole ---- */

static bool names_draft(const value *root, const char *const *names, size_t n) {
  const value *draft = value_get(root, "$schema");
  if (!value_is(draft, VALUE_STRING)) return false;
  for (size_t i = 0; i < n; i++)
    if (memmem(draft->text.s, draft->text.n, names[i], strlen(names[i]))) return true;
  return false;
}

static gale_status compile_root(schema_compiler *s, expr **e) {
  s->nothing = schema_alloc(s, sizeof *s->nothing);
  s->anything = s->nothing ? clauses_of(s, NULL, 0) : NULL;
  const json_parts *j = json_parts_of(s->p);
  if (!s->anything || !j) return GALE_OK; /* the pool has failed */
  static const char *const OLD[] = {"draft-03", "draft-04", "draft-06", "draft-07"};
  s->refs_alone = names_draft(s->root, OLD, 4);
  s->strict_integers = names_draft(s->root, OLD, 2);
  expr *v = schema_value(s, clauses_one(s, s->root, false, s->open));
  v = expr_settle_rules(s->p, v);
  if (!schema_failed(s) && v == s->p->none) schema_fail(s, s->root, GALE_E_ARGUMENT, "no value can satisfy the schema");
  *e = expr_list(s->p, (expr *const[]){j->space, v, j->space}, 3);
  return s->status;
}

gale_status compile_schema(expr_pool *p, const gale_constraint_options *o, expr **e, gale_error *error) {
  static const value_form FORM = {.flags = VALUE_LAST_OF_KEY, .depth = 200};
  schema_compiler *s = o->length > MOST_TEXT ? NULL : calloc(1, sizeof *s);
  if (o->length > MOST_TEXT) return error_set(error, GALE_E_UNSUPPORTED, "/: the schema is longer than 4 MiB");
  if (!s) return error_memory(error, sizeof *s);
  *s = (schema_compiler){.p = p, .lenient = o->lenient, .open = o->open, .any_order = o->any_order, .error = error};
  value *root = NULL;
  value_report report = {0};
  value_status read = value_read(&s->memory, (slice){o->text, o->length}, FORM, &root, &report);
  gale_status status;
  if (read == VALUE_MEMORY) {
    status = error_memory(error, o->length);
  } else if (read) {
    status = error_set(error, GALE_E_ARGUMENT, "byte %zu: %s", report.at, report.why);
  } else {
    s->root = root;
    status = compile_root(s, e);
  }
  if (!status && p->failed && !p->no_memory) status = error_set(error, GALE_E_UNSUPPORTED, "/: %s", p->failed);
  arena_free(&s->memory);
  free(s);
  return status;
}
