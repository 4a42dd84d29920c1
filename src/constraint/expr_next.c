/* Derivatives: which bytes lead where, and what can still be completed. */
#include "constraint/expr_build.h"

#include <stdlib.h>
#include <string.h>

/* ---- Classes of bytes ---- */

typedef struct partition {
  uint8_t map[256];
  uint16_t count[256]; /* bytes of each class */
  unsigned n;
} partition;

/* The byte is alone in its class. */
static void set_apart(partition *a, unsigned byte) {
  unsigned c = a->map[byte];
  if (a->count[c] == 1) return;
  a->count[c]--;
  a->count[a->n] = 1;
  a->map[byte] = (uint8_t)a->n++;
}

/* Bytes stay in one class where t has them in one, too. */
static void refine(expr_pool *p, partition *a, const expr_table *t) {
  if (!t->map) {
    set_apart(a, t->only);
    return;
  }
  if (a->n == 1) {
    memcpy(a->map, t->map, sizeof a->map);
    a->n = t->n;
    memset(a->count, 0, sizeof a->count);
    for (unsigned b = 0; b < 256; b++) a->count[a->map[b]]++;
    return;
  }
  if (!p->pairs) {
    p->pairs = calloc(256 * 256, sizeof *p->pairs);
    if (a->n == 1) {
      memcpy(a->map, t->map, sizeof a->map);
      a->n = t->n;
      memset(a->count, 0, sizeof a->count);
      for (unsigned b = 0; b < 256; b++) a->count[a->map[b]]++;
      return;
    }
    if (!p->pairs) {
      expr_fail(p, "out of memory");
      p->no_memory = true;
      return;
    }
  }
  uint8_t old[256];
  memcpy(old, a->map, sizeof old);
  memset(a->count, 0, sizeof a->count);
  a->n = 0;
  for (unsigned b = 0; b < 256; b++) {
    uint16_t *id = &p->pairs[old[b] * t->n + t->map[b]];
    if (!*id) *id = (uint16_t)++a->n;
    a->map[b] = (uint8_t)(*id - 1);
    a->count[*id - 1]++;
  }
  for (unsigned b = 0; b < 256; b++) p->pairs[old[b] * t->n + t->map[b]] = 0;
}

static expr_table *table_new(expr_pool *p, const uint8_t *map, const uint8_t *byte, unsigned n) {
  expr_table *t = expr_alloc(p, sizeof *t + n * sizeof(expr *));
  if (!t) return NULL;
  *t = (expr_table){.map = map, .byte = byte, .target = (expr **)(t + 1), .n = (uint16_t)n};
  memset(t->target, 0, n * sizeof(expr *));
  return t;
}

static expr_table *table_from(expr_pool *p, const partition *a) {
  uint8_t *bytes = expr_alloc(p, 256 + a->n);
  if (!bytes) return NULL;
  memcpy(bytes, a->map, 256);
  for (unsigned b = 256; b-- > 0;) bytes[256 + a->map[b]] = (uint8_t)b;
  return table_new(p, bytes, bytes + 256, a->n);
}

static expr_table *table_like(expr_pool *p, const expr_table *of) {
  if (!of) return NULL;
  expr_table *t = table_new(p, of->map, of->byte, of->n);
  if (t) t->only = of->only;
  return t;
}

static expr_table *table_of_byte(expr_pool *p, uint8_t byte) {
  uint8_t *bytes = expr_alloc(p, 2);
  if (!bytes) return NULL;
  bytes[0] = byte == 0;
  bytes[1] = byte;
  expr_table *t = table_new(p, NULL, bytes, 2);
  if (t) t->only = byte;
  return t;
}

static expr_table *table_of_set(expr_pool *p, const byte_set *set) {
  partition a = {.n = 2};
  bool zero = byte_set_has(set, 0);
  for (unsigned b = 0; b < 256; b++) a.map[b] = byte_set_has(set, b) != zero;
  if (byte_set_count(set) == 256) a.n = 1;
  return table_from(p, &a);
}

