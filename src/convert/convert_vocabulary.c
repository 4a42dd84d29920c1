/* The keys of a tokenizer in a GGUF file. */
#include "convert/convert.h"

#include "load/vocabulary.h"

#include <stdlib.h>
#include <string.h>

typedef struct writer {
  checkpoint *to;
  size_t n_rows; /* of the embedding */
  gale_error *error;
  gale_status status;
} writer;

static void add(writer *w, setting s) {
  if (!w->status) w->status = convert_add(w->to, s, w->error);
}

static void add_text(writer *w, const char *key, const char *text) {
  const char *copy = text ? arena_string(&w->to->memory, text, strlen(text)) : NULL;
  if (!text || w->status) return;
  if (!copy) w->status = error_memory(w->error, strlen(text));
  add(w, (setting){.key = key, .type = SETTING_STRING, .string = {copy, strlen(text)}});
}

static void add_id(writer *w, const char *key, int32_t id) {
  if (id >= 0 && (size_t)id < w->n_rows) add(w, (setting){.key = key, .type = SETTING_INT, .integer = id});
}

static void add_flag(writer *w, const char *key, bool value) {
  add(w, (setting){.key = key, .type = SETTING_BOOL, .boolean = value});
}

static setting *make_list(writer *w, size_t n) {
  setting *items = arena_array(&w->to->memory, n, sizeof *items);
  if (!items && !w->status) w->status = error_memory(w->error, n * sizeof *items);
  return items;
}

static void add_list(writer *w, const char *key, const setting *items, size_t n) {
  add(w, (setting){.key = key, .type = SETTING_ARRAY, .array = {items, n}});
}

static setting copy_text(writer *w, const char *text, size_t n) {
  const char *copy = arena_string(&w->to->memory, text ? text : "", n);
  if (!copy && !w->status) w->status = error_memory(w->error, n);
  return (setting){.type = SETTING_STRING, .string = {copy, n}};
}

static setting copy_texts(writer *w, const char *key, const char *const *texts, const uint32_t *lengths, size_t n) {
  setting *items = make_list(w, n);
  for (size_t i = 0; i < n && !w->status; i++) items[i] = copy_text(w, texts[i], lengths[i]);
  return (setting){.key = key, .type = SETTING_ARRAY, .array = {items, n}};
}

/* Tokens without a row are left out. Rows of the embedding without a token, and ids that stand for nothing, become
 * tokens of a name of their own: other engines count tokens to know the rows. */
static void add_tokens(writer *w, const vocabulary *v) {
  setting *tokens = make_list(w, w->n_rows), *types = make_list(w, w->n_rows);
  for (size_t i = 0; i < w->n_rows && !w->status; i++) {
    bool named = i < v->n_tokens && v->lengths[i] > 0;
    if (named) {
      tokens[i] = copy_text(w, v->tokens[i], v->lengths[i]);
    } else {
      const char *name = arena_printf(&w->to->memory, "[PAD%zu]", i);
      if (!name) w->status = error_memory(w->error, 16);
      tokens[i] = (setting){.type = SETTING_STRING, .string = {name, name ? strlen(name) : 0}};
    }
    int type = !named ? TOKEN_UNUSED : v->types ? v->types[i] : TOKEN_NORMAL;
    types[i] = (setting){.type = SETTING_INT, .integer = type};
  }
  if (w->status) return;
  add_list(w, "tokenizer.ggml.tokens", tokens, w->n_rows);
  add_list(w, "tokenizer.ggml.token_type", types, w->n_rows);
}

/* ---- SentencePiece ---- */

static int compare_pieces(const char *a, size_t n_a, const char *b, size_t n_b) {
  int order = memcmp(a, b, n_a < n_b ? n_a : n_b);
  return order ? order : (n_a > n_b) - (n_a < n_b);
}

typedef struct piece_order {
  const vocabulary *v;
  uint32_t *ids;
} piece_order;

static int compare_ids(const void *a, const void *b, void *user) {
  const vocabulary *v = user;
  uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
  return compare_pieces(v->tokens[i], v->lengths[i], v->tokens[j], v->lengths[j]);
}

