/* From text to ids. Text is cut at user-defined tokens, then into words that no merge can cross; a word
 * that is a token is found by its bytes, one seen before is copied, and the rest are merged. */
#include <stdlib.h>

#include "base/utf8.h"
#include "tokenizer/built.h"

/* Where a word was first seen, and what it became. */
typedef struct seen_word {
  uint32_t at, length;   /* in the text; length 0: empty */
  uint32_t first, count; /* in the output */
} seen_word;

typedef struct encoder {
  const gale_tokenizer *t;
  const char *text; /* in SentencePiece the plain form, with 0x20 for each U+2581 */
  id_list *out;
  word word;
  seen_word *seen; /* one word for each value of the hash's low bits: the latest */
  uint32_t seen_mask;
} encoder;

bool id_list_reserve(id_list *list, size_t more) {
  if (more <= list->capacity - list->n) return true;
  size_t capacity = list->n + more + list->capacity / 2;
  int32_t *ids = realloc(list->ids, capacity * sizeof *ids);
  if (!ids) return false;
  list->ids = ids;
  list->capacity = capacity;
  return true;
}

static bool put(encoder *e, uint32_t id) {
  if (e->out->n == e->out->capacity && !id_list_reserve(e->out, 16)) return false;
  e->out->ids[e->out->n++] = (int32_t)id;
  return true;
}

/* A character that is no token: its bytes, or the unknown token where the vocabulary lacks one of them. */
static bool put_bytes(encoder *e, const char *s, size_t n) {
  const gale_tokenizer *t = e->t;
  if (*s == ' ') {
    s = "\xE2\x96\x81";
    n = 3;
  }
  for (size_t i = 0; i < n; i++)
    if (t->bytes[(unsigned char)s[i]] == SYMBOL_NONE) return t->unk < 0 || put(e, (uint32_t)t->unk);
  for (size_t i = 0; i < n; i++)
    if (!put(e, t->bytes[(unsigned char)s[i]])) return false;
  return true;
}

/* Unused tokens only serve as steps of merging: what they were made of is written. */
static bool put_unused(encoder *e, uint32_t symbol) {
  const gale_tokenizer *t = e->t;
  uint32_t pending[LONGEST_PIECE]; /* each stands for a character of the piece at least */
  size_t n = 0;
  pending[n++] = symbol;
  while (n > 0) {
    symbol = pending[--n];
    bool unused = symbol < t->n_tokens && t->types[symbol] == TOKEN_UNUSED;
    if (unused && t->halves[symbol][0] != SYMBOL_NONE) {
      pending[n++] = t->halves[symbol][1];
      pending[n++] = t->halves[symbol][0];
    } else if (symbol < t->n_tokens) {
      if (!put(e, symbol)) return false;
    } else {
      size_t length;
      const char *s = texts_get(&t->plain, symbol, &length);
      if (!put_bytes(e, s, length)) return false;
    }
  }
  return true;
}

static void split_characters(const gale_tokenizer *t, const char *text, size_t length, word *w) {
  for (size_t i = 0, step; i < length; i += step) {
    unsigned char byte = (unsigned char)text[i];
    step = 1;
    w->at[w->n] = (uint32_t)i;
    if (byte < 128) {
      w->symbols[w->n++] = t->ascii[byte];
    } else {
      utf8_at(text + i, length - i, &step);
      w->symbols[w->n++] = lookup_find(&t->words, text + i, step);
    }
  }
}

bool encode_word_symbols(const gale_tokenizer *t, const char *text, size_t length, size_t least, word *w) {
  w->n = 0;
  if (!word_reserve(w, length)) return false;
  if (t->kind == VOCABULARY_SENTENCEPIECE) {
    split_characters(t, text, length, w);
  } else {
    /* Bytes that the vocabulary lacks are dropped and what is left is merged, as the reference for these
     * vocabularies does: SmolLM2 has no token for 21 of the bytes. */
    for (size_t i = 0; i < length; i++) {
      uint32_t symbol = t->bytes[(unsigned char)text[i]];
      w->symbols[w->n] = symbol;
      w->at[w->n] = (uint32_t)i;
      w->n += symbol != SYMBOL_NONE;
    }
  }
  return word_merge(w, &t->merges, least);
}

static bool merge_and_put(encoder *e, const char *s, size_t n) {
  const gale_tokenizer *t = e->t;
  if (!encode_word_symbols(t, s, n, 1, &e->word)) return false;
  const word *w = &e->word;
  if (!id_list_reserve(e->out, w->n)) return false;
  for (size_t i = 0; i < w->n; i++) {
    uint32_t symbol = w->symbols[i];
    if (symbol < t->n_tokens) {
      bool ok = t->types[symbol] == TOKEN_UNUSED ? put_unused(e, symbol) : put(e, symbol);
      if (!ok) return false;
    } else {
      size_t end = i + 1 < w->n ? w->at[i + 1] : n;
      if (!put_bytes(e, s + w->at[i], end - w->at[i])) return false;
    }
  }
  return true;
}

static bool put_word(encoder *e, size_t at, size_t n) {
  const gale_tokenizer *t = e->t;
  const char *s = e->text + at;
  uint64_t hash = text_hash(&t->words.key, s, n);
  uint32_t symbol = lookup_find_hashed(&t->words, s, n, hash);
  if (symbol < t->n_tokens && t->alone[symbol]) return put(e, symbol);
  seen_word *seen = &e->seen[(uint32_t)hash & e->seen_mask];
  id_list *out = e->out;
  if (seen->length == n && memcmp(e->text + seen->at, s, n) == 0) {
    if (!id_list_reserve(out, seen->count)) return false;
    for (uint32_t i = 0; i < seen->count; i++) out->ids[out->n + i] = out->ids[seen->first + i];
    out->n += seen->count;
    return true;
  }
  size_t first = out->n;
  if (!merge_and_put(e, s, n)) return false;
  *seen = (seen_word){(uint32_t)at, (uint32_t)n, (uint32_t)first, (uint32_t)(out->n - first)};
  return true;
}

