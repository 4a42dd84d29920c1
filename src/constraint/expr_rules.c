/* Rules: named expressions, which may contain one another. */
#include "constraint/expr_build.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_RULES = 1 << 20, DEEPEST_FRONT = 400 };

uint32_t expr_rule_new(expr_pool *p, bool nullable) {
  if (p->n_rules == p->rules_capacity) {
    uint32_t capacity = p->rules_capacity ? p->rules_capacity * 2 : 64;
    expr_rule *rules = capacity > MOST_RULES ? NULL : realloc(p->rules, capacity * sizeof *rules);
    if (!rules) {
      expr_fail(p, "it has too many rules");
      return 0;
    }
    p->used += (capacity - p->rules_capacity) * sizeof *rules;
    p->rules = rules;
    p->rules_capacity = capacity;
  }
  p->rules[p->n_rules] = (expr_rule){.nullable = nullable, .productive = true};
  return p->n_rules++;
}

void expr_rule_set(expr_pool *p, uint32_t rule, expr *body) {
  if (!p->failed) p->rules[rule].body = body;
}

expr *expr_call(expr_pool *p, uint32_t rule) {
  if (p->failed) return p->none;
  return expr_call_node(p, rule, p->rules[rule].nullable);
}

expr *expr_box(expr_pool *p, expr *body) {
  if (body == p->none) return body;
  uint32_t rule = expr_rule_new(p, body->nullable);
  expr_rule_set(p, rule, body);
  return expr_call(p, rule);
}

expr *expr_rule_body(expr_pool *p, uint32_t rule) {
  return !p->failed && p->rules[rule].body ? p->rules[rule].body : p->none;
}

/* ---- Which rules match anything ---- */

static bool produces(expr_pool *p, expr *e, uint64_t base);

static bool made_produces(expr_pool *p, const expr_maker *maker, uint64_t base) {
  for (uint32_t i = 0; i < maker->n_parts && i < 128; i++)
    if (expr_number_has(&maker->needed, i) && !produces(p, maker->parts[i], base)) return false;
  return true;
}

/* Marks base and base + 1 say no and yes of what was looked at. */
static bool produces(expr_pool *p, expr *e, uint64_t base) {
  if (e->mark >= base) return e->mark > base;
  if (!expr_enter(p)) return false;
  bool yes = true;
  expr *at = e;
  for (; at->kind == EXPR_SEQ && yes; at = at->seq.tail) yes = produces(p, at->seq.head, base);
  if (yes) switch (at->kind) {
    case EXPR_VOID:
      yes = false;
      break;
    case EXPR_ALT:
      yes = false;
      for (uint32_t i = 0; i < at->list.n && !yes; i++) yes = produces(p, at->list.items[i], base);
      break;
    case EXPR_REPEAT:
      yes = at->repeat.least == 0 || produces(p, at->repeat.of, base);
      break;
    case EXPR_CALL:
      yes = p->rules[at->rule].productive;
      break;
    case EXPR_LAZY:
      yes = made_produces(p, at->lazy.maker, base);
      break;
    default:
      break;
    }
  expr_leave(p);
  e->mark = base + yes;
  return yes;
}

static bool find_productive(expr_pool *p) {
  bool all = false, changed = true;
  for (uint32_t r = 0; r < p->n_rules; r++) p->rules[r].productive = false;
  while (changed && !all && !p->failed) {
    changed = false;
    all = true;
    for (uint32_t r = 0; r < p->n_rules; r++) {
      expr_rule *rule = &p->rules[r];
      if (rule->productive) continue;
      uint64_t base = p->epoch;
      p->epoch += 2;
      if (rule->body && produces(p, rule->body, base))
        rule->productive = changed = true;
      else
        all = false;
      p->steps++;
    }
  }
  return all;
}

/* e without calls of rules that match nothing. */
static expr *without(expr_pool *p, expr *e) {
  if (e->after) return e->after;
  if (!expr_enter(p)) return p->none;
  expr *to = e;
  expr_vector v;
  vector_begin(&v);
  switch (e->kind) {
  case EXPR_SEQ: {
    expr *at = e;
    for (; at->kind == EXPR_SEQ; at = at->seq.tail) vector_add(p, &v, without(p, at->seq.head));
    vector_add(p, &v, without(p, at));
    to = expr_list(p, v.items, v.n);
    break;
  }
  case EXPR_ALT:
    for (uint32_t i = 0; i < e->list.n; i++) vector_add(p, &v, without(p, e->list.items[i]));
    to = expr_alt(p, v.items, v.n);
    break;
  case EXPR_REPEAT:
    to = expr_repeat(p, without(p, e->repeat.of), e->repeat.least, e->repeat.most);
    break;
  case EXPR_CALL:
    to = p->rules[e->rule].productive ? e : p->none;
    break;
  case EXPR_LAZY: /* what was not made yet will be made of the new parts */
    e->after = e;
    for (uint32_t i = 0; i < e->lazy.maker->n_parts; i++) {
      expr *part = without(p, e->lazy.maker->parts[i]);
      e->lazy.maker->parts[i] = part;
      if (part == p->none && i < 128 && expr_number_has(&e->lazy.maker->needed, i)) to = p->none;
    }
    break;
  default:
    break;
  }
  vector_end(&v);
  expr_leave(p);
  e->after = to;
  return to;
}

