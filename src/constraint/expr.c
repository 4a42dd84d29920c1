/* Making expressions: each once, in a normal form. */
#include "constraint/expr_build.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CHUNK = 32 << 10, MOST_CHUNK = 1 << 20, FIRST_BUCKETS = 1 << 10, DEEPEST = 1000 };

typedef struct expr_memory {
  struct expr_memory *next;
  size_t used, size;
  _Alignas(16) char bytes[];
} expr_memory;

/* ---- Memory ---- */

void expr_fail(expr_pool *p, const char *why) {
  if (!p->failed) p->failed = why;
}

static void fail_memory(expr_pool *p) {
  expr_fail(p, "out of memory");
  p->no_memory = true;
}

bool expr_enter(expr_pool *p) {
  if (p->depth >= DEEPEST) {
    expr_fail(p, "nested too deeply");
    return false;
  }
  p->depth++;
  return true;
}

void *expr_alloc(expr_pool *p, size_t n) {
  if (p->failed) return NULL;
  n = (n + 7) & ~(size_t)7;
  expr_memory *m = p->memory;
  if (!m || m->size - m->used < n) {
    size_t size = m ? m->size * 2 : FIRST_CHUNK;
    if (size > MOST_CHUNK) size = MOST_CHUNK;
    if (size < n) size = n;
    if (size > p->limit || p->used > p->limit - size) {
      expr_fail(p, "it takes too much memory");
      return NULL;
    }
    expr_memory *fresh = malloc(sizeof *fresh + size);
    if (!fresh) {
      fail_memory(p);
      return NULL;
    }
    *fresh = (expr_memory){.next = m, .size = size};
    p->memory = m = fresh;
    p->used += size;
  }
  void *at = m->bytes + m->used;
  m->used += n;
  return at;
}

void vector_begin(expr_vector *v) {
  v->items = v->small;
  v->n = 0;
  v->capacity = sizeof v->small / sizeof *v->small;
}

void vector_end(expr_vector *v) {
  if (v->items != v->small) free(v->items);
}

void vector_add(expr_pool *p, expr_vector *v, expr *e) {
  if (v->n == v->capacity) {
    size_t capacity = v->capacity < 24 ? 24 : v->capacity * 2;
    expr **more = malloc(capacity * sizeof *more);
    if (!more) {
      fail_memory(p);
      return;
    }
    memcpy(more, v->items, v->n * sizeof *more);
    vector_end(v);
    v->items = more;
    v->capacity = capacity;
  }
  v->items[v->n++] = e;
}

/* ---- Each once ---- */

static uint32_t mix(uint32_t h, uint32_t x) {
  uint64_t m = (h ^ x) * UINT64_C(0x9E3779B97F4A7C15);
  return (uint32_t)(m >> 32) ^ (uint32_t)m;
}

static bool same(const expr *a, const expr *b) {
  switch (a->kind) {
  case EXPR_SET:
    return memcmp(a->set, b->set, sizeof *a->set) == 0;
  case EXPR_TEXT:
    return a->text.s == b->text.s && a->text.n == b->text.n;
  case EXPR_SEQ:
    return a->seq.head == b->seq.head && a->seq.tail == b->seq.tail;
  case EXPR_ALT:
  case EXPR_AND:
    return a->list.n == b->list.n && memcmp(a->list.items, b->list.items, a->list.n * sizeof *a->list.items) == 0;
  case EXPR_NOT:
    return a->repeat.of == b->repeat.of;
  case EXPR_REPEAT:
    return a->repeat.of == b->repeat.of && a->repeat.least == b->repeat.least && a->repeat.most == b->repeat.most;
  case EXPR_CALL:
    return a->rule == b->rule;
  case EXPR_EXCEPT:
    return a->except.base == b->except.base && a->except.texts == b->except.texts &&
           a->except.first == b->except.first && a->except.last == b->except.last && a->except.depth == b->except.depth;
  case EXPR_LAZY:
    return a->lazy.maker == b->lazy.maker && a->lazy.number.half[0] == b->lazy.number.half[0] &&
           a->lazy.number.half[1] == b->lazy.number.half[1];
  default:
    return true;
  }
}

