/* Objects as expressions: members that are named come first, in order, then others. */
#include "constraint/schema_object.h"

#include "base/error.h"
#include "constraint/expr_build.h"

#include <string.h>

enum { MOST_STATES = 20000, MOST_PATTERNS = 5, LARGE_SET = 8 };

/* ---- Named members ---- */

static bool is_listed(const object_parts *o, size_t n, slice name) {
  for (size_t i = 0; i < n; i++)
    if (slice_equal(o->members[i].name, name)) return true;
  return false;
}

static bool name_admitted(schema_compiler *s, const shape *a, slice name) {
  const value v = {.kind = VALUE_STRING, .text = name};
  for (const clause_chain *c = a->names; c; c = c->next)
    if (!clauses_admit(s, c->of, &v)) return false;
  return true;
}

/* Lists all names that rules mention. One rule alone has each once, and says all of it that is to be said. */
static bool list_members(object_parts *o) {
  const shape *a = o->a;
  size_t most = 1;
  for (const member_rule *r = a->members; r; r = r->next) most += r->n_named;
  for (const name_list *r = a->required; r; r = r->next) most++;
  o->members = schema_alloc(o->s, most * sizeof *o->members);
  if (!o->members) return false;
  bool alone = a->members && !a->members->next && a->members->n_matching == 0;
  for (const member_rule *r = a->members; r; r = r->next)
    for (size_t i = 0; i < r->n_named; i++) {
      slice name = r->named[i].name;
      bool mentioned;
      if (!alone && (!schema_work(o->s, o->n / 16) || is_listed(o, o->n, name))) continue;
      o->members[o->n++] =
          (member){.name = name, .of = alone ? r->named[i].of : member_clauses(o->s, a, name, &mentioned)};
    }
  size_t declared = o->n;
  for (const name_list *r = a->required; r; r = r->next) {
    size_t i = 0;
    schema_work(o->s, declared / 16);
    while (i < o->n && !slice_equal(o->members[i].name, r->name)) i++;
    if (i == o->n) {
      bool mentioned;
      o->members[o->n++] = (member){.name = r->name, .of = member_clauses(o->s, a, r->name, &mentioned)};
    }
    o->members[i].required = true;
  }
  return !schema_failed(o->s);
}

/* Sorts declared names into those that are written in one way, and the others. */
static void list_declared(object_parts *o) {
  expr_vector names;
  vector_begin(&names);
  o->plain = schema_alloc(o->s, (o->n + 1) * sizeof *o->plain);
  o->lengths = schema_alloc(o->s, (o->n + 1) * sizeof *o->lengths);
  for (size_t i = 0; i < o->n && o->plain && o->lengths; i++) {
    slice name = o->members[i].name;
    if (json_plain(name)) {
      o->plain[o->n_plain] = name.s;
      o->lengths[o->n_plain++] = name.n;
    } else {
      vector_add(o->p, &names, json_letters_of(o->p, name));
    }
  }
  o->declared = expr_alt(o->p, names.items, names.n);
  vector_end(&names);
}

/* Drops members that cannot be there. False where one of them must. */
static bool drop_impossible(object_parts *o) {
  size_t n = 0;
  for (size_t i = 0; i < o->n && !schema_failed(o->s); i++) {
    member *m = &o->members[i];
    bool possible = m->of != o->s->nothing && name_admitted(o->s, o->a, m->name) && clauses_possible(o->s, m->of);
    if (possible)
      o->members[n++] = *m;
    else if (m->required)
      return false;
  }
  o->n = n;
  return true;
}

/* ---- Others ---- */

/* Patterns of names, each once. */
static size_t list_patterns(object_parts *o, const named_clauses **patterns) {
  size_t n = 0;
  for (const member_rule *r = o->a->members; r; r = r->next)
    for (size_t i = 0; i < r->n_matching; i++) {
      size_t k = 0;
      while (k < n && !slice_equal(patterns[k]->name, r->matching[i].name)) k++;
      if (k < n) continue;
      if (n == MOST_PATTERNS) {
        schema_fail(o->s, r->matching[i].at, GALE_E_UNSUPPORTED, "more than 5 patterns of names are not supported");
        return 0;
      }
      patterns[n++] = &r->matching[i];
    }
  return n;
}

/* What holds for members whose names have these patterns and no others. */
static clause_list *others_clauses(object_parts *o, const named_clauses *const *patterns, size_t n, size_t set) {
  clause_list *all = o->s->anything;
  for (const member_rule *r = o->a->members; r; r = r->next) {
    bool matched = false;
    for (size_t i = 0; i < r->n_matching; i++)
      for (size_t k = 0; k < n; k++)
        if (set >> k & 1 && slice_equal(patterns[k]->name, r->matching[i].name)) {
          all = clauses_join(o->s, all, r->matching[i].of);
          matched = true;
        }
    if (!matched) all = clauses_join(o->s, all, r->others);
  }
  return o->a->closed && set == 0 ? o->s->nothing : all;
}

/* The content of names that all name clauses admit. */
static expr *admitted_names(object_parts *o, expr *content) {
  for (const clause_chain *c = o->a->names; c && !schema_failed(o->s); c = c->next) {
    shape_list shapes = schema_resolve(o->s, c->of);
    expr *any = o->p->none;
    for (size_t i = 0; i < shapes.n; i++) {
      const shape *a = shapes.shapes[i];
      if (a->kind != SHAPE_STRING) continue;
      for (const value_list *v = a->literal ? a->values : NULL; v; v = v->next)
        any = expr_or(o->p, any, json_letters_of(o->p, v->v->text));
      if (!a->literal) any = expr_or(o->p, any, schema_string_content(o->s, a));
    }
    content = expr_and(o->p, content, any);
  }
  return content;
}

