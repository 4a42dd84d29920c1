/* Members in any order. A state is which of the named ones are there, and how many others: its number. States are made
 * as texts reach them. */
#include "constraint/schema_object.h"

#include "constraint/expr_build.h"

#include <string.h>

typedef struct shuffle {
  expr_maker maker; /* parts: the named members, then one that is not named, then a comma */
  uint32_t n;       /* named */
  uint64_t required;
  uint32_t least, most, cap; /* members; others are counted up to cap */
} shuffle;

static uint32_t count_bits(uint64_t set) {
  return (uint32_t)__builtin_popcountll(set);
}

/* One more member, where `count` are there, and what comes behind it. */
static expr *with(expr_pool *p, const shuffle *f, expr *part, uint32_t count, uint64_t number) {
  expr *comma = count ? f->maker.parts[f->n + 1] : p->empty;
  return expr_list(p, (expr *const[]){comma, part, expr_lazy(p, (expr_maker *)(uintptr_t)&f->maker, number)}, 3);
}

static expr *make_members(expr_pool *p, const expr_maker *maker, uint64_t number) {
  const shuffle *f = (const shuffle *)(const void *)maker;
  uint64_t named = number & ((UINT64_C(1) << SHUFFLED_MOST) - 1), missing = f->required & ~named;
  uint32_t others = (uint32_t)(number >> SHUFFLED_MOST), count = count_bits(named) + others, left = count_bits(missing);
  expr_vector v;
  vector_begin(&v);
  if (!missing && count >= f->least) vector_add(p, &v, expr_string(p, "}"));
  bool room = f->most == REPEAT_ALWAYS || count + left < f->most; /* for one that is not required */
  for (uint32_t i = 0; i < f->n; i++) {
    uint64_t bit = UINT64_C(1) << i;
    if (named & bit || !(room || f->required & bit)) continue;
    vector_add(p, &v, with(p, f, maker->parts[i], count, number | bit));
  }
  uint64_t more = others < f->cap ? number + (UINT64_C(1) << SHUFFLED_MOST) : number;
  if (room) vector_add(p, &v, with(p, f, maker->parts[f->n], count, more));
  expr *e = expr_alt(p, v.items, v.n);
  vector_end(&v);
  return e;
}

expr *members_in_any_order(object_parts *o) {
  expr_pool *p = o->p;
  shuffle *f = expr_alloc(p, sizeof *f);
  expr **parts = expr_alloc(p, (o->n + 2) * sizeof *parts);
  if (!f || !parts) return p->none;
  *f = (shuffle){
      .maker = {make_members, parts, 0, (uint32_t)o->n + 2}, .n = (uint32_t)o->n, .least = o->least, .most = o->most};
  f->cap = o->most != REPEAT_ALWAYS ? o->most : o->least ? o->least : 1;
  for (size_t i = 0; i < o->n; i++) {
    parts[i] = object_member(o, i);
    if (o->members[i].required) f->required |= UINT64_C(1) << i;
  }
  parts[o->n] = o->other;
  parts[o->n + 1] = o->j->comma;
  f->maker.needed = f->required;
  bool enough = o->other != p->none || o->n >= o->least;
  return enough && count_bits(f->required) <= o->most ? expr_lazy(p, &f->maker, 0) : p->none;
}