static void grow_buckets(expr_pool *p) {
  uint32_t n = p->n_buckets * 2;
  size_t bytes = (size_t)n * sizeof(expr *);
  expr **fresh = bytes > p->limit / 2 ? NULL : calloc(n, sizeof *fresh);
  if (!fresh) return;
  for (uint32_t i = 0; i < p->n_buckets; i++)
    for (expr *e = p->buckets[i], *next; e; e = next) {
      next = e->chain;
      e->chain = fresh[e->hash & (n - 1)];
      fresh[e->hash & (n - 1)] = e;
    }
  free(p->buckets);
  p->buckets = fresh;
  p->used += bytes / 2;
  p->n_buckets = n;
}

/* The expression that is equal to *like, made if there is none. Its lists and sets are copied then. */
static expr *intern(expr_pool *p, const expr *like) {
  if (p->failed) return p->none;
  if (++p->steps > p->step_limit) expr_fail(p, "it takes too many steps");
  for (expr *e = p->buckets[like->hash & (p->n_buckets - 1)]; e; e = e->chain) {
    p->steps++;
    if (e->hash == like->hash && e->kind == like->kind && same(e, like)) return e;
  }
  expr *e = expr_alloc(p, sizeof *e);
  if (!e) return p->none;
  *e = *like;
  e->id = p->n_exprs++;
  if (e->kind == EXPR_SET) {
    byte_set *set = expr_alloc(p, sizeof *set);
    if (!set) return p->none;
    *set = *like->set;
    e->set = set;
  } else if (e->kind == EXPR_ALT || e->kind == EXPR_AND) {
    size_t bytes = e->list.n * sizeof *e->list.items;
    e->list.items = expr_alloc(p, bytes);
    if (!e->list.items) return p->none;
    memcpy(e->list.items, like->list.items, bytes);
  }
  if (p->n_exprs > p->n_buckets) grow_buckets(p);
  expr **bucket = &p->buckets[e->hash & (p->n_buckets - 1)];
  e->chain = *bucket;
  *bucket = e;
  return e;
}

static uint32_t hash_of(uint32_t kind, uint32_t a, uint32_t b) {
  return mix(mix(kind * 0x85EBCA6B + 1, a), b);
}

/* ---- Leaves ---- */

static expr *text_node(expr_pool *p, const char *s, size_t n) {
  if (n == 0) return p->empty;
  if (n == 1 && p->single[(unsigned char)*s]) return p->single[(unsigned char)*s];
  uintptr_t at = (uintptr_t)s;
  expr like = {.kind = EXPR_TEXT, .life = LIFE_SURE, .alive = true, .text = {s, (uint32_t)n}};
  like.hash = hash_of(EXPR_TEXT, (uint32_t)at ^ (uint32_t)(at >> 16 >> 16), (uint32_t)n);
  return intern(p, &like);
}

static expr *single(expr_pool *p, unsigned byte) {
  if (p->single[byte]) return p->single[byte];
  char *s = expr_alloc(p, 1);
  if (!s) return p->none;
  *s = (char)byte;
  expr *e = text_node(p, s, 1);
  if (!p->failed) p->single[byte] = e;
  return e;
}

expr *expr_text_rest(expr_pool *p, const expr *e) {
  return text_node(p, e->text.s + 1, e->text.n - 1);
}

expr *expr_call_node(expr_pool *p, uint32_t rule, bool nullable) {
  expr like = {.kind = EXPR_CALL,
               .nullable = nullable,
               .life = LIFE_SURE,
               .alive = true,
               .hash = hash_of(EXPR_CALL, rule, 0),
               .rule = rule};
  return intern(p, &like);
}

expr *expr_lazy(expr_pool *p, const expr_maker *maker, expr_number number) {
  uintptr_t at = (uintptr_t)maker;
  expr like = {.kind = EXPR_LAZY, .life = LIFE_SURE, .alive = true, .lazy = {maker, number, NULL}};
  like.hash = hash_of(EXPR_LAZY, (uint32_t)(at >> 3), 0);
  for (int i = 0; i < 2; i++)
    like.hash = mix(mix(like.hash, (uint32_t)number.half[i]), (uint32_t)(number.half[i] >> 32));
  return intern(p, &like);
}

expr *expr_lazy_body(expr_pool *p, expr *lazy) {
  if (!lazy->lazy.body && !p->failed) {
    expr *body = lazy->lazy.maker->make(p, lazy->lazy.maker, lazy->lazy.number);
    if (!p->failed) lazy->lazy.body = body;
  }
  return p->failed ? p->none : lazy->lazy.body;
}