/* Which classes those of two tables make together; kept, since the same two meet again and again: white space before a
 * colon, say. */
typedef struct shared_map {
  const uint8_t *first, *second, *map, *byte;
  unsigned first_only, second_only, n;
} shared_map;

enum { SHARED_MAPS = 256 };

static shared_map *find_shared(expr_pool *p, const expr_table *a, const expr_table *b) {
  if (!p->maps) p->maps = calloc(SHARED_MAPS, sizeof *p->maps);
  if (!p->maps) return NULL;
  unsigned first_only = a->map ? 0 : a->only, second_only = b->map ? 0 : b->only;
  uint64_t key = ((uint64_t)(uintptr_t)a->map + first_only) * UINT64_C(0x9E3779B97F4A7C15) +
                 ((uint64_t)(uintptr_t)b->map + second_only);
  shared_map *m = &p->maps[key * UINT64_C(0x9E3779B97F4A7C15) >> 56];
  if (m->first != a->map || m->second != b->map || m->first_only != first_only || m->second_only != second_only)
    *m = (shared_map){.first = a->map, .second = b->map, .first_only = first_only, .second_only = second_only};
  return m;
}

/* Whether e begins with a text, or all but some. Such expressions are mostly read once, as one of many members, and
 * need no table for that. */
static bool is_read_once(const expr *e) {
  if (e->table) return false;
  if (e->kind == EXPR_SEQ) e = e->seq.head;
  return !e->table && (e->kind == EXPR_TEXT || e->kind == EXPR_EXCEPT);
}

static void refine_by(expr_pool *p, partition *a, expr *e) {
  if (!is_read_once(e)) {
    const expr_table *t = expr_table_of(p, e);
    if (p->failed) return;
    refine(p, a, t);
    p->steps += t->map ? 4 : 1;
  } else if (e->kind == EXPR_TEXT) {
    set_apart(a, (unsigned char)*e->text.s);
  } else if (e->kind == EXPR_EXCEPT) {
    refine_by(p, a, e->except.base);
    for (uint32_t i = e->except.first; i < e->except.last; i++)
      if (e->except.texts->n[i] > e->except.depth) set_apart(a, (unsigned char)e->except.texts->s[i][e->except.depth]);
    p->steps += e->except.last - e->except.first;
  } else {
    refine_by(p, a, e->seq.head);
    if (e->seq.head->nullable) refine_by(p, a, e->seq.tail);
  }
}

static expr_table *table_of_parts(expr_pool *p, expr *const *parts, size_t n) {
  partition a = {.n = 1, .count = {256}};
  shared_map *shared = NULL;
  if (n == 2 && !is_read_once(parts[0]) && !is_read_once(parts[1])) {
    const expr_table *first = expr_table_of(p, parts[0]), *second = expr_table_of(p, parts[1]);
    if (p->failed) return NULL;
    shared = find_shared(p, first, second);
    if (shared && shared->map) return table_new(p, shared->map, shared->byte, shared->n);
  }
  for (size_t i = 0; i < n && !p->failed; i++) refine_by(p, &a, parts[i]);
  if (p->failed) return NULL;
  expr_table *t = table_from(p, &a);
  if (t && shared) {
    shared->map = t->map;
    shared->byte = t->byte;
    shared->n = t->n;
  }
  return t;
}

static expr_table *table_of_except(expr_pool *p, expr *e) {
  partition a = {.n = 1, .count = {256}};
  refine_by(p, &a, e);
  return p->failed ? NULL : table_from(p, &a);
}

