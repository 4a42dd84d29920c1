/* The reader of one safetensors file, in memory, with the 8-bit floats that get their scales. */
#include "format/fp8.h"
#include "format/reader.h"
#include "format/safetensors.h"
#include "fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  memory_file m;
  checkpoint *c = calloc(1, sizeof *c);
  if (!c || !memory_file_open(&m, data, size)) {
    free(c);
    return 0;
  }
  c->path = c->config_path = m.path;
  c->read = fp8_read;
  if (safetensors_read_file(c, m.path, NULL) == GALE_OK && checkpoint_index(c, NULL) == GALE_OK &&
      fp8_resolve(c, NULL) == GALE_OK)
    fuzz_walk(c);
  checkpoint_close(&c);
  memory_file_close(&m);
  return 0;
}
