/* A mask is found by walking the vocabulary's trie with the automaton's states. Two things spare most of the walk.
 *
 * In a string that any character may follow, characters count but don't matter: tokens inside a string are known
 * beforehand by how many characters they have, and tokens that leave it by what is behind their characters.
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

void mask_of(mask_walk *w, expr *e) {
  enum { RARE_CHARACTER = 0x7F };
  if (mask_of_string(w, e)) return;
  expr *base = expr_next(w->pool, e, RARE_CHARACTER);
  if (base != w->pool->none && expr_after_character(w->pool, base) == base && mask_of_string(w, base))
    walk_difference(w, &w->table->all, e, base);
  else if (!w->pool->failed)
    walk(w, &w->table->all, e);
}

void mask_of_start(mask_walk *w, expr *e) {
  walk(w, w->table->drops_space ? &w->table->starting : &w->table->all, e);
}
