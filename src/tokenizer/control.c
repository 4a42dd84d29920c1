/* Which tokens steer the model: control tokens, ends of answers, and the chat template that they and the files show. */
#include <stdlib.h>

#include "tokenizer/built.h"

/* Tokens that steer the model are control tokens whatever type the file gives them, so that no text can
 * become one. */
static void set_control(gale_tokenizer *t, int32_t id) {
  if (id < 0) return;
  t->types[id] = TOKEN_CONTROL;
  if (id == t->unk) t->unk = -1;
}

/* Texts of control tokens that end an answer, whatever the files name as EOS: a model that was trained from another may
 * go on to end answers as that one did. */
static const char *const END_TEXTS[] = {"</s>",          "<eos>",      "<|eos|>",         "<|endoftext|>",
                                        "<|eot_id|>",    "<|eom_id|>", "<|im_end|>",      "<|end_of_text|>",
                                        "<end_of_turn>", "<|end|>",    "<|end_of_turn|>", "<EOT>"};
enum { N_END_TEXTS = sizeof END_TEXTS / sizeof *END_TEXTS };

static void add_end(gale_tokenizer *t, int32_t id) {
  if (id >= 0 && !gale_tokenizer_is_end(t, id)) t->ends[t->n_ends++] = id;
}

/* No text may become a token that has no row in the embedding. */
static gale_status check_rows(gale_tokenizer *t, const vocabulary *v, gale_error *error) {
  t->n_rows = v->n_rows && v->n_rows < v->n_tokens ? (uint32_t)v->n_rows : (uint32_t)v->n_tokens;
  for (size_t i = t->n_rows; i < v->n_tokens; i++) {
    if (t->types[i] == TOKEN_USER_DEFINED) set_control(t, (int32_t)i);
    if (t->types[i] == TOKEN_CONTROL || t->types[i] == TOKEN_UNUSED) continue;
    return error_set(
        error, GALE_E_FORMAT,
        "%s: the tokenizer has %zu tokens, the embedding %zu rows, and token %zu, \"%.*s\", is none of those "
        "that may lack one: control tokens, added tokens and unused ones",
        v->source, v->n_tokens, v->n_rows, i, (int)(v->lengths[i] < 64 ? v->lengths[i] : 64), v->tokens[i]);
  }
  return GALE_OK;
}

gale_status build_types(gale_tokenizer *t, const vocabulary *v, gale_error *error) {
  t->ends = arena_array(&t->memory, v->n_ends + 3 + N_END_TEXTS, sizeof *t->ends);
  if (!t->ends) return error_memory(error, v->n_ends * sizeof *t->ends);
  for (size_t i = 0; i < v->n_tokens; i++) t->types[i] = (uint8_t)vocabulary_type(v, i);
  t->bos = v->bos;
  t->eos = v->eos;
  t->unk = v->unk;
  for (size_t i = 0; i < v->n_tokens && t->unk < 0; i++)
    if (t->types[i] == TOKEN_UNKNOWN) t->unk = (int32_t)i;
  if (t->unk >= 0 && t->types[t->unk] == TOKEN_CONTROL) t->unk = -1;
  t->add_bos = v->add_bos && v->bos >= 0;
  t->add_space_prefix = v->kind == VOCABULARY_SENTENCEPIECE && v->add_space_prefix;
  add_end(t, v->eos);
  for (size_t i = 0; i < v->n_ends; i++) add_end(t, v->ends[i]);
  for (size_t i = 0; i < t->n_ends; i++) set_control(t, t->ends[i]);
  set_control(t, v->bos);
  return check_rows(t, v, error);
}

/* The first characters of a text, at most 60 bytes, with spaces for line breaks. */
static const char *beginning(arena *memory, const char *text) {
  enum { SHOWN = 60 };
  size_t n = strlen(text);
  if (n > SHOWN)
    for (n = SHOWN; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80;) n--;
  char *copy = arena_string(memory, text, n);
  for (size_t i = 0; copy && i < n; i++)
    if ((unsigned char)copy[i] < ' ') copy[i] = ' ';
  return copy;
}

/* Recognises the chat template among all special tokens; those that it consists of are control tokens from then on. */
gale_status build_chat(gale_tokenizer *t, const vocabulary *v, gale_error *error) {
  for (uint32_t i = 0; i < t->n_tokens; i++)
    if (t->types[i] == TOKEN_USER_DEFINED && template_has_control(v->tokens[i], v->lengths[i]))
      t->types[i] = TOKEN_CONTROL;
  if (!sorted_tokens(t, TOKEN_CONTROL, &t->stored, &t->control, &t->n_control)) return error_memory(error, t->n_tokens);
  t->version = v->version;
  t->chat = template_recognise(t, v->chat_template, v->template_by_controls);
  t->chat_bos = t->bos >= 0 && v->chat_template && strstr(v->chat_template, "bos_token");
  t->chat_by_controls = t->chat && !v->chat_template && !v->version;
  if (!t->chat && v->chat_template) {
    t->unknown_template = beginning(&t->memory, v->chat_template);
    if (!t->unknown_template) return error_memory(error, 1);
  }
  for (int i = 0; t->chat && i < 2 && t->chat->ends[i]; i++) add_end(t, tokenizer_control(t, t->chat->ends[i]));
  for (int i = 0; i < N_END_TEXTS; i++) add_end(t, tokenizer_control(t, END_TEXTS[i]));
  size_t at, length;
  if (t->chat && v->chat_template && template_default_system(v->chat_template, &at, &length)) {
    t->default_system = arena_string(&t->memory, v->chat_template + at, length);
    if (!t->default_system) return error_memory(error, length);
  }
  return GALE_OK;
}