static expr *other_names(object_parts *o, const named_clauses *const *patterns, size_t n, size_t set) {
  expr_pool *p = o->p;
  expr *content = expr_except(p, o->j->letters, o->plain, o->lengths, o->n_plain);
  bool all = o->n_plain == 0;
  for (size_t k = 0; k < n; k++) {
    expr *one = schema_pattern(o->s, patterns[k]->name, patterns[k]->at);
    if (!(set >> k & 1)) one = expr_not(p, one);
    content = all && set >> k & 1 ? one : expr_and(p, content, one);
    all = false;
  }
  if (o->declared != p->none) {
    content = expr_and(p, content, expr_not(p, o->declared));
    all = false;
  }
  if (all && !o->a->names) return o->j->string;
  content = admitted_names(o, content);
  return expr_list(p, (expr *const[]){o->j->quote, content, o->j->quote}, 3);
}

static void list_others(object_parts *o) {
  const named_clauses *patterns[MOST_PATTERNS];
  size_t n = list_patterns(o, patterns);
  o->other = o->p->none;
  for (size_t set = 0; set < (size_t)1 << n && !schema_failed(o->s); set++) {
    clause_list *of = others_clauses(o, patterns, n, set);
    if (!clauses_possible(o->s, of)) continue;
    expr *name = other_names(o, patterns, n, set);
    if (name == o->p->none) continue;
    expr *parts[] = {name, o->j->colon, schema_value(o->s, of), o->j->space};
    o->other = expr_or(o->p, o->other, expr_list(o->p, parts, 4));
  }
}

/* ---- The whole ---- */

/* Members that are not named, one and more, and the end, where `count` are there already. */
static expr *others_from(object_parts *o, uint32_t count) {
  expr_pool *p = o->p;
  if (o->other == p->none || count >= o->most) return p->none;
  uint32_t least = o->least > count + 1 ? o->least - count - 1 : 0;
  uint32_t more = o->most == REPEAT_ALWAYS ? o->most : o->most - count - 1;
  expr *next = expr_repeat(p, expr_seq(p, o->j->comma, o->other), least, more);
  return expr_list(p, (expr *const[]){o->other, next, expr_string(p, "}")}, 3);
}

static expr *boxed(expr_pool *p, expr *e) {
  return e->kind == EXPR_ALT && e->list.n > LARGE_SET ? expr_box(p, e) : e;
}

expr *object_member(object_parts *o, size_t i) {
  const member *m = &o->members[i];
  expr *behind = expr_list(o->p, (expr *const[]){o->j->colon, schema_value(o->s, m->of), o->j->space}, 3);
  /* A box, since what follows is put behind it more than once. */
  return expr_seq(o->p, json_string_of(o->p, m->name), expr_box(o->p, behind));
}

/* From the last member to the first, for each number of members that are there, counted up to `cap`: further ones, one
 * at least and with no comma before it; and, where there need be none, the end. */
static expr *members_from(object_parts *o, uint32_t cap) {
  expr_pool *p = o->p;
  expr **some = schema_alloc(o->s, (cap + 1) * sizeof *some), **end = schema_alloc(o->s, (cap + 1) * sizeof *end);
  if (!some || !end) return p->none;
  for (uint32_t c = 0; c <= cap; c++) {
    some[c] = others_from(o, c);
    end[c] = c >= o->least ? expr_string(p, "}") : p->none;
  }
  for (size_t i = o->n; i-- > 0 && !schema_failed(o->s);) {
    bool required = o->members[i].required;
    expr *item = object_member(o, i);
    for (uint32_t c = 0; c <= cap; c++) { /* upwards, so that those of c + 1 are still of the members behind this one */
      uint32_t next = c < cap ? c + 1 : cap;
      expr *behind = expr_or(p, end[next], expr_seq(p, o->j->comma, some[next]));
      expr *with = c < o->most ? expr_seq(p, item, behind) : p->none;
      some[c] = required ? with : boxed(p, expr_or(p, with, some[c]));
      if (required) end[c] = p->none;
    }
  }
  return expr_or(p, end[0], some[0]);
}

expr *schema_object(schema_compiler *s, const shape *a) {
  object_parts o = {.s = s, .p = s->p, .a = a, .j = json_parts_of(s->p)};
  if (!o.j) return s->p->none;
  if (a->excluded) {
    schema_fail(s, a->excluded->v, GALE_E_UNSUPPORTED, "the opposite of an object is not supported");
    return s->p->none;
  }
  if (!list_members(&o)) return s->p->none;
  list_declared(&o);
  if (!drop_impossible(&o)) return s->p->none;
  list_others(&o);
  if (schema_failed(s)) return s->p->none;
  size_t required = 0;
  for (size_t i = 0; i < o.n; i++) required += o.members[i].required;
  if (required > a->most) return s->p->none;
  o.least = a->least > required ? a->least : 0;
  o.most = o.other == s->p->none && a->most >= o.n ? REPEAT_ALWAYS : a->most;
  uint32_t cap = o.most != REPEAT_ALWAYS ? o.most : o.least ? o.least : 1;
  if (cap > COUNTED_MOST || (o.n + 1) * ((size_t)cap + 1) > MOST_STATES) {
    schema_fail(s, NULL, GALE_E_UNSUPPORTED, "an object with counted members takes too many states");
    return s->p->none;
  }
  bool shuffled = s->any_order && o.n <= SHUFFLED_MOST && o.n + (o.other != s->p->none) > 1;
  expr *body = shuffled ? members_in_any_order(&o) : members_from(&o, cap);
  return expr_list(s->p, (expr *const[]){expr_string(s->p, "{"), o.j->space, body}, 3);
}
