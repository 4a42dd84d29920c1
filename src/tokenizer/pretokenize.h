/* Pre-tokenisers: how text is cut into words before byte-level BPE looks at each word by itself. */
#ifndef TOKENIZER_PRETOKENIZE_H
#define TOKENIZER_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct pretokenizer {
  const char *name;    /* as GGUF files name it in tokenizer.ggml.pre */
  const char *others;  /* other names under which files have the same split, a space in front of and behind each */
  const char *kind;    /* for gale_tokenizer_kind() */
  const char *pattern; /* the Split pattern that stands for it in tokenizer.json; NULL: it has none */
  bool ignore_merges;  /* a word that is a token becomes it, whatever the merges would give */
  bool add_bos;        /* unless the files say otherwise */
  /* End of the word that starts at text[at], at < end; bytes that are not UTF-8 count as symbols. The
   * calls over a whole text take time linear in its length. */
  size_t (*next)(const char *text, size_t at, size_t end);
} pretokenizer;

/* NULL if there is none of that name. */
const pretokenizer *pretokenizer_find(const char *name);
/* The one with exactly this Split pattern, or NULL. */
const pretokenizer *pretokenizer_by_pattern(const char *pattern);
/* First names of all, separated by commas, for messages; at most size bytes with the NUL. */
void pretokenizer_names(char *to, size_t size);

#endif