expr *expr_settle_rules(expr_pool *p, expr *start) {
  bool all = find_productive(p);
  if (all || p->failed) return start;
  for (uint32_t r = 0; r < p->n_rules; r++)
    if (p->rules[r].body) p->rules[r].body = p->rules[r].productive ? without(p, p->rules[r].body) : p->none;
  start = without(p, start);
  for (uint32_t i = 0; i < p->n_buckets; i++)
    for (expr *e = p->buckets[i]; e; e = e->chain) e->after = NULL;
  return start;
}

/* ---- Left recursion ---- */

typedef struct edges {
  uint32_t *to;
  size_t n, capacity;
} edges;

static void add_edge(expr_pool *p, edges *list, uint32_t rule) {
  if (list->n == list->capacity) {
    size_t capacity = list->capacity ? list->capacity * 2 : 256;
    uint32_t *to = realloc(list->to, capacity * sizeof *to);
    if (!to) {
      expr_fail(p, "out of memory");
      p->no_memory = true;
      return;
    }
    list->to = to;
    list->capacity = capacity;
  }
  list->to[list->n++] = rule;
}

/* The rules that a text of e can begin with. */
static void add_fronts(expr_pool *p, expr *e, edges *list, uint64_t visit) {
  if (e->visit == visit || p->failed || !expr_enter(p)) return;
  e->visit = visit;
  while (e->kind == EXPR_SEQ) {
    add_fronts(p, e->seq.head, list, visit);
    if (!e->seq.head->nullable) break;
    e = e->seq.tail;
  }
  if (e->kind == EXPR_ALT || e->kind == EXPR_AND)
    for (uint32_t i = 0; i < e->list.n; i++) add_fronts(p, e->list.items[i], list, visit);
  else if (e->kind == EXPR_REPEAT || e->kind == EXPR_NOT)
    add_fronts(p, e->repeat.of, list, visit);
  else if (e->kind == EXPR_CALL)
    add_edge(p, list, e->rule);
  expr_leave(p);
}

/* Takes away rules that no other begins with, again and again; what is left goes in circles. */
static uint32_t find_circle(expr_pool *p, const edges *list, const size_t *first, uint32_t *incoming, uint32_t *queue,
                            uint32_t *depth) {
  uint32_t n = p->n_rules, taken = 0, ready = 0;
  for (size_t i = 0; i < list->n; i++) incoming[list->to[i]]++;
  for (uint32_t r = 0; r < n; r++)
    if (incoming[r] == 0) queue[ready++] = r;
  for (; taken < ready; taken++) {
    uint32_t r = queue[taken];
    if (depth[r] > DEEPEST_FRONT) expr_fail(p, "rules begin with one another too often");
    for (size_t i = first[r]; i < first[r + 1]; i++) {
      uint32_t to = list->to[i];
      if (depth[to] < depth[r] + 1) depth[to] = depth[r] + 1;
      if (--incoming[to] == 0) queue[ready++] = to;
    }
  }
  for (uint32_t r = 0; r < n && ready < n; r++)
    if (incoming[r]) return r;
  return UINT32_MAX;
}

uint32_t expr_left_recursion(expr_pool *p) {
  uint32_t n = p->n_rules, found = UINT32_MAX;
  edges list = {0};
  size_t *first = calloc((size_t)n + 1, sizeof *first);
  uint32_t *numbers = calloc(3 * (size_t)n + 1, sizeof *numbers);
  if (first && numbers) {
    for (uint32_t r = 0; r < n && !p->failed; r++) {
      first[r] = list.n;
      if (p->rules[r].body) add_fronts(p, p->rules[r].body, &list, ++p->epoch);
    }
    first[n] = list.n;
    if (!p->failed) found = find_circle(p, &list, first, numbers, numbers + n, numbers + 2 * (size_t)n);
  } else {
    expr_fail(p, "out of memory");
    p->no_memory = true;
  }
  free(list.to);
  free(first);
  free(numbers);
  return found;
}
