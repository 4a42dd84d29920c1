#include "constraint/token_trie.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b) {
  const token_text *x = a, *y = b;
  uint32_t n = x->n < y->n ? x->n : y->n;
  int order = n ? memcmp(x->s, y->s, n) : 0;
  if (order) return order;
  if (x->n != y->n) return x->n < y->n ? -1 : 1;
  return (x->id > y->id) - (x->id < y->id);
}

static uint32_t shared_bytes(const token_text *a, const token_text *b) {
  uint32_t n = a->n < b->n ? a->n : b->n, i = 0;
  while (i < n && a->s[i] == b->s[i]) i++;
  return i;
}

static size_t count_nodes(const token_text *texts, size_t n) {
  size_t nodes = 0;
  for (size_t i = 0; i < n; i++) nodes += texts[i].n - (i ? shared_bytes(&texts[i - 1], &texts[i]) : 0);
  return nodes;
}

static void fill(const token_text *texts, size_t n, token_trie *t, uint32_t *open) {
  uint32_t depth = 0; /* of the open nodes */
  for (size_t i = 0; i < n; i++) {
    const token_text *text = &texts[i];
    uint32_t kept = i ? shared_bytes(text - 1, text) : 0;
    while (depth > kept) t->nodes[open[--depth]].skip = t->n_nodes;
    for (; depth < text->n; depth++) {
      open[depth] = t->n_nodes;
      t->nodes[t->n_nodes++] =
          (trie_node){.first = t->n_ids, .depth = (uint16_t)depth, .byte = (unsigned char)text->s[depth]};
    }
    t->ids[t->n_ids++] = text->id;
    t->n_empty += text->n == 0;
  }
  while (depth > 0) t->nodes[open[--depth]].skip = t->n_nodes;
  t->nodes[t->n_nodes].first = t->n_ids;
}

gale_status token_trie_build(token_text *texts, size_t n, token_trie *trie, gale_error *error) {
  qsort(texts, n, sizeof *texts, by_text);
  size_t nodes = count_nodes(texts, n), longest = 0;
  for (size_t i = 0; i < n; i++) longest = texts[i].n > longest ? texts[i].n : longest;
  if (nodes >= UINT32_MAX || longest > UINT16_MAX)
    return error_set(error, GALE_E_UNSUPPORTED, "the vocabulary's texts are too long for constraints");
  token_trie t = {.nodes = malloc((nodes + 1) * sizeof *t.nodes), .ids = malloc((n + 1) * sizeof *t.ids)};
  uint32_t *open = malloc((longest + 1) * sizeof *open);
  if (t.nodes && t.ids && open) fill(texts, n, &t, open);
  bool failed = !t.nodes || !t.ids || !open;
  free(open);
  if (failed) {
    token_trie_free(&t);
    return error_memory(error, nodes * sizeof *t.nodes);
  }
  *trie = t;
  return GALE_OK;
}

void token_trie_free(token_trie *trie) {
  free(trie->nodes);
  free(trie->ids);
  *trie = (token_trie){0};
}
