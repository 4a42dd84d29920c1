/* A mask is found by walking the vocabulary's trie with the automaton's states. Three things spare most of the walk.
 *
 * In a string that any character may follow, characters count but don't matter: tokens inside a string are known
 * beforehand by how many characters they have, and tokens that leave it by what is behind their characters.
 *
 * Where characters do matter, but none is ever forbidden - a pattern is searched for - tokens inside a string are known
 * as well: those that leave it are walked.
 *
 * Where all characters of some kind may follow, though they make states differ - a pattern is searched for, or letters
 * are repeated - tokens of nothing but these need no walk.
 *
 * Where a few texts are treated apart from all others - names of declared members, say - the state differs from that
 * within "all others" along these texts alone: the mask is that state's mask, put right where the two differ. */
#include "constraint/mask.h"

#include <string.h>

static void set_bit(uint32_t *mask, int32_t id) {
  mask[id / 32] |= UINT32_C(1) << (id % 32);
}

static void clear_bit(uint32_t *mask, int32_t id) {
  mask[id / 32] &= ~(UINT32_C(1) << (id % 32));
}

static void add_mask(mask_walk *w, const uint32_t *from) {
  for (size_t i = 0; i < w->table->words; i++) w->mask[i] |= from[i];
}

/* Tokens of the trie that state e lets through. */
static void walk(mask_walk *w, const token_trie *t, expr *e) {
  expr_pool *p = w->pool;
  expr **path = w->path;
  const trie_node *nodes = t->nodes;
  path[0] = e;
  for (uint32_t i = 0; i < t->n_empty; i++) set_bit(w->mask, t->ids[i]);
  for (uint32_t i = 0; i < t->n_nodes;) {
    const trie_node *node = &nodes[i];
    expr *to = expr_next(p, path[node->depth], node->byte);
    if (to == p->none) {
      if (p->failed) return;
      i = node->skip;
      continue;
    }
    path[node->depth + 1] = to;
    for (uint32_t k = node->first; k < nodes[i + 1].first; k++) set_bit(w->mask, t->ids[k]);
    i++;
  }
}

/* The mask of state `base` is there; puts it right for e. */
static void walk_difference(mask_walk *w, const token_trie *t, expr *e, expr *base) {
  expr_pool *p = w->pool;
  const trie_node *nodes = t->nodes;
  w->path[0] = e;
  w->other[0] = base;
  for (uint32_t i = 0; i < t->n_nodes;) {
    const trie_node *node = &nodes[i];
    expr *to = expr_next(p, w->path[node->depth], node->byte), *other = w->other[node->depth];
    if (other != p->none) other = expr_next(p, other, node->byte);
    if (p->failed) return;
    if (to == other) {
      i = node->skip;
    } else if (to == p->none) {
      for (uint32_t k = node->first; k < nodes[node->skip].first; k++) clear_bit(w->mask, t->ids[k]);
      i = node->skip;
    } else {
      for (uint32_t k = node->first; k < nodes[i + 1].first; k++) set_bit(w->mask, t->ids[k]);
      w->path[node->depth + 1] = to;
      w->other[node->depth + 1] = other;
      i++;
    }
  }
}

/* States that the first characters lead to, for as long as it matters only how many there are. False if that ends
 * before all tokens are decided. */
static bool characters(mask_walk *w, expr *e, expr **states, uint32_t *n, bool *loops) {
  *n = 0;
  *loops = false;
  while (*n <= PREFIX_MOST) {
    states[(*n)++] = e;
    if (*n > PREFIX_MOST) return true;
    expr *to = expr_after_character(w->pool, e);
    if (!to) return false;
    if (to == w->pool->none) return true;
    if (to == e) {
      *loops = true;
      return true;
    }
    e = to;
  }
  return true;
}

static bool mask_of_string(mask_walk *w, expr *e) {
  expr *states[PREFIX_MOST + 1];
  uint32_t n;
  bool loops;
  expr *first = expr_after_character(w->pool, e);
  if (!first || first == w->pool->none) return false;
  if (!characters(w, e, states, &n, &loops)) return false;
  add_mask(w, w->table->inside[loops ? PREFIX_MOST + 1 : n - 1]);
  for (uint32_t k = 0; k < n && !w->pool->failed; k++)
    walk(w, loops && k == n - 1 ? &w->table->from[k] : &w->table->exact[k], states[k]);
  return true;
}