expr *expr_text(expr_pool *p, const char *s, size_t n) {
  if (n == 0) return p->empty;
  if (n == 1) return single(p, (unsigned char)*s);
  if (n > UINT32_MAX) expr_fail(p, "a text is too long");
  char *copy = expr_alloc(p, n);
  if (!copy) return p->none;
  memcpy(copy, s, n);
  single(p, (unsigned char)s[n - 1]);
  return text_node(p, copy, n);
}

expr *expr_string(expr_pool *p, const char *s) {
  return expr_text(p, s, strlen(s));
}

expr *expr_set(expr_pool *p, byte_set set) {
  int n = byte_set_count(&set);
  if (n == 0) return p->none;
  if (n == 1) {
    unsigned byte = 0;
    while (!byte_set_has(&set, byte)) byte++;
    return single(p, byte);
  }
  expr like = {.kind = EXPR_SET, .life = LIFE_SURE, .alive = true, .set = &set};
  like.hash = EXPR_SET;
  for (int i = 0; i < 4; i++) like.hash = mix(mix(like.hash, (uint32_t)set.bits[i]), (uint32_t)(set.bits[i] >> 32));
  return intern(p, &like);
}

expr *expr_range(expr_pool *p, unsigned first, unsigned last) {
  return expr_set(p, byte_set_of(first, last));
}

/* ---- All but some texts ---- */

static expr *except_node(expr_pool *p, const expr_texts *texts, uint32_t first, uint32_t last, uint32_t depth,
                         expr *base) {
  if (first == last || base == p->none) return base;
  expr like = {.kind = EXPR_EXCEPT,
               .nullable = base->nullable && texts->n[first] != depth,
               .life = base->life,
               .alive = base->alive,
               .except = {base, texts, first, last, depth}};
  like.hash = mix(mix(hash_of(EXPR_EXCEPT, base->id, first), last), depth ^ (uint32_t)((uintptr_t)texts >> 3) << 8);
  return intern(p, &like);
}

expr *expr_except_next(expr_pool *p, const expr *e, unsigned byte, expr *base) {
  const expr_texts *texts = e->except.texts;
  uint32_t depth = e->except.depth, first = e->except.first, last = e->except.last;
  while (first < last && (texts->n[first] <= depth || (unsigned char)texts->s[first][depth] < byte)) first++;
  uint32_t end = first;
  while (end < last && (unsigned char)texts->s[end][depth] == byte) end++;
  return except_node(p, texts, first, end, depth + 1, base);
}

typedef struct named_text {
  const char *s;
  size_t n;
} named_text;

static int by_bytes(const void *a, const void *b) {
  const named_text *x = a, *y = b;
  size_t n = x->n < y->n ? x->n : y->n;
  int order = n ? memcmp(x->s, y->s, n) : 0;
  return order ? order : (x->n > y->n) - (x->n < y->n);
}

expr *expr_except(expr_pool *p, expr *base, const char *const *texts, const size_t *lengths, size_t n) {
  if (n == 0 || n > UINT32_MAX / 16) return base;
  size_t bytes = 0, at = 0;
  for (size_t i = 0; i < n; i++) bytes += lengths[i];
  expr_texts *all = expr_alloc(p, sizeof *all);
  const char **s = expr_alloc(p, n * sizeof *s);
  uint32_t *sizes = expr_alloc(p, n * sizeof *sizes);
  char *copy = expr_alloc(p, bytes + 1);
  named_text *sorted = malloc(n * sizeof *sorted);
  if (!all || !s || !sizes || !copy || !sorted) {
    free(sorted);
    fail_memory(p);
    return p->none;
  }
  for (size_t i = 0; i < n; i++) sorted[i] = (named_text){texts[i], lengths[i]};
  qsort(sorted, n, sizeof *sorted, by_bytes);
  for (size_t i = 0; i < n; i++) {
    memcpy(copy + at, sorted[i].s, sorted[i].n);
    s[i] = copy + at;
    sizes[i] = (uint32_t)sorted[i].n;
    at += sorted[i].n;
  }
  free(sorted);
  *all = (expr_texts){s, sizes};
  return except_node(p, all, 0, (uint32_t)n, 0, base);
}

/* ---- Sequences ---- */

static expr *pair(expr_pool *p, expr *head, expr *tail) {
  if (head == p->none || tail == p->none) return p->none;
  if (head == p->empty) return tail;
  if (tail == p->empty) return head;
  if (head->nullable && p->rest && (tail == p->rest || (tail->kind == EXPR_SEQ && tail->seq.head == p->rest)))
    return tail;
  expr like = {.kind = EXPR_SEQ,
               .nullable = head->nullable && tail->nullable,
               .life = head->life,
               .alive = head->alive,
               .hash = hash_of(EXPR_SEQ, head->id, tail->id),
               .seq = {head, tail}};
  return intern(p, &like);
}

