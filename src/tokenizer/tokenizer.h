/* Tokenizers inside the library. gale_tokenizer's public functions are declared in gale.h. */
#ifndef TOKENIZER_TOKENIZER_H
#define TOKENIZER_TOKENIZER_H

#include "base/arena.h"
#include "base/error.h"

typedef enum token_type { /* numbered as GGUF and SentencePiece number them */
                          TOKEN_NORMAL = 1,
                          TOKEN_UNKNOWN = 2,
                          TOKEN_CONTROL = 3,
                          TOKEN_USER_DEFINED = 4, /* stands for its text wherever that appears, and never merges */
                          TOKEN_UNUSED = 5,
                          TOKEN_BYTE = 6, /* spelled <0x00> to <0xFF> */
} token_type;

typedef enum vocabulary_kind {
  VOCABULARY_SENTENCEPIECE, /* pieces with scores; U+2581 for a space; <0xXX> for bytes */
  VOCABULARY_BPE,           /* byte-level BPE: tokens and merges written in GPT-2's printable alphabet */
} vocabulary_kind;

/* What a model can be told of how to answer, in [MODEL_SETTINGS]. */
typedef struct model_settings {
  const char *const *efforts; /* n_efforts: what reasoning_effort may be */
  size_t n_efforts;
  const char *default_effort; /* where none is asked for; NULL: the model knows no effort */
  bool schema;                /* the schema of the answer is told */
} model_settings;

/* A vocabulary as a file states it; everything is borrowed for the duration of tokenizer_create(). Where
 * two tokens have the same text, the one with the lower id is what that text becomes. */
typedef struct vocabulary {
  vocabulary_kind kind;
  const char *source; /* file, for messages */
  size_t n_tokens;
  const char *const *tokens; /* bytes of each, lengths[i] of them */
  const uint32_t *lengths;
  const float *scores;  /* SentencePiece without merges: the higher merges first */
  const uint8_t *types; /* token_type of each; NULL: all normal */
  size_t n_merges;      /* "left right", best first; BPE, or SentencePiece whose file lists them */
  const char *const *merges;
  const uint32_t *merge_lengths;
  bool merge_by_id;   /* BPE without merges: two tokens merge where their texts together are a third; the third of the
                         lowest id first */
  const char *pre;    /* BPE: name of the pre-tokeniser ("smollm", ...) */
  bool ignore_merges; /* BPE: a word that is a token becomes it; also on where pre's row says so */
  int32_t bos, eos, unk; /* -1: none; bos and eos count as control tokens */
  const int32_t *ends;   /* n_ends further tokens that end an answer; they count as control tokens */
  size_t n_ends;
  bool add_bos;
  bool add_space_prefix;     /* SentencePiece */
  const char *chat_template; /* Jinja text by which the template is recognised; NULL: none */
  bool template_by_controls; /* where there is none, control tokens alone show it */
  size_t n_rows;             /* of the embedding; 0: not known. Tokens without a row must be such as no text becomes */
  int version;               /* of Mistral's prompts, as the tokenizer's file states it; 0: not said */
  const model_settings *settings; /* NULL: none */
} vocabulary;

/* Checks everything (ids in range, merges of known tokens, finite scores) and builds the tokenizer. */
gale_status tokenizer_create(const vocabulary *v, gale_tokenizer **tokenizer, gale_error *error);

/* Makes *to a copy of v, which must merge by id, that lists the same merges instead. It borrows what v borrows; the
 * merges are in `memory`. */
gale_status vocabulary_list_merges(const vocabulary *v, arena *memory, vocabulary *to, gale_error *error);

/* A token that is no piece of a SentencePiece model, or takes the place of one. */
typedef struct added_token {
  const char *text;
  size_t length;
  int64_t id;
  bool control; /* else text becomes it */
} added_token;

/* What a model's other files say of its tokenizer; it overrules the tokenizer's own file. */
typedef struct tokenizer_hints {
  const char *chat_template; /* Jinja text; NULL: not said, as below */
  const char *bos, *eos;     /* texts of tokens */
  const bool *add_bos;
  const int32_t *ends; /* n_ends ids that end an answer */
  size_t n_ends;
  size_t n_rows; /* of the embedding; 0: not known */
  /* Tokens that a file beside a SentencePiece model adds to it, in any order; other kinds of tokenizers list theirs
   * themselves. */
  const added_token *added;
  size_t n_added;
} tokenizer_hints;

/* What is done with a vocabulary that a file states; all of it is borrowed for the duration of the call. */
typedef gale_status (*vocabulary_fn)(const vocabulary *v, void *user, gale_error *error);

/* Reads the bytes of a SentencePiece model file (BPE type), of a Hugging Face tokenizer.json with a BPE model, or of a
 * tekken.json, and calls `use` with the vocabulary, into which hints (NULL: none) have been written. */
gale_status vocabulary_from_sentencepiece(const char *source, const void *data, size_t n, const tokenizer_hints *hints,
                                          vocabulary_fn use, void *user, gale_error *error);
gale_status vocabulary_from_json(const char *source, const void *data, size_t n, const tokenizer_hints *hints,
                                 vocabulary_fn use, void *user, gale_error *error);

/* Tokenizers from the same. */
gale_status tokenizer_from_sentencepiece(const char *source, const void *data, size_t n, const tokenizer_hints *hints,
                                         gale_tokenizer **tokenizer, gale_error *error);
gale_status tokenizer_from_json(const char *source, const void *data, size_t n, const tokenizer_hints *hints,
                                gale_tokenizer **tokenizer, gale_error *error);

/* The ids that have a row in the embedding, as far as the tokenizer was told: all below this. */
int32_t tokenizer_rows(const gale_tokenizer *t);

/* A vocabulary_fn whose user is a gale_tokenizer **. */
gale_status vocabulary_create(const vocabulary *v, void *tokenizer, gale_error *error);

#endif
