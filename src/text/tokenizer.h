/* Tokenizers inside the library. gale_tokenizer's public functions are declared in gale.h. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include "base/error.h"

typedef enum token_type { /* numbered as GGUF and SentencePiece number them */
  TOKEN_NORMAL = 1,
  TOKEN_UNKNOWN = 2,
  TOKEN_CONTROL = 3,
  TOKEN_USER_DEFINED = 4,
  TOKEN_UNUSED = 5,
  TOKEN_BYTE = 6,
} token_type;

typedef enum vocabulary_kind {
  VOCABULARY_SENTENCEPIECE, /* pieces with scores; U+2581 for a space; <0xXX> for bytes */
  VOCABULARY_BPE,           /* byte-level BPE: tokens and merges written in GPT-2's printable alphabet */
} vocabulary_kind;

/* A vocabulary as a file states it; everything is borrowed for the duration of tokenizer_create(). */
typedef struct vocabulary {
  vocabulary_kind kind;
  const char *source; /* file, for messages */
  size_t n_tokens;
  const char *const *tokens; /* bytes of each, lengths[i] of them */
  const uint32_t *lengths;
  const float *scores;  /* SentencePiece; NULL for BPE */
  const uint8_t *types; /* token_type of each; NULL: all normal */
  size_t n_merges;      /* BPE: "left right", best first */
  const char *const *merges;
  const uint32_t *merge_lengths;
  const char *pre;              /* BPE: name of the pre-tokeniser ("smollm", ...); NULL: unknown */
  int32_t bos, eos, unk;        /* -1: none */
  int32_t end_of_turn;          /* a further token that ends an answer; -1: none */
  bool add_bos, add_eos;
  bool add_space_prefix;        /* SentencePiece */
  const char *chat_template;    /* Jinja text by which the template is recognised; NULL: none */
} vocabulary;

/* Checks everything (ids in range, merges of known tokens, finite scores) and builds the tokenizer. */
gale_status tokenizer_create(const vocabulary *v, gale_tokenizer **tokenizer, gale_error *error);

/* From the bytes of a SentencePiece model file (BPE type), or of a Hugging Face tokenizer.json with a
 * BPE model. chat_template may be NULL. */
gale_status tokenizer_from_sentencepiece(const char *source, const void *data, size_t n, const char *chat_template,
                                         gale_tokenizer **tokenizer, gale_error *error);
gale_status tokenizer_from_json(const char *source, const void *data, size_t n, const char *chat_template,
                                gale_tokenizer **tokenizer, gale_error *error);

#endif
