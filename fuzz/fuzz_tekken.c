/* A tekken.json that begins with the words of the 256 bytes and goes on with the input: further words, and settings.
 * What is accepted must encode and decode. */
#include "fuzz_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  enum { ENTRY = 64 };
  char *text = malloc(16 + 256 * ENTRY + size);
  if (!text) return 0;
  size_t n = (size_t)sprintf(text, "{\"vocab\":[");
  for (unsigned b = 0; b < 256; b++)
    n += (size_t)sprintf(text + n, "%s{\"rank\":%u,\"token_bytes\":\"%c%c==\"}", b ? "," : "", b, DIGITS[b >> 2],
                         DIGITS[(b & 3) << 4]);
  memcpy(text + n, data, size);
  n += size;
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  if (tokenizer_from_json("tekken.json", text, n, NULL, &t, &error) == GALE_OK) {
    fuzz_use(t);
  } else if (!*error.message) {
    abort();
  }
  gale_tokenizer_close(&t);
  free(text);
  return 0;
}
