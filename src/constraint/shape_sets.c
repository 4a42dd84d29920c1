/* Shapes: intersection, and whether a value fits. */
#include "constraint/schema_shape.h"

#include <string.h>

enum { MOST_SHAPES = 1000 };

shape *shape_new(schema_compiler *s, shape_kind kind) {
  shape *a = schema_alloc(s, sizeof *a);
  if (a) *a = (shape){.kind = kind, .most = REPEAT_ALWAYS};
  return a;
}

shape_list shapes_add(schema_compiler *s, shape_list to, shape *one) {
  shape_list more = {schema_alloc(s, (to.n + 1) * sizeof *more.shapes), to.n + 1};
  if (!more.shapes || !one) return to;
  if (to.n) memcpy(more.shapes, to.shapes, to.n * sizeof *more.shapes);
  more.shapes[to.n] = one;
  return more;
}

shape_list shapes_all(schema_compiler *s, unsigned kinds) {
  shape_list all = {schema_alloc(s, SHAPE_KINDS * sizeof *all.shapes), 0};
  for (int k = 0; k < SHAPE_KINDS && all.shapes; k++)
    if (kinds >> k & 1) {
      shape *one = shape_new(s, (shape_kind)k);
      if (one) all.shapes[all.n++] = one;
    }
  return all;
}

shape_list shapes_join(schema_compiler *s, shape_list a, shape_list b) {
  if (a.n == 0) return b;
  if (b.n == 0) return a;
  if (a.n + b.n > MOST_SHAPES) {
    schema_fail(s, NULL, GALE_E_UNSUPPORTED, "the schema has too many cases");
    return a;
  }
  shape_list all = {schema_alloc(s, (a.n + b.n) * sizeof *all.shapes), a.n + b.n};
  if (!all.shapes) return a;
  memcpy(all.shapes, a.shapes, a.n * sizeof *all.shapes);
  memcpy(all.shapes + a.n, b.shapes, b.n * sizeof *all.shapes);
  return all;
}

/* ---- Intersection ---- */

/* The nodes of a, copied, and then those of b; each begins with a pointer to the next. */
static void *chain(schema_compiler *s, void *a, void *b, size_t size) {
  if (!a) return b;
  if (!b) return a;
  void *copy = schema_alloc(s, size), *next;
  if (!copy) return b;
  memcpy(copy, a, size);
  memcpy(&next, a, sizeof next);
  next = chain(s, next, b, size);
  memcpy(copy, &next, sizeof next);
  return copy;
}

/* 1: the tighter of two lower bounds; -1: of two upper ones */
static bound tighter(const bound *a, const bound *b, int side) {
  if (!a->there || !b->there) return a->there ? *a : *b;
  int order = decimal_compare(&a->number, &b->number) * side;
  if (order == 0) return a->exclusive ? *a : *b;
  return order > 0 ? *a : *b;
}

static bool crossed(const shape *a) {
  if (!a->low.there || !a->high.there) return false;
  int order = decimal_compare(&a->low.number, &a->high.number);
  return order > 0 || (order == 0 && (a->low.exclusive || a->high.exclusive));
}

static shape *literals_within(schema_compiler *s, const shape *literal, const shape *other) {
  shape *kept = shape_new(s, literal->kind);
  value_list **last = kept ? &kept->values : NULL;
  if (!kept) return NULL;
  kept->literal = true;
  for (const value_list *v = literal->values; v && !schema_failed(s); v = v->next) {
    if (!shape_admits(s, other, v->v)) continue;
    value_list *copy = schema_alloc(s, sizeof *copy);
    if (!copy) return NULL;
    *copy = (value_list){.v = v->v};
    *last = copy;
    last = &copy->next;
  }
  return kept->values ? kept : NULL;
}

static shape *both(schema_compiler *s, const shape *a, const shape *b) {
  if (a->kind != b->kind) return NULL;
  if (a->literal) return literals_within(s, a, b);
  if (b->literal) return literals_within(s, b, a);
  shape *c = schema_alloc(s, sizeof *c);
  if (!c) return NULL;
  *c = *a;
  c->excluded = chain(s, a->excluded, b->excluded, sizeof *c->excluded);
  c->least = a->least > b->least ? a->least : b->least;
  c->most = a->most < b->most ? a->most : b->most;
  c->whole |= b->whole;
  c->broken |= b->broken;
  c->low = tighter(&a->low, &b->low, 1);
  c->high = tighter(&a->high, &b->high, -1);
  c->multiples = chain(s, a->multiples, b->multiples, sizeof *c->multiples);
  c->texts = chain(s, a->texts, b->texts, sizeof *c->texts);
  c->items = chain(s, a->items, b->items, sizeof *c->items);
  c->contains = chain(s, a->contains, b->contains, sizeof *c->contains);
  if (!c->unique) c->unique = b->unique;
  c->members = chain(s, a->members, b->members, sizeof *c->members);
  c->required = chain(s, a->required, b->required, sizeof *c->required);
  c->names = chain(s, a->names, b->names, sizeof *c->names);
  c->closed |= b->closed;
  if (c->least > c->most || (c->whole && c->broken) || crossed(c)) return NULL;
  return c;
}

