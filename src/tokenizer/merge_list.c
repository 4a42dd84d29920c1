/* Merges of a vocabulary that states none but the order of its tokens. */
#include <stdlib.h>

#include "tokenizer/built.h"

typedef struct merge_list {
  const vocabulary *v;
  const gale_tokenizer *t;
  arena *memory;
  const char **merges;
  uint32_t *lengths;
  size_t n;
  word w;
} merge_list;

/* A token is made of the two symbols that its bytes have become when nothing but the last merge is left. Wherever text
 * becomes that token no merge has crossed its ends, so that it is made of the same two there: one merge says all. */
static bool add_token(merge_list *l, uint32_t id) {
  const gale_tokenizer *t = l->t;
  size_t n;
  const char *s = texts_get(&t->plain, id, &n);
  if (n < 2 || !mergeable(t, id) || lookup_find(&t->words, s, n) != id) return true;
  if (!encode_word_symbols(t, s, n, 2, &l->w)) return false;
  const uint32_t *halves = l->w.symbols;
  if (l->w.n != 2 || merge_find(&t->merges, halves[0], halves[1])->symbol != id) return true;
  size_t left = l->v->lengths[halves[0]], right = l->v->lengths[halves[1]];
  char *text = arena_alloc(l->memory, left + right + 2);
  if (!text) return false;
  memcpy(text, l->v->tokens[halves[0]], left);
  text[left] = ' ';
  memcpy(text + left + 1, l->v->tokens[halves[1]], right);
  l->merges[l->n] = text;
  l->lengths[l->n++] = (uint32_t)(left + 1 + right);
  return true;
}

gale_status vocabulary_list_merges(const vocabulary *v, arena *memory, vocabulary *to, gale_error *error) {
  gale_tokenizer *t;
  gale_status status = tokenizer_create(v, &t, error);
  if (status) return status;
  merge_list l = {.v = v,
                  .t = t,
                  .memory = memory,
                  .merges = arena_array(memory, v->n_tokens, sizeof *l.merges),
                  .lengths = arena_array(memory, v->n_tokens, sizeof *l.lengths)};
  bool ok = l.merges && l.lengths;
  for (uint32_t i = 0; i < v->n_tokens && ok; i++) ok = add_token(&l, i);
  word_free(&l.w);
  gale_tokenizer_close(&t);
  if (!ok) return error_memory(error, v->n_tokens * sizeof *l.merges);
  *to = *v;
  to->merge_by_id = false;
  to->merges = l.merges;
  to->merge_lengths = l.lengths;
  to->n_merges = l.n;
  return GALE_OK;
}