static expr_table *build_table(expr_pool *p, expr *e) {
  switch (e->kind) {
  case EXPR_SET:
    return table_of_set(p, e->set);
  case EXPR_TEXT:
    return table_of_byte(p, (uint8_t)*e->text.s);
  case EXPR_SEQ:
    if (!e->seq.head->nullable) return table_like(p, expr_table_of(p, e->seq.head));
    return table_of_parts(p, (expr *const[]){e->seq.head, e->seq.tail}, 2);
  case EXPR_ALT:
  case EXPR_AND:
    return table_of_parts(p, e->list.items, e->list.n);
  case EXPR_NOT:
  case EXPR_REPEAT:
    return table_like(p, expr_table_of(p, e->repeat.of));
  case EXPR_EXCEPT:
    return table_of_except(p, e);
  case EXPR_CALL:
  case EXPR_LAZY: {
    expr *body = e->kind == EXPR_CALL ? expr_rule_body(p, e->rule) : expr_lazy_body(p, e);
    expr_table_of(p, body);
    return body->table;
  }
  default:
    return table_of_parts(p, NULL, 0);
  }
}

static const uint8_t nothing_bytes[256];
static expr *nothing_targets[1];
static const expr_table nothing = {.map = nothing_bytes, .byte = nothing_bytes, .target = nothing_targets, .n = 1};

const expr_table *expr_table_of(expr_pool *p, expr *e) {
  if (e->table) return e->table;
  if (!expr_enter(p)) return &nothing;
  e->table = build_table(p, e);
  expr_leave(p);
  return e->table ? e->table : &nothing;
}

/* ---- Targets ---- */

static expr *raw_next(expr_pool *p, expr *e, unsigned byte);

static expr *next_of_list(expr_pool *p, const expr *e, unsigned byte) {
  expr_vector v;
  vector_begin(&v);
  for (uint32_t i = 0; i < e->list.n && !p->failed; i++) {
    expr *to = raw_next(p, e->list.items[i], byte);
    if (e->kind == EXPR_AND || to != p->none) vector_add(p, &v, to);
  }
  expr *all = e->kind == EXPR_AND ? and_raw(p, v.items, v.n) : v.n == 1 ? v.items[0] : expr_alt(p, v.items, v.n);
  vector_end(&v);
  return all;
}

static expr *derive(expr_pool *p, expr *e, unsigned byte) {
  switch (e->kind) {
  case EXPR_SET:
    return byte_set_has(e->set, byte) ? p->empty : p->none;
  case EXPR_TEXT:
    if ((unsigned char)*e->text.s != byte) return p->none;
    return expr_text_rest(p, e);
  case EXPR_SEQ: {
    const expr *head = e->seq.head;
    if (head->kind == EXPR_TEXT && (unsigned char)*head->text.s != byte) return p->none;
    expr *to = expr_seq(p, raw_next(p, e->seq.head, byte), e->seq.tail);
    return e->seq.head->nullable ? expr_or(p, to, raw_next(p, e->seq.tail, byte)) : to;
  }
  case EXPR_ALT:
  case EXPR_AND:
    return next_of_list(p, e, byte);
  case EXPR_NOT:
    return not_raw(p, raw_next(p, e->repeat.of, byte));
  case EXPR_REPEAT: {
    uint32_t least = e->repeat.least, most = e->repeat.most;
    expr *rest = expr_repeat(p, e->repeat.of, least ? least - 1 : 0, most == REPEAT_ALWAYS ? most : most - 1);
    return expr_seq(p, raw_next(p, e->repeat.of, byte), rest);
  }
  case EXPR_EXCEPT:
    return expr_except_next(p, e, byte, raw_next(p, e->except.base, byte));
  case EXPR_CALL:
    return raw_next(p, expr_rule_body(p, e->rule), byte);
  case EXPR_LAZY:
    return raw_next(p, expr_lazy_body(p, e), byte);
  default:
    return p->none;
  }
}

/* The derivative, which may match nothing without being VOID. */
static expr *raw_next(expr_pool *p, expr *e, unsigned byte) {
  if (is_read_once(e)) return derive(p, e, byte);
  const expr_table *t = expr_table_of(p, e);
  if (p->failed) return p->none;
  unsigned c = expr_class(t, byte);
  if (t->target[c]) return t->target[c];
  if (++p->steps > p->step_limit) expr_fail(p, "it takes too many steps");
  if (!expr_enter(p)) return p->none;
  expr *to = derive(p, e, t->byte[c]);
  expr_leave(p);
  if (p->failed) return p->none;
  t->target[c] = to;
  return to;
}

