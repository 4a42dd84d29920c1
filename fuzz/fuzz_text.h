/* For fuzz targets of the text layer. */
#ifndef FUZZ_TEXT_H
#define FUZZ_TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tokenizer.h"

/* Text to ids and back, at once and as a stream; with exact, the same bytes must come back. */
static inline void fuzz_encode(const gale_tokenizer *t, const char *text, size_t length, bool exact) {
  int32_t *ids;
  size_t n, n_back, n_out;
  char *back;
  if (gale_tokenize(t, text, length, false, &ids, &n, NULL) != GALE_OK) return;
  for (size_t i = 0; i < n; i++)
    if (ids[i] < 0 || ids[i] >= gale_tokenizer_size(t)) abort();
  if (gale_detokenize(t, ids, n, false, &back, &n_back, NULL) == GALE_OK) {
    if (exact && (n_back != length || memcmp(back, text, length) != 0)) abort();
    gale_free(back);
  }
  gale_detokenizer *stream;
  if (gale_detokenizer_open(t, true, &stream, NULL) == GALE_OK) {
    const char *out;
    for (size_t i = 0; i < n; i++)
      if (gale_detokenizer_push(stream, ids[i], &out, &n_out, NULL) != GALE_OK) abort();
    if (gale_detokenizer_finish(stream, &out, &n_out, NULL) != GALE_OK) abort();
    gale_detokenizer_close(&stream);
  }
  gale_free(ids);
}

/* Uses a tokenizer of unknown content. */
static inline void fuzz_use(const gale_tokenizer *t) {
  static const char TEXT[] = "Hello, a b  ab\n123 \xE2\x96\x81\xF0\x9F\x91\x8B\xFF<s></s>[INST] \xC3\xA9";
  fuzz_encode(t, TEXT, sizeof TEXT - 1, false);
  const gale_message message = {.role = "user", .content = TEXT};
  int32_t *ids;
  size_t n;
  gale_chat_options options;
  gale_chat_defaults(&options);
  for (const char *const *name = gale_chat_templates(); *name; name++) {
    options.template_name = *name;
    if (gale_chat_prompt(t, &message, 1, &options, &ids, &n, NULL) == GALE_OK) gale_free(ids);
  }
}

/* GPT-2's printable stand-in for a byte. */
static inline uint32_t fuzz_printable(unsigned byte) {
  uint32_t next = 0x100;
  for (unsigned b = 0;; b++) {
    bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    if (b == byte) return printable ? b : next;
    next += !printable;
  }
}

#endif