expr *expr_seq(expr_pool *p, expr *a, expr *b) {
  if (a->kind != EXPR_SEQ || b == p->empty) return pair(p, a, b);
  if (b == p->none) return b;
  expr_vector heads;
  vector_begin(&heads);
  for (; a->kind == EXPR_SEQ; a = a->seq.tail) vector_add(p, &heads, a->seq.head);
  b = pair(p, a, b);
  while (heads.n > 0) b = pair(p, heads.items[--heads.n], b);
  vector_end(&heads);
  return b;
}

expr *expr_list(expr_pool *p, expr *const *items, size_t n) {
  expr *e = p->empty;
  while (n > 0) e = expr_seq(p, items[--n], e);
  return e;
}

expr *expr_repeat(expr_pool *p, expr *a, uint32_t least, uint32_t most) {
  if (a->nullable) least = 0;
  if (a == p->none || a == p->empty || most == 0) return least == 0 ? p->empty : p->none;
  if (least == 1 && most == 1) return a;
  if (a->kind == EXPR_REPEAT && least == 0 && most == REPEAT_ALWAYS && a->repeat.least <= 1 &&
      a->repeat.most == REPEAT_ALWAYS)
    a = a->repeat.of;
  expr like = {.kind = EXPR_REPEAT,
               .nullable = least == 0,
               .life = a->life,
               .alive = a->alive,
               .hash = mix(hash_of(EXPR_REPEAT, a->id, least), most),
               .repeat = {a, least, most}};
  return intern(p, &like);
}

expr *expr_optional(expr_pool *p, expr *a) {
  return expr_or(p, a, p->empty);
}

/* ---- Sets ---- */

static int by_id(const void *a, const void *b) {
  uint32_t x = (*(expr *const *)a)->id, y = (*(expr *const *)b)->id;
  return (x > y) - (x < y);
}

static void sort_members(expr_vector *v) {
  if (v->n > 16) {
    qsort(v->items, v->n, sizeof *v->items, by_id);
  } else {
    for (size_t i = 1; i < v->n; i++) {
      expr *e = v->items[i];
      size_t j = i;
      for (; j > 0 && v->items[j - 1]->id > e->id; j--) v->items[j] = v->items[j - 1];
      v->items[j] = e;
    }
  }
  size_t n = 0;
  for (size_t i = 0; i < v->n; i++)
    if (n == 0 || v->items[i] != v->items[n - 1]) v->items[n++] = v->items[i];
  v->n = n;
}

static void drop(expr_vector *v, size_t i) {
  v->items[i] = v->items[--v->n];
}

/* Adds the members of sets of this kind instead of these. */
static void add_flat(expr_pool *p, expr_vector *v, expr *const *items, size_t n, expr_kind kind) {
  for (size_t i = 0; i < n; i++) {
    expr *e = items[i];
    if (e->kind == kind)
      for (uint32_t k = 0; k < e->list.n; k++) vector_add(p, v, e->list.items[k]);
    else
      vector_add(p, v, e);
  }
}

static bool set_of(const expr *e, byte_set *set) {
  if (e->kind == EXPR_SET)
    *set = *e->set;
  else if (e->kind == EXPR_TEXT && e->text.n == 1)
    *set = byte_set_of((unsigned char)*e->text.s, (unsigned char)*e->text.s);
  else
    return false;
  return true;
}

/* Two and more sets of bytes become one. */
static void join_sets(expr_pool *p, expr_vector *v, bool both) {
  byte_set sum, one;
  size_t first = SIZE_MAX;
  bool joined = false;
  for (size_t i = 0; i < v->n;) {
    if (!set_of(v->items[i], &one)) {
      i++;
    } else if (first == SIZE_MAX) {
      first = i++;
      sum = one;
    } else {
      for (int k = 0; k < 4; k++) sum.bits[k] = both ? sum.bits[k] & one.bits[k] : sum.bits[k] | one.bits[k];
      drop(v, i);
      joined = true;
    }
  }
  if (joined) v->items[first] = expr_set(p, sum);
}