static bool says_nothing(const shape *a) {
  static const bound NO_BOUND = {0};
  return !a->literal && !a->excluded && !a->least && a->most == REPEAT_ALWAYS && !a->whole && !a->broken &&
         a->low.there == NO_BOUND.there && !a->high.there && !a->multiples && !a->texts && !a->items && !a->contains &&
         !a->unique && !a->members && !a->required && !a->names && !a->closed;
}

shape_list shapes_intersect(schema_compiler *s, shape_list a, shape_list b) {
  shape_list all = {0};
  if (a.n == 0 || b.n == 0) return all;
  all.shapes =
      schema_alloc(s, a.n * b.n < MOST_SHAPES ? a.n * b.n * sizeof *all.shapes : MOST_SHAPES * sizeof *all.shapes);
  if (!all.shapes || !schema_work(s, a.n * b.n / 8)) return all;
  for (size_t i = 0; i < a.n; i++)
    for (size_t k = 0; k < b.n && !schema_failed(s); k++) {
      const shape *x = a.shapes[i], *y = b.shapes[k];
      if (x->kind != y->kind) continue;
      schema_work(s, 1);
      shape *c = says_nothing(y) ? a.shapes[i] : says_nothing(x) ? b.shapes[k] : both(s, x, y);
      if (!c || !shape_possible(s, c)) continue;
      if (all.n == MOST_SHAPES) {
        schema_fail(s, NULL, GALE_E_UNSUPPORTED, "the schema has too many cases");
        return all;
      }
      all.shapes[all.n++] = c;
    }
  return all;
}

/* ---- Values ---- */

shape_kind kind_of(const value *v) {
  switch (v->kind) {
  case VALUE_NULL:
    return SHAPE_NULL;
  case VALUE_FALSE:
    return SHAPE_FALSE;
  case VALUE_TRUE:
    return SHAPE_TRUE;
  case VALUE_INTEGER:
  case VALUE_REAL:
    return SHAPE_NUMBER;
  case VALUE_STRING:
    return SHAPE_STRING;
  case VALUE_ARRAY:
    return SHAPE_ARRAY;
  default:
    return SHAPE_OBJECT;
  }
}

bool values_equal(const value *a, const value *b) {
  if (kind_of(a) != kind_of(b)) return false;
  switch (kind_of(a)) {
  case SHAPE_NUMBER: {
    decimal x, y;
    if (!decimal_read(a->text, &x) || !decimal_read(b->text, &y)) return slice_equal(a->text, b->text);
    return decimal_compare(&x, &y) == 0;
  }
  case SHAPE_STRING:
    return slice_equal(a->text, b->text);
  case SHAPE_ARRAY:
  case SHAPE_OBJECT: {
    if (a->count != b->count) return false;
    const value *y = b->first;
    for (const value *x = a->first; x; x = x->next, y = y->next) {
      const value *other = a->kind == VALUE_OBJECT ? value_find(b, x->key) : y;
      if (!other || !values_equal(x, other)) return false;
    }
    return true;
  }
  default:
    return true;
  }
}

static bool in_list(const value_list *list, const value *v) {
  for (; list; list = list->next)
    if (values_equal(list->v, v)) return true;
  return false;
}

static bool admits_number(schema_compiler *s, const shape *a, const value *v) {
  decimal d;
  if (!decimal_read(v->text, &d)) {
    schema_fail(s, v, GALE_E_UNSUPPORTED, "the number has too many digits");
    return false;
  }
  if ((a->whole && !decimal_whole(&d)) || (a->broken && decimal_whole(&d))) return false;
  int low = a->low.there ? decimal_compare(&d, &a->low.number) : 1;
  int high = a->high.there ? decimal_compare(&d, &a->high.number) : -1;
  if (low < 0 || (low == 0 && a->low.exclusive) || high > 0 || (high == 0 && a->high.exclusive)) return false;
  for (const number_rule *m = a->multiples; m; m = m->next) {
    expr *e = numbers_multiple(s->p, &m->divisor, false), *one = number_equal(s->p, &d);
    if (!e) schema_fail(s, m->at, GALE_E_UNSUPPORTED, "the divisor takes too many states");
    if (!e || (expr_and(s->p, e, one) == s->p->none) != m->not ) return false;
  }
  return true;
}

static size_t characters(slice text) {
  size_t n = 0;
  for (size_t i = 0; i < text.n; i++) n += ((unsigned char)text.s[i] & 0xC0) != 0x80;
  return n;
}

static bool admits_string(schema_compiler *s, const shape *a, const value *v) {
  size_t n = characters(v->text);
  if (n < a->least || n > a->most) return false;
  for (const text_rule *t = a->texts; t; t = t->next)
    if (pattern_finds(s, t->pattern, t->at, v->text) == t->not ) return false;
  return true;
}