/* Text [at, end) without user-defined tokens. */
static bool put_text(encoder *e, size_t at, size_t end) {
  const gale_tokenizer *t = e->t;
  if (t->pre) {
    while (at < end) {
      size_t next = t->pre->next(e->text, at, end);
      if (!put_word(e, at, next - at)) return false;
      at = next;
    }
    return true;
  }
  while (at < end) {
    size_t step;
    uint32_t left = utf8_at(e->text + at, end - at, &step);
    size_t next = at + step;
    while (next < end) {
      uint32_t right = utf8_at(e->text + next, end - next, &step);
      if (!char_pairs_has(&t->pairs, left, right)) break;
      left = right;
      next += step;
    }
    if (!put_word(e, at, next - at)) return false;
    at = next;
  }
  return true;
}

/* The longest user-defined token at s, or SYMBOL_NONE: the sorted list is narrowed byte by byte. */
static uint32_t user_token(const gale_tokenizer *t, const char *s, size_t n, size_t *length) {
  uint32_t low = 0, high = t->n_user, best = SYMBOL_NONE;
  for (size_t k = 0; low < high; k++) {
    size_t text_length;
    texts_get(&t->plain, t->user[low], &text_length);
    if (text_length == k && k > 0) {
      best = t->user[low];
      *length = k;
    }
    if (k == n) break;
    unsigned char byte = (unsigned char)s[k];
    uint32_t bounds[2];
    for (int side = 0; side < 2; side++) {
      uint32_t from = low, to = high;
      while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        const char *text = texts_get(&t->plain, t->user[middle], &text_length);
        int have = text_length > k ? (unsigned char)text[k] : -1;
        if (have < byte + side)
          from = middle + 1;
        else
          to = middle;
      }
      bounds[side] = from;
    }
    low = bounds[0];
    high = bounds[1];
  }
  return best;
}

static bool put_all(encoder *e, size_t n) {
  const gale_tokenizer *t = e->t;
  size_t done = 0;
  for (size_t i = 0; i < n && t->n_user > 0;) {
    size_t length;
    uint32_t token =
        t->user_first[(unsigned char)e->text[i]] ? user_token(t, e->text + i, n - i, &length) : SYMBOL_NONE;
    if (token == SYMBOL_NONE) {
      i++;
      continue;
    }
    if (!put_text(e, done, i) || !put(e, token)) return false;
    done = i += length;
  }
  return put_text(e, done, n);
}

/* SentencePiece sees one space in front of the text, and spaces as U+2581; here, U+2581 as spaces. */
static char *plain_copy(const gale_tokenizer *t, const char *text, size_t *length) {
  char *plain = malloc(*length + 1);
  if (!plain) return NULL;
  size_t n = 0;
  if (t->add_space_prefix) plain[n++] = ' ';
  *length = n + plain_text(t->kind, text, *length, plain + n);
  return plain;
}

/* A run of unknown tokens becomes one. */
static void join_unknown(id_list *list, size_t from, int32_t unk) {
  size_t kept = from;
  for (size_t i = from; i < list->n; i++)
    if (i == from || list->ids[i] != unk || list->ids[i - 1] != unk) list->ids[kept++] = list->ids[i];
  list->n = kept;
}

gale_status encode_append(const gale_tokenizer *t, const char *text, size_t length, id_list *list, gale_error *error) {
  if (length == 0) return GALE_OK;
  if (length > INT32_MAX / 4)
    return error_set(error, GALE_E_ARGUMENT, "the text has %zu bytes; at most %d are accepted", length, INT32_MAX / 4);
  size_t before = list->n, slots = 64;
  while (slots < length / 16 && slots < 1 << 15) slots *= 2;
  encoder e = {.t = t, .text = text, .out = list, .seen_mask = (uint32_t)(slots - 1)};
  e.seen = calloc(slots, sizeof *e.seen);
  char *plain = t->kind == VOCABULARY_SENTENCEPIECE ? plain_copy(t, text, &length) : NULL;
  if (plain) e.text = plain;
  bool ok =
      e.seen && (plain || t->kind == VOCABULARY_BPE) && id_list_reserve(list, length / 3 + 8) && put_all(&e, length);
  free(plain);
  free(e.seen);
  word_free(&e.word);
  if (ok && t->kind == VOCABULARY_SENTENCEPIECE && t->unk >= 0) join_unknown(list, before, t->unk);
  if (ok) return GALE_OK;
  list->n = before;
  return error_memory(error, length * 4);
}

gale_status gale_tokenize(const gale_tokenizer *tokenizer, const char *text, size_t length, bool bos, int32_t **ids,
                          size_t *n_ids, gale_error *error) {
  if (bos && tokenizer->bos < 0)
    return error_set(error, GALE_E_ARGUMENT, "BOS is asked for, but the vocabulary has no such token");
  id_list list = {0};
  if (!id_list_reserve(&list, 1)) return error_memory(error, sizeof *list.ids);
  if (bos) list.ids[list.n++] = tokenizer->bos;
  gale_status status = encode_append(tokenizer, text, length, &list, error);
  if (status) {
    free(list.ids);
    return status;
  }
  *ids = list.ids;
  *n_ids = list.n;
  return GALE_OK;
}