/* x{1,3} and x{2,5} become x{1,5}. */
static void join_repeats(expr_pool *p, expr_vector *v) {
  for (size_t i = 0; i < v->n; i++) {
    expr *a = v->items[i];
    if (a->kind != EXPR_REPEAT) continue;
    for (size_t k = i + 1; k < v->n && k < i + 64; k++) {
      expr *b = v->items[k];
      if (b->kind != EXPR_REPEAT || b->repeat.of != a->repeat.of) continue;
      expr *low = a->repeat.least <= b->repeat.least ? a : b, *high = low == a ? b : a;
      if (low->repeat.most != REPEAT_ALWAYS && high->repeat.least > low->repeat.most + 1) continue;
      uint32_t most = low->repeat.most > high->repeat.most ? low->repeat.most : high->repeat.most;
      v->items[i] = a = expr_repeat(p, a->repeat.of, low->repeat.least, most);
      drop(v, k--);
    }
  }
}

/* Members that begin (or end) with the same part become one: of each group the first keeps the sum. */
static bool factor(expr_pool *p, expr_vector *v, bool by_head) {
  uint64_t base = p->epoch;
  p->epoch += v->n;
  bool found = false;
  for (size_t i = 0; i < v->n; i++) {
    expr *e = v->items[i];
    if (e->kind != EXPR_SEQ) continue;
    expr *key = by_head ? e->seq.head : e->seq.tail;
    found |= key->mark >= base;
    if (key->mark < base) key->mark = base + i;
  }
  if (!found) return false;
  size_t n = v->n;
  expr_vector groups; /* the leader of each member, before marks are used again */
  vector_begin(&groups);
  for (size_t i = 0; i < n; i++) {
    expr *e = v->items[i];
    bool seq = e->kind == EXPR_SEQ;
    vector_add(p, &groups, seq ? v->items[(by_head ? e->seq.head : e->seq.tail)->mark - base] : e);
  }
  expr_vector rest;
  vector_begin(&rest);
  size_t kept = 0;
  for (size_t i = 0; i < n && !p->failed; i++) {
    expr *leader = v->items[i];
    if (groups.items[i] != leader) continue;
    rest.n = 0;
    for (size_t k = i; k < n && leader->kind == EXPR_SEQ; k++)
      if (groups.items[k] == leader) vector_add(p, &rest, by_head ? v->items[k]->seq.tail : v->items[k]->seq.head);
    if (rest.n > 1) {
      expr *sum = expr_alt(p, rest.items, rest.n);
      leader = by_head ? expr_seq(p, leader->seq.head, sum) : expr_seq(p, sum, leader->seq.tail);
    }
    groups.items[kept++] = leader; /* kept <= i: this place has been read */
  }
  vector_end(&rest);
  if (!p->failed) {
    memcpy(v->items, groups.items, kept * sizeof *v->items);
    v->n = kept;
  }
  vector_end(&groups);
  return !p->failed;
}

/* False where the whole set is `any`. */
static bool tidy_members(expr_pool *p, expr_vector *v) {
  bool nullable = false;
  size_t at_empty = SIZE_MAX;
  for (size_t i = 0; i < v->n;) {
    expr *e = v->items[i];
    if (e == p->any) return false;
    if (!e || e == p->none) {
      drop(v, i);
      continue;
    }
    if (e == p->empty)
      at_empty = i;
    else
      nullable |= e->nullable;
    i++;
  }
  if (at_empty != SIZE_MAX && nullable) drop(v, at_empty);
  return true;
}

static expr *set_node(expr_pool *p, expr_kind kind, expr_vector *v) {
  expr like = {.kind = (uint8_t)kind, .list = {v->items, (uint32_t)v->n}, .hash = hash_of(kind, (uint32_t)v->n, 0)};
  bool some = false, all = true;
  like.life = kind == EXPR_ALT ? LIFE_SURE : LIFE_UNKNOWN;
  for (size_t i = 0; i < v->n; i++) {
    const expr *e = v->items[i];
    like.hash = mix(like.hash, e->id);
    some |= e->nullable;
    all &= e->nullable;
    if (e->life != LIFE_SURE) like.life = LIFE_UNKNOWN;
    like.alive |= kind == EXPR_ALT && e->alive;
  }
  like.nullable = kind == EXPR_ALT ? some : all;
  like.alive |= like.nullable;
  return intern(p, &like);
}

