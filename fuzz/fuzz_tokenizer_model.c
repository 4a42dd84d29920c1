/* The SentencePiece reader; what it accepts must encode and decode. */
#include "fuzz_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gale_tokenizer *t = NULL;
  if (tokenizer_from_sentencepiece("fuzz.model", data, size, NULL, &t, NULL) == GALE_OK) fuzz_use(t);
  gale_tokenizer_close(&t);
  return 0;
}
