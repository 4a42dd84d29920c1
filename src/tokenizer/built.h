/* What the files of this folder share of a built tokenizer. */
#ifndef TOKENIZER_BUILT_H
#define TOKENIZER_BUILT_H

#include "tokenizer/lookup.h"
#include "tokenizer/merges.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/templates.h"
#include "tokenizer/tokenizer.h"

/* Bytes of a SentencePiece piece at most, and so the symbols that it can be cut into. */
enum { LONGEST_PIECE = 1024 };

/* Which two characters may ever stand side by side within a piece. Where they may not, no merge crosses,
 * and SentencePiece text can be cut there into words that are encoded one by one. */
typedef struct char_pairs {
  uint8_t ascii[128][16]; /* bit right & 7 of byte [left][right >> 3]: exact */
  uint64_t *bits;         /* the others: a hashed set that may say yes too often */
  text_key key;
  uint32_t mask;
} char_pairs;

struct gale_tokenizer {
  arena memory;
  text_key key;
  vocabulary_kind kind;
  const char *kind_name;
  const pretokenizer *pre; /* BPE */

  /* A symbol is a token, or (from n_tokens on) a character that only occurs inside pieces. */
  uint32_t n_tokens, n_symbols;
  texts stored;   /* tokens as the file writes them */
  texts plain;    /* symbols as the bytes they stand for; in SentencePiece a space is 0x20 here */
  uint8_t *types; /* token_type */
  uint8_t *alone; /* 1: a word of exactly these bytes becomes this token */
  lookup words;   /* plain text of what merges can make: normal and unused tokens, single characters */
  merge_table merges;
  uint32_t ascii[128];   /* symbol of each ASCII character in SentencePiece */
  uint32_t bytes[256];   /* token of each byte, or SYMBOL_NONE */
  uint32_t (*halves)[2]; /* for each unused token, what it is merged from (or SYMBOL_NONE); NULL: none is unused */
  char_pairs pairs;      /* SentencePiece */
  uint32_t *control;     /* control tokens sorted by their stored text, then id */
  uint32_t n_control;
  uint32_t *user; /* user-defined tokens sorted by their plain text, then id */
  uint32_t n_user;
  bool user_first[256]; /* a user-defined token begins with this byte */
  size_t longest;       /* bytes of the longest plain or stored text */

  uint32_t n_rows; /* ids from here on have no row in the embedding; n_tokens where that is not known */
  int32_t bos, eos, unk;
  int32_t *ends; /* ids that end an answer */
  size_t n_ends;
  bool add_bos, add_space_prefix;
  int version;                    /* of Mistral's prompts; 0: not said */
  const model_settings *settings; /* NULL: none */
  const char *note;               /* for gale_tokenizer_note() */
  const chat_template *chat;      /* NULL: none that is known */
  bool chat_by_controls;          /* the files state none: control tokens alone show it */
  const char *unknown_template;   /* how the model's own template begins, where it is not known; else NULL */
  bool chat_bos;                  /* the model's own template puts BOS in front */
  const char *default_system;     /* the system prompt that the model's own template puts in; NULL: none */
};

/* The control token with this stored text, or -1. */
int32_t tokenizer_control(const gale_tokenizer *t, const char *text);

/* Ids of all tokens of a type, sorted by their text, which is then searched; false when out of memory. */
bool sorted_tokens(gale_tokenizer *t, token_type type, texts *text, uint32_t **list, uint32_t *n);

/* The first of a sorted list of tokens whose text is s, or SYMBOL_NONE. */
uint32_t find_sorted(const uint32_t *list, uint32_t n, const texts *text, const char *s, size_t length);

/* A growing array of ids. */
typedef struct id_list {
  int32_t *ids;
  size_t n, capacity;
} id_list;

/* Room for `more` ids behind the present ones; false when out of memory. */
bool id_list_reserve(id_list *list, size_t more);

/* Appends what a text becomes; on failure list is as it was, but for its capacity. */
gale_status encode_append(const gale_tokenizer *t, const char *text, size_t length, id_list *list, gale_error *error);

/* Splits plain text into its first symbols and merges them until `least` are left or no pair is. False
 * when out of memory. */
bool encode_word_symbols(const gale_tokenizer *t, const char *text, size_t length, size_t least, word *w);

/* Writes hints (which may be NULL) into v; v keeps borrowing them. */
gale_status vocabulary_apply(vocabulary *v, const tokenizer_hints *hints, gale_error *error);

/* The text goes on behind another: no space in front is dropped. */
void detokenizer_continue(gale_detokenizer *stream);

/* The byte that "<0xXX>" spells, or -1. */
int spelled_byte(const char *s, size_t n);

static inline token_type vocabulary_type(const vocabulary *v, size_t i) {
  return v->types ? (token_type)v->types[i] : TOKEN_NORMAL;
}

/* The steps of tokenizer_create(), in the order of their calls; texts are copied between the first two. False when out
 * of memory. */
gale_status build_types(gale_tokenizer *t, const vocabulary *v, gale_error *error);
gale_status build_chat(gale_tokenizer *t, const vocabulary *v, gale_error *error);
gale_status build_merges(gale_tokenizer *t, const vocabulary *v, gale_error *error);
bool build_pairs(gale_tokenizer *t);
bool build_alone(gale_tokenizer *t, bool ignore_merges);

/* True if text can become this token by merging. */
bool mergeable(const gale_tokenizer *t, uint32_t id);

/* GPT-2's printable alphabet: the byte that a character stands for, or -1. */
int alphabet_byte(uint32_t c);
/* The character that stands for a byte. */
uint32_t alphabet_character(unsigned char byte);

/* Writes the text of a normal token or of one side of a merge as the bytes it stands for; returns how many, at most
 * length. */
size_t plain_text(vocabulary_kind kind, const char *text, size_t length, char *to);

/* May answer true for a pair that was never added, and never false for one that was. */
static inline bool char_pairs_has(const char_pairs *p, uint32_t left, uint32_t right) {
  if ((left | right) < 128) return p->ascii[left][right >> 3] >> (right & 7) & 1;
  uint32_t bit = (uint32_t)(hash_mix(&p->key, (uint64_t)left << 32 | right) >> 40) & p->mask;
  return p->bits[bit >> 6] >> (bit & 63) & 1;
}

#endif