expr *expr_alt(expr_pool *p, expr *const *items, size_t n) {
  if (!expr_enter(p)) return p->none;
  expr_vector v;
  vector_begin(&v);
  add_flat(p, &v, items, n, EXPR_ALT);
  expr *sum = NULL;
  do {
    if (!tidy_members(p, &v)) {
      sum = p->any;
      break;
    }
    sort_members(&v);
    join_sets(p, &v, false);
    join_repeats(p, &v);
    bool again = v.n > 1 && (factor(p, &v, true) || factor(p, &v, false));
    if (again) { /* what was factored may be a set itself */
      expr_vector flat;
      vector_begin(&flat);
      add_flat(p, &flat, v.items, v.n, EXPR_ALT);
      v.n = 0;
      for (size_t i = 0; i < flat.n; i++) vector_add(p, &v, flat.items[i]);
      vector_end(&flat);
      continue;
    }
    sort_members(&v);
    sum = v.n == 0 ? p->none : v.n == 1 ? v.items[0] : set_node(p, EXPR_ALT, &v);
  } while (!sum && !p->failed);
  vector_end(&v);
  expr_leave(p);
  return p->failed || !sum ? p->none : sum;
}

expr *expr_or(expr_pool *p, expr *a, expr *b) {
  if (a == b || b == p->none) return a;
  if (a == p->none) return b;
  return expr_alt(p, (expr *const[]){a, b}, 2);
}

expr *and_raw(expr_pool *p, expr *const *items, size_t n) {
  expr_vector v;
  vector_begin(&v);
  add_flat(p, &v, items, n, EXPR_AND);
  bool empty = false, nullable = true;
  expr *product = NULL;
  for (size_t i = 0; i < v.n;) {
    expr *e = v.items[i];
    if (e == p->none) product = p->none;
    empty |= e == p->empty;
    nullable &= e->nullable;
    if (e == p->any)
      drop(&v, i);
    else
      i++;
  }
  if (!product && empty) product = nullable ? p->empty : p->none;
  if (!product) {
    sort_members(&v);
    join_sets(p, &v, true);
    sort_members(&v);
    product = v.n == 0 ? p->any : v.n == 1 ? v.items[0] : set_node(p, EXPR_AND, &v);
  }
  vector_end(&v);
  return p->failed ? p->none : product;
}

expr *not_raw(expr_pool *p, expr *a) {
  if (a->kind == EXPR_NOT) return a->repeat.of;
  if (a == p->none && p->any) return p->any;
  expr like = {.kind = EXPR_NOT, .nullable = !a->nullable, .hash = hash_of(EXPR_NOT, a->id, 0), .repeat = {.of = a}};
  like.alive = like.nullable;
  return intern(p, &like);
}

expr *expr_and(expr_pool *p, expr *a, expr *b) {
  return expr_settle(p, and_raw(p, (expr *const[]){a, b}, 2));
}

expr *expr_not(expr_pool *p, expr *a) {
  return expr_settle(p, not_raw(p, a));
}

/* ---- The pool ---- */

static expr *leaf(expr_pool *p, expr_kind kind) {
  expr like = {.kind = (uint8_t)kind,
               .nullable = kind == EXPR_EMPTY,
               .life = LIFE_SURE,
               .alive = kind == EXPR_EMPTY,
               .hash = hash_of(kind, 0, 0)};
  return intern(p, &like);
}

gale_status expr_pool_open(size_t limit, expr_pool **pool, gale_error *error) {
  expr_pool *p = calloc(1, sizeof *p);
  if (!p) return error_memory(error, sizeof *p);
  p->limit = limit;
  p->step_limit = UINT64_MAX;
  p->epoch = 1;
  p->n_buckets = FIRST_BUCKETS;
  p->buckets = calloc(p->n_buckets, sizeof *p->buckets);
  p->used = p->n_buckets * sizeof *p->buckets;
  if (p->buckets) {
    p->none = leaf(p, EXPR_VOID);
    p->empty = leaf(p, EXPR_EMPTY);
    p->any = p->none ? not_raw(p, p->none) : NULL;
    if (p->any) {
      p->any->life = LIFE_SURE;
      p->any->alive = true;
    }
  }
  if (!p->buckets || p->failed) {
    expr_pool_close(&p);
    return error_memory(error, FIRST_CHUNK);
  }
  *pool = p;
  return GALE_OK;
}

void expr_pool_close(expr_pool **pool) {
  expr_pool *p = *pool;
  if (!p) return;
  for (expr_memory *m = p->memory, *next; m; m = next) {
    next = m->next;
    free(m);
  }
  free(p->buckets);
  free(p->rules);
  free(p->pairs);
  free(p->maps);
  free(p);
  *pool = NULL;
}
