/* The GGUF reader, on a file in memory: open it, look everything up, read every tensor's ends, and go on to the
 * model's configuration and vocabulary, which must encode and decode. */
#include "fuzz_configure.h"
#include "fuzz_text.h"
#include "load/vocabulary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  memory_file m;
  checkpoint *c;
  gale_tokenizer *tokenizer = NULL;
  if (!memory_file_open(&m, data, size)) return 0;
  if (checkpoint_open(m.path, &c, NULL) == GALE_OK) {
    fuzz_walk(c);
    fuzz_configure(c);
    if (vocabulary_load(c, &tokenizer, NULL) == GALE_OK && tokenizer) fuzz_use(tokenizer);
    gale_tokenizer_close(&tokenizer);
    checkpoint_close(&c);
  }
  memory_file_close(&m);
  return 0;
}