static bool admits_array(schema_compiler *s, const shape *a, const value *v) {
  if (v->count < a->least || v->count > a->most) return false;
  size_t i = 0;
  for (const value *item = v->first; item; item = item->next, i++) {
    if (!clauses_admit(s, item_clauses(s, a, i), item)) return false;
    for (const value *other = item->next; a->unique && other; other = other->next)
      if (values_equal(item, other)) return false;
  }
  for (const contains_rule *c = a->contains; c; c = c->next) {
    size_t n = 0;
    for (const value *item = v->first; item; item = item->next) n += clauses_admit(s, c->of, item);
    if (n < c->least || n > c->most) return false;
  }
  return true;
}

static bool admits_object(schema_compiler *s, const shape *a, const value *v) {
  if (v->count < a->least || v->count > a->most) return false;
  for (const name_list *r = a->required; r; r = r->next)
    if (!value_find(v, r->name)) return false;
  for (const value *member = v->first; member; member = member->next) {
    bool mentioned;
    if (!clauses_admit(s, member_clauses(s, a, member->key, &mentioned), member)) return false;
    const value name = {.kind = VALUE_STRING, .text = member->key};
    for (const clause_chain *c = a->names; c; c = c->next)
      if (!clauses_admit(s, c->of, &name)) return false;
  }
  return true;
}

bool shape_admits(schema_compiler *s, const shape *a, const value *v) {
  if (kind_of(v) != a->kind || !schema_work(s, 1)) return false;
  if (a->literal) return in_list(a->values, v);
  if (in_list(a->excluded, v)) return false;
  switch (a->kind) {
  case SHAPE_NUMBER:
    return admits_number(s, a, v);
  case SHAPE_STRING:
    return admits_string(s, a, v);
  case SHAPE_ARRAY:
    return admits_array(s, a, v);
  case SHAPE_OBJECT:
    return admits_object(s, a, v);
  default:
    return true;
  }
}

bool clauses_admit(schema_compiler *s, clause_list *clauses, const value *v) {
  if (clauses->n == 0 && clauses != s->nothing) return true;
  shape_list all = schema_resolve(s, clauses);
  for (size_t i = 0; i < all.n; i++)
    if (shape_admits(s, all.shapes[i], v)) return true;
  return false;
}

/* ---- What is possible ---- */

static bool array_possible(schema_compiler *s, const shape *a) {
  for (size_t i = 0; i < a->least && i < 4; i++)
    if (!clauses_possible(s, item_clauses(s, a, i))) return false;
  return true;
}

static bool object_possible(schema_compiler *s, const shape *a) {
  bool mentioned;
  for (const name_list *r = a->required; r; r = r->next)
    if (!clauses_possible(s, member_clauses(s, a, r->name, &mentioned))) return false;
  return true;
}

bool shape_possible(schema_compiler *s, const shape *a) {
  if (a->literal) return a->values != NULL;
  switch (a->kind) {
  case SHAPE_NULL:
  case SHAPE_FALSE:
  case SHAPE_TRUE:
    return !a->excluded;
  case SHAPE_STRING:
    return !a->texts || schema_string_content(s, a) != s->p->none;
  case SHAPE_NUMBER:
    return !(a->low.there && a->high.there && a->whole) || schema_number(s, a) != s->p->none;
  case SHAPE_ARRAY:
    return array_possible(s, a);
  default:
    return object_possible(s, a);
  }
}

bool clauses_possible(schema_compiler *s, clause_list *clauses) {
  if (clauses == s->nothing) return false;
  if (clauses->n == 0 || clauses->possible) return clauses->possible != 1;
  clauses->possible = 2; /* while it is looked at within itself */
  bool yes = schema_resolve(s, clauses).n > 0 || schema_failed(s);
  clauses->possible = yes ? 2 : 1;
  return yes;
}

/* ---- What is within ---- */

clause_list *item_clauses(schema_compiler *s, const shape *a, size_t i) {
  clause_list *all = s->anything;
  for (const item_rule *r = a->items; r; r = r->next)
    all = clauses_join(s, all, i < r->n_prefix ? r->prefix[i] : r->rest);
  return all;
}

static clause_list *of_rule(schema_compiler *s, const member_rule *r, slice name, bool *mentioned) {
  clause_list *all = s->anything;
  bool found = false;
  for (size_t i = 0; i < r->n_named && !found; i++)
    if (slice_equal(r->named[i].name, name)) {
      all = clauses_join(s, all, r->named[i].of);
      found = true;
    }
  for (size_t i = 0; i < r->n_matching; i++)
    if (pattern_finds(s, r->matching[i].name, r->matching[i].at, name)) {
      all = clauses_join(s, all, r->matching[i].of);
      found = true;
    }
  *mentioned |= found;
  return found ? all : r->others;
}

clause_list *member_clauses(schema_compiler *s, const shape *a, slice name, bool *mentioned) {
  clause_list *all = s->anything;
  *mentioned = false;
  for (const member_rule *r = a->members; r; r = r->next) all = clauses_join(s, all, of_rule(s, r, name, mentioned));
  for (const name_list *r = a->required; r && !*mentioned; r = r->next) *mentioned = slice_equal(r->name, name);
  return a->closed && !*mentioned ? s->nothing : all;
}