/* Bytes that go on with UTF-8 from each place in a character to the next; place 0 is between characters, which are
 * those that JSON strings hold unescaped. */
typedef struct utf8_step {
  uint8_t from, first, last, to;
} utf8_step;
static const utf8_step utf8_steps[] = {
    {0, 0x20, 0x21, 0}, {0, 0x23, 0x5B, 0}, {0, 0x5D, 0x7F, 0}, {0, 0xC2, 0xDF, 1}, {0, 0xE0, 0xE0, 4},
    {0, 0xE1, 0xEC, 2}, {0, 0xED, 0xED, 5}, {0, 0xEE, 0xEF, 2}, {0, 0xF0, 0xF0, 6}, {0, 0xF1, 0xF3, 3},
    {0, 0xF4, 0xF4, 7}, {1, 0x80, 0xBF, 0}, {2, 0x80, 0xBF, 1}, {3, 0x80, 0xBF, 2}, {4, 0xA0, 0xBF, 1},
    {5, 0x80, 0x9F, 1}, {6, 0x90, 0xBF, 2}, {7, 0x80, 0x8F, 2},
};
enum { UTF8_STEPS = sizeof utf8_steps / sizeof *utf8_steps, MOST_FREE = 128 };

typedef struct free_search {
  expr *state[MOST_FREE];
  uint8_t place[MOST_FREE];
  uint32_t n;
} free_search;

static bool free_add(free_search *s, expr *e, uint8_t place) {
  for (uint32_t i = 0; i < s->n; i++)
    if (s->state[i] == e && s->place[i] == place) return true;
  if (s->n == MOST_FREE) return false;
  s->state[s->n] = e;
  s->place[s->n++] = place;
  return true;
}

/* Follows each class of bytes of a step once. */
static bool free_step(free_search *s, expr_pool *p, expr *e, const utf8_step *step) {
  const expr_table *t = expr_table_of(p, e);
  uint32_t seen[8] = {0};
  for (unsigned byte = step->first; byte <= step->last; byte++) {
    unsigned c = expr_class(t, byte);
    if (seen[c / 32] >> (c % 32) & 1) continue;
    seen[c / 32] |= UINT32_C(1) << (c % 32);
    expr *to = expr_next(p, e, byte);
    if (to == p->none || !free_add(s, to, step->to)) return false;
  }
  return true;
}

static bool find_free(free_search *s, expr_pool *p, expr *e) {
  s->n = 0;
  free_add(s, e, 0);
  for (uint32_t i = 0; i < s->n; i++)
    for (int k = 0; k < UTF8_STEPS; k++)
      if (utf8_steps[k].from == s->place[i] && !free_step(s, p, s->state[i], &utf8_steps[k])) return false;
  return !p->failed;
}

/* Whether any text of characters may follow, of which JSON strings hold all unescaped. */
static bool is_free(mask_walk *w, expr *e) {
  enum { YES = 1, NO };
  if (e->free) return e->free == YES;
  free_search s;
  bool found = find_free(&s, w->pool, e);
  if (!found) e->free = NO;
  for (uint32_t i = 0; found && i < s.n; i++)
    if (s.place[i] == 0) s.state[i]->free = YES;
  return found;
}

/* Of tokens that only have characters which may all follow, none is walked. */
static void walk_beyond(mask_walk *w, expr *e) {
  for (int kind = 0; kind < TEXT_KINDS; kind++)
    if (expr_within(w->pool, e, (expr_text_kind)kind)) {
      add_mask(w, w->table->within[kind]);
      walk(w, &w->table->beyond[kind], e);
      return;
    }
  if (!w->pool->failed) walk(w, &w->table->all, e);
}

void mask_of(mask_walk *w, expr *e) {
  enum { RARE_CHARACTER = 0x7F };
  if (mask_of_string(w, e)) return;
  if (is_free(w, e)) {
    add_mask(w, w->table->inside[PREFIX_MOST + 1]);
    walk(w, &w->table->leaving, e);
    return;
  }
  expr *base = expr_next(w->pool, e, RARE_CHARACTER);
  if (base != w->pool->none && expr_after_character(w->pool, base) == base && mask_of_string(w, base))
    walk_difference(w, &w->table->all, e, base);
  else if (!w->pool->failed)
    walk_beyond(w, e);
}

void mask_of_start(mask_walk *w, expr *e) {
  walk(w, w->table->drops_space ? &w->table->starting : &w->table->all, e);
}
