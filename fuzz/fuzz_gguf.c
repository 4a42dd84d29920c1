/* The GGUF reader, on a file in memory: open it, look everything up, read every tensor's ends. */
#include "format/checkpoint.h"
#include "fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  memory_file m;
  checkpoint *c;
  if (!memory_file_open(&m, data, size)) return 0;
  if (checkpoint_open(m.path, &c, NULL) == GALE_OK) {
    fuzz_walk(c);
    checkpoint_close(&c);
  }
  memory_file_close(&m);
  return 0;
}