static bool find_piece(const piece_order *o, const char *text, size_t n, uint32_t *id) {
  for (size_t low = 0, high = o->v->n_tokens; low < high;) {
    size_t middle = low + (high - low) / 2;
    uint32_t i = o->ids[middle];
    int side = compare_pieces(text, n, o->v->tokens[i], o->v->lengths[i]);
    *id = i;
    if (side == 0) return true;
    if (side < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return false;
}

/* The text that a merge makes, and the length of its left side. */
static bool join_merge(const char *merge, size_t n, char joined[1024], size_t *left) {
  const char *space = n > 2 ? memchr(merge + 1, ' ', n - 2) : NULL;
  if (!space || n > 1024) return false;
  *left = (size_t)(space - merge);
  memcpy(joined, merge, *left);
  memcpy(joined + *left, space + 1, n - *left - 1);
  return true;
}

static bool is_normal(const vocabulary *v, uint32_t id) {
  return !v->types || v->types[id] == TOKEN_NORMAL;
}

/* How many ways there are to cut a piece into two others. */
static size_t count_cuts(const piece_order *o, uint32_t id, bool *one_character) {
  const char *text = o->v->tokens[id];
  size_t n = o->v->lengths[id], cuts = 0;
  uint32_t half;
  *one_character = true;
  for (size_t i = 1; i < n; i++) {
    if ((text[i] & 0xC0) == 0x80) continue;
    *one_character = false;
    cuts += find_piece(o, text, i, &half) && is_normal(o->v, half) && find_piece(o, text + i, n - i, &half) &&
            is_normal(o->v, half);
  }
  return cuts;
}

static gale_status refuse_merges(const writer *w, const vocabulary *v, const char *why) {
  return error_set(w->error, GALE_E_UNSUPPORTED,
                   "%s: merges that GGUF cannot state, for %s; a tokenizer.model is accepted instead", v->source, why);
}

/* GGUF has scores: any two neighbours merge that make a piece, the piece of the highest score first. A list of merges
 * says the same if it has all ways to make each of its pieces, side by side, and no piece is made in none. */
static gale_status score_merges(writer *w, const piece_order *o, float *scores) {
  static const float never = -1e9f;
  const vocabulary *v = o->v;
  size_t n_merges = 0, n_cuts = 0;
  uint32_t last = UINT32_MAX;
  for (size_t i = 0; i < v->n_tokens; i++) scores[i] = never;
  for (size_t m = 0; m < v->n_merges; m++) {
    char joined[1024];
    size_t left, n = v->merge_lengths[m];
    uint32_t id, half;
    if (!join_merge(v->merges[m], n, joined, &left) || !find_piece(o, joined, n - 1, &id) ||
        !find_piece(o, joined, left, &half) || !find_piece(o, joined + left, n - 1 - left, &half))
      return refuse_merges(w, v, "some are of or make what is no piece");
    if (!is_normal(v, id)) continue;
    if (id != last && scores[id] != never) return refuse_merges(w, v, "those that make the same piece are apart");
    if (id != last) scores[id] = -(float)(m + 1);
    last = id;
    n_merges++;
  }
  for (uint32_t i = 0; i < v->n_tokens; i++) {
    bool one_character;
    if (!is_normal(v, i)) continue;
    n_cuts += count_cuts(o, i, &one_character);
    if (!one_character && scores[i] == never) return refuse_merges(w, v, "there is a piece that none makes");
  }
  return n_cuts == n_merges ? GALE_OK : refuse_merges(w, v, "they leave out ways to make a piece");
}

/* The ids sorted by text. Of two tokens with the same text either may be found; then the counts differ. */
static void scores_of_merges(writer *w, const vocabulary *v, float *scores) {
  piece_order order = {v, arena_array(&w->to->memory, v->n_tokens, sizeof *order.ids)};
  if (!order.ids) {
    w->status = error_memory(w->error, v->n_tokens * sizeof *order.ids);
    return;
  }
  for (uint32_t i = 0; i < v->n_tokens; i++) order.ids[i] = i;
  qsort_r(order.ids, v->n_tokens, sizeof *order.ids, compare_ids, (void *)v);
  w->status = score_merges(w, &order, scores);
}

static void add_scores(writer *w, const vocabulary *v) {
  setting *items = make_list(w, w->n_rows);
  float *made = NULL;
  if (!w->status && !v->scores) {
    made = arena_array(&w->to->memory, v->n_tokens, sizeof *made);
    if (made)
      scores_of_merges(w, v, made);
    else
      w->status = error_memory(w->error, v->n_tokens * sizeof *made);
  }
  if (w->status) return;
  const float *scores = made ? made : v->scores;
  for (size_t i = 0; i < w->n_rows; i++)
    items[i] = (setting){.type = SETTING_FLOAT, .number = i < v->n_tokens ? (double)scores[i] : -1000};
  add_list(w, "tokenizer.ggml.scores", items, w->n_rows);
}

/* ---- Both kinds ---- */

static void add_controls(writer *w, const vocabulary *v) {
  add_id(w, "tokenizer.ggml.bos_token_id", v->bos);
  add_id(w, "tokenizer.ggml.eos_token_id", v->eos);
  add_id(w, "tokenizer.ggml.unknown_token_id", v->unk);
  const char *const keys[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
  size_t used = 0;
  for (size_t i = 0; i < v->n_ends && used < 2; i++)
    if (v->ends[i] >= 0 && v->ends[i] != v->eos) add_id(w, keys[used++], v->ends[i]);
  setting *ends = make_list(w, v->n_ends);
  size_t n_ends = 0;
  for (size_t i = 0; i < v->n_ends && !w->status; i++)
    if (v->ends[i] >= 0 && (size_t)v->ends[i] < w->n_rows)
      ends[n_ends++] = (setting){.type = SETTING_INT, .integer = v->ends[i]};
  if (n_ends > 1) add_list(w, "tokenizer.ggml.eos_token_ids", ends, n_ends);
  add_flag(w, "tokenizer.ggml.add_bos_token", v->add_bos);
  add_flag(w, "tokenizer.ggml.add_eos_token", false);
  if (v->kind == VOCABULARY_SENTENCEPIECE) add_flag(w, "tokenizer.ggml.add_space_prefix", v->add_space_prefix);
  add_text(w, "tokenizer.chat_template", v->chat_template);
}

/* GGUF has no keys for what Mistral's own files say of prompts. */
static void add_prompts(writer *w, const vocabulary *v) {
  const model_settings *s = v->settings;
  if (v->version) add(w, (setting){.key = VOCABULARY_VERSION, .type = SETTING_INT, .integer = v->version});
  if (!s) return;
  setting *efforts = make_list(w, s->n_efforts);
  for (size_t i = 0; i < s->n_efforts && !w->status; i++)
    efforts[i] = copy_text(w, s->efforts[i], strlen(s->efforts[i]));
  if (s->n_efforts) add_list(w, VOCABULARY_EFFORTS, efforts, s->n_efforts);
  add_text(w, VOCABULARY_EFFORT, s->default_effort);
  add_flag(w, VOCABULARY_SCHEMA, s->schema);
}

static void add_merges(writer *w, const vocabulary *v) {
  vocabulary listed = *v;
  if (v->merge_by_id && !w->status) w->status = vocabulary_list_merges(v, &w->to->memory, &listed, w->error);
  if (w->status) return;
  add(w, copy_texts(w, "tokenizer.ggml.merges", listed.merges, listed.merge_lengths, listed.n_merges));
}

static gale_status write_vocabulary(const vocabulary *v, void *user, gale_error *error) {
  writer *w = user;
  w->error = error;
  for (size_t i = w->n_rows; i < v->n_tokens; i++)
    if (!v->types || (v->types[i] != TOKEN_CONTROL && v->types[i] != TOKEN_USER_DEFINED && v->types[i] != TOKEN_UNUSED))
      return error_set(error, GALE_E_FORMAT,
                       "%s: the tokenizer has %zu tokens, the embedding %zu rows, and token %zu is an ordinary one",
                       v->source, v->n_tokens, w->n_rows, i);
  bool pieces = v->kind == VOCABULARY_SENTENCEPIECE;
  add_text(w, "tokenizer.ggml.model", pieces ? "llama" : "gpt2");
  add_text(w, "tokenizer.ggml.pre", pieces ? "default" : v->pre);
  add_tokens(w, v);
  pieces ? add_scores(w, v) : add_merges(w, v);
  add_controls(w, v);
  add_prompts(w, v);
  return w->status;
}

gale_status convert_vocabulary(const model_source *source, checkpoint *to, gale_error *error) {
  const checkpoint *from = source->checkpoint;
  writer w = {.to = to, .n_rows = (size_t)source->config->vocab_size, .error = error};
  if (!from->tokenizer_path) {
    add_text(&w, "tokenizer.ggml.model", "no_vocab");
    return w.status;
  }
  return vocabulary_read(from, write_vocabulary, &w, error);
}
