/* Requests of any content in every template: they are refused, or become ids of the vocabulary. */
#include "fuzz_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const gale_tokenizer *t = fuzz_bytes();
  for (const char *const *name = gale_chat_templates(); *name; name++) {
    int32_t *ids;
    size_t n;
    gale_error error = {0};
    gale_status status = gale_chat_request(t, *name, (const char *)data, size, &ids, &n, &error);
    if (status && !*error.message) abort();
    if (status) continue;
    for (size_t i = 0; i < n; i++)
      if (ids[i] < 0 || ids[i] >= gale_tokenizer_size(t)) abort();
    gale_free(ids);
  }
  return 0;
}
