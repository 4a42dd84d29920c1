/* Lists as expressions. */
#include "constraint/schema_shape.h"

#include "base/error.h"
#include "constraint/json_text.h"

#include <string.h>

enum { MOST_STATES = 4096, MOST_DISTINCT = 8 };

typedef struct list_states {
  schema_compiler *s;
  const shape *a;
  const json_parts *j;
  const contains_rule *contains; /* or NULL */
  size_t fixed;                  /* places that are told apart */
  uint32_t count;                /* items that `contains` counts, up to here */
} list_states;

static expr *byte_of(expr_pool *p, char c) {
  return expr_range(p, (unsigned char)c, (unsigned char)c);
}

/* The next item in front of `rest`. */
static expr *with_item(const list_states *l, size_t place, clause_list *clauses, expr *rest) {
  expr *item = schema_value(l->s, clauses);
  return expr_list(l->s->p, (expr *const[]){place ? l->j->comma : l->s->p->empty, item, l->j->space, rest}, 4);
}

/* What may follow `place` items of which `found` are counted, where next[found] is what may follow one more. */
static expr *behind(const list_states *l, size_t place, uint32_t found, expr *const *next) {
  expr_pool *p = l->s->p;
  const shape *a = l->a;
  bool done = place >= a->least && (!l->contains || found >= l->contains->least);
  expr *e = done ? byte_of(p, ']') : p->none;
  if (place >= a->most) return e;
  clause_list *item = item_clauses(l->s, a, place);
  if (!l->contains) return expr_or(p, e, with_item(l, place, item, next[0]));
  bool exact = l->contains->most != REPEAT_ALWAYS; /* then items that are not counted must be known to be none */
  clause_list *other = item;
  for (size_t i = 0; exact && i < l->contains->of->n; i++) {
    clause c = l->contains->of->clauses[i];
    c.not = !c.not ;
    other = clauses_join(l->s, other, clauses_of(l->s, &c, 1));
  }
  uint32_t more = found < l->count ? found + 1 : found;
  if (!exact || found < l->contains->most)
    e = expr_or(p, e, with_item(l, place, clauses_join(l->s, item, l->contains->of), next[more]));
  return expr_or(p, e, with_item(l, place, other, next[found]));
}

/* The list from its first item on, place by place; behind the last place that is told apart it repeats. */
static expr *tracked(const list_states *l) {
  expr_pool *p = l->s->p;
  size_t states = l->count + 1;
  if (l->fixed > MOST_STATES / states) {
    schema_fail(l->s, l->contains ? l->contains->at : NULL, GALE_E_UNSUPPORTED, "the list takes too many states");
    return p->none;
  }
  expr **next = schema_alloc(l->s, states * sizeof *next), **now = schema_alloc(l->s, states * sizeof *now);
  if (!next || !now) return p->none;
  if (l->a->most == REPEAT_ALWAYS) {
    uint32_t *rule = schema_alloc(l->s, states * sizeof *rule);
    if (!rule) return p->none;
    for (size_t f = 0; f < states; f++) {
      rule[f] = expr_rule_new(p, false);
      next[f] = expr_call(p, rule[f]);
    }
    for (size_t f = 0; f < states; f++) expr_rule_set(p, rule[f], behind(l, l->fixed, (uint32_t)f, next));
  } else {
    for (size_t f = 0; f < states; f++) next[f] = behind(l, l->fixed, (uint32_t)f, NULL);
  }
  for (size_t place = l->fixed; place-- > 0 && !schema_failed(l->s);) {
    for (size_t f = 0; f < states; f++) now[f] = behind(l, place, (uint32_t)f, next);
    expr **swap = now;
    now = next;
    next = swap;
  }
  return next[0];
}

/* ---- Items that all differ ---- */

