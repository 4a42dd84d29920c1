/* Members in any order. A state is which of the named ones are there, and how many others: its number. States are made
 * as texts reach them. */
#include "constraint/schema_object.h"

#include "constraint/expr_build.h"

#include <string.h>

/* Of a state's number the last bits count the members that are not named, the others tell which of the named are there.
 */
enum { COUNT_SHIFT = SHUFFLED_MOST - 64 };

typedef struct shuffle {
  expr_maker maker;          /* parts: the named members, then one that is not named, then a comma */
  uint32_t n;                /* named; those that are required are `needed` */
  uint32_t least, most, cap; /* members; others are counted up to cap */
} shuffle;

static uint32_t count_bits(uint64_t set) {
  return (uint32_t)__builtin_popcountll(set);
}

static expr_number with_bit(expr_number number, uint32_t bit) {
  number.half[bit / 64] |= UINT64_C(1) << (bit % 64);
  return number;
}

/* One more member, where `count` are there, and what comes behind it. */
static expr *with(expr_pool *p, const shuffle *f, expr *part, uint32_t count, expr_number number) {
  expr *comma = count ? f->maker.parts[f->n + 1] : p->empty;
  return expr_list(p, (expr *const[]){comma, part, expr_lazy(p, &f->maker, number)}, 3);
}

static expr *make_members(expr_pool *p, const expr_maker *maker, expr_number number) {
  const shuffle *f = (const shuffle *)(const void *)maker;
  uint64_t high = number.half[1] & ((UINT64_C(1) << COUNT_SHIFT) - 1);
  uint32_t left = count_bits(maker->needed.half[0] & ~number.half[0]) + count_bits(maker->needed.half[1] & ~high);
  uint32_t others = (uint32_t)(number.half[1] >> COUNT_SHIFT);
  uint32_t count = count_bits(number.half[0]) + count_bits(high) + others;
  expr_vector v;
  vector_begin(&v);
  if (left == 0 && count >= f->least) vector_add(p, &v, expr_string(p, "}"));
  bool room = f->most == REPEAT_ALWAYS || count + left < f->most; /* for one that is not required */
  for (uint32_t i = 0; i < f->n; i++)
    if (!expr_number_has(&number, i) && (room || expr_number_has(&maker->needed, i)))
      vector_add(p, &v, with(p, f, maker->parts[i], count, with_bit(number, i)));
  expr_number more = number;
  if (others < f->cap) more.half[1] += UINT64_C(1) << COUNT_SHIFT;
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
  *f = (shuffle){.maker = {.make = make_members, .parts = parts, .n_parts = (uint32_t)o->n + 2},
                 .n = (uint32_t)o->n,
                 .least = o->least,
                 .most = o->most};
  f->cap = o->most != REPEAT_ALWAYS ? o->most : o->least ? o->least : 1;
  uint32_t required = 0;
  for (uint32_t i = 0; i < f->n; i++) {
    parts[i] = object_member(o, i);
    if (!o->members[i].required) continue;
    f->maker.needed = with_bit(f->maker.needed, i);
    required++;
  }
  parts[o->n] = o->other;
  parts[o->n + 1] = o->j->comma;
  bool enough = o->other != p->none || o->n >= o->least;
  return enough && required <= o->most ? expr_lazy(p, &f->maker, (expr_number){{0, 0}}) : p->none;
}