/* ---- Life ---- */

static bool known_alive(const expr *e) {
  return e->alive || e->nullable;
}

typedef struct search {
  expr **queue;
  uint32_t *from;
  size_t n, capacity;
} search;

static bool search_add(expr_pool *p, search *s, expr *e, size_t from) {
  if (s->n == s->capacity) {
    size_t capacity = s->capacity ? s->capacity * 2 : 64;
    expr **queue = realloc(s->queue, capacity * sizeof *queue);
    if (queue) s->queue = queue;
    uint32_t *parents = queue ? realloc(s->from, capacity * sizeof *parents) : NULL;
    if (!parents) {
      expr_fail(p, "out of memory");
      p->no_memory = true;
      return false;
    }
    s->from = parents;
    s->capacity = capacity;
  }
  s->queue[s->n] = e;
  s->from[s->n++] = (uint32_t)from;
  return true;
}

/* Whether anything matches e, by looking for a state behind it of which that is known. */
static bool find_life(expr_pool *p, expr *e) {
  if (known_alive(e)) return true;
  if (e->life == LIFE_NONE || e == p->none) return false;
  search s = {0};
  uint64_t visit = ++p->epoch;
  bool found = false;
  e->visit = visit;
  search_add(p, &s, e, 0);
  for (size_t i = 0; i < s.n && !found && !p->failed; i++) {
    expr *at = s.queue[i];
    const expr_table *t = expr_table_of(p, at);
    for (unsigned c = 0; c < t->n && !p->failed; c++) {
      expr *to = raw_next(p, at, t->byte[c]);
      if (to == p->none || to->life == LIFE_NONE || to->visit == visit) continue;
      if (known_alive(to)) {
        found = true;
        for (size_t k = i;; k = s.from[k]) {
          s.queue[k]->alive = true;
          if (k == 0) break;
        }
        break;
      }
      to->visit = visit;
      if (!search_add(p, &s, to, i)) break;
    }
  }
  if (!found && !p->failed)
    for (size_t i = 0; i < s.n; i++) s.queue[i]->life = LIFE_NONE;
  free(s.queue);
  free(s.from);
  return found;
}

static expr *settle_members(expr_pool *p, expr *e) {
  expr_vector v;
  vector_begin(&v);
  bool changed = false;
  for (uint32_t i = 0; i < e->list.n; i++) {
    expr *member = expr_settle(p, e->list.items[i]);
    changed |= member != e->list.items[i];
    vector_add(p, &v, member);
  }
  expr *settled = changed ? expr_settle(p, expr_alt(p, v.items, v.n)) : e;
  vector_end(&v);
  if (!changed && !p->failed) e->life = LIFE_SURE;
  return settled;
}

expr *expr_settle(expr_pool *p, expr *e) {
  if (e->life == LIFE_SURE || p->failed) return e;
  if (e->life == LIFE_NONE || !expr_enter(p)) return p->none;
  expr *settled = e;
  if (e->kind == EXPR_SEQ) {
    expr *head = expr_settle(p, e->seq.head);
    if (head != e->seq.head) settled = expr_settle(p, expr_seq(p, head, e->seq.tail));
  } else if (e->kind == EXPR_ALT) {
    settled = settle_members(p, e);
  } else if (!find_life(p, e)) {
    settled = p->none;
  }
  expr_leave(p);
  if (settled == e && !p->failed) {
    e->life = LIFE_SURE;
    e->alive = true;
  }
  return p->failed ? p->none : settled;
}

expr *expr_next_slow(expr_pool *p, expr *e, unsigned byte) {
  const expr_table *t = expr_table_of(p, e);
  if (p->failed) return p->none;
  unsigned c = expr_class(t, byte);
  expr *to = t->target[c] ? t->target[c] : raw_next(p, e, t->byte[c]);
  if (to->life != LIFE_SURE) to = expr_settle(p, to);
  if (p->failed) return p->none;
  t->target[c] = to;
  return to;
}