/* The values that items may have, if they are few; false if they are not known to be. */
static bool distinct_values(schema_compiler *s, const shape *a, const value **values, size_t *n) {
  static const value NAMED[] = {{.kind = VALUE_NULL, .text = {"null", 4}},
                                {.kind = VALUE_FALSE, .text = {"false", 5}},
                                {.kind = VALUE_TRUE, .text = {"true", 4}}};
  shape_list shapes = schema_resolve(s, item_clauses(s, a, 0));
  *n = 0;
  for (const item_rule *r = a->items; r; r = r->next)
    if (r->n_prefix) return false;
  for (size_t i = 0; i < shapes.n; i++) {
    const shape *one = shapes.shapes[i];
    const value_list named = {.v = one->kind <= SHAPE_TRUE ? &NAMED[one->kind] : NULL};
    if (!one->literal && !named.v) return false;
    for (const value_list *v = one->literal ? one->values : &named; v; v = v->next) {
      size_t k = 0;
      while (k < *n && !values_equal(values[k], v->v)) k++;
      if (k < *n) continue;
      if (*n == MOST_DISTINCT) return false;
      values[(*n)++] = v->v;
    }
  }
  return true;
}

/* A state for each set of values that were used. */
static expr *all_distinct(schema_compiler *s, const shape *a, const value *const *values, size_t n) {
  expr_pool *p = s->p;
  const json_parts *j = json_parts_of(p);
  expr **of = schema_alloc(s, ((size_t)1 << n) * sizeof *of);
  if (!of || !j) return p->none;
  for (size_t used = (size_t)1 << n; used-- > 0;) {
    size_t count = (size_t)__builtin_popcountll(used);
    expr *e = count >= a->least && count <= a->most ? byte_of(p, ']') : p->none;
    for (size_t i = 0; i < n && count < a->most; i++)
      if (!(used >> i & 1)) {
        decimal d;
        bool number = kind_of(values[i]) == SHAPE_NUMBER && decimal_read(values[i]->text, &d);
        expr *item = number ? number_equal(p, &d) : json_value_of(p, values[i]);
        expr *parts[] = {count ? j->comma : p->empty, item, j->space, of[used | (size_t)1 << i]};
        e = expr_or(p, e, expr_list(p, parts, 4));
      }
    of[used] = e;
  }
  return of[0];
}

expr *schema_array(schema_compiler *s, const shape *a) {
  expr_pool *p = s->p;
  list_states l = {.s = s, .a = a, .j = json_parts_of(p), .contains = a->contains};
  if (!l.j) return p->none;
  if (a->excluded) {
    schema_fail(s, a->excluded->v, GALE_E_UNSUPPORTED, "the opposite of a list is not supported");
    return p->none;
  }
  for (const item_rule *r = a->items; r; r = r->next)
    if (r->n_prefix > l.fixed) l.fixed = r->n_prefix;
  expr *body = NULL;
  if (a->unique && a->most > 1) {
    const value *values[MOST_DISTINCT];
    size_t n;
    bool few = distinct_values(s, a, values, &n) && !a->contains;
    if (few) body = all_distinct(s, a, values, n);
    if (!few && !s->lenient) {
      schema_fail(s, a->unique, GALE_E_UNSUPPORTED,
                  "items that differ are supported only where they are of few values");
      return p->none;
    }
  }
  if (a->contains && a->contains->next) {
    schema_fail(s, a->contains->next->at, GALE_E_UNSUPPORTED, "one `contains` for a list is supported");
    return p->none;
  }
  if (!body && !l.contains && l.fixed == 0)
    return json_array_of(p, a->most ? schema_value(s, item_clauses(s, a, 0)) : p->none, a->least, a->most);
  if (!body) {
    if (l.contains) l.count = l.contains->most == REPEAT_ALWAYS ? l.contains->least : l.contains->most;
    if (a->least > l.fixed) l.fixed = a->least;
    if (a->most != REPEAT_ALWAYS) l.fixed = a->most;
    if (l.fixed == 0) l.fixed = 1; /* the first item has no comma before it */
    body = tracked(&l);
  }
  return expr_list(p, (expr *const[]){byte_of(p, '['), l.j->space, body}, 3);
}
