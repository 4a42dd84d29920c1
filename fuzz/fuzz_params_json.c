/* A params.json of Mistral's own, up to the model's configuration. */
#include "fuzz_configure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_configure_json(CHECKPOINT_MISTRAL, data, size);
}
