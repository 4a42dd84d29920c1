/* Requests of any content in every template: they are refused, or become ids of the vocabulary. */
#include "fuzz_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Single characters and the control tokens of Mistral's templates. */
static gale_tokenizer *open_small(void) {
  static const char *const MARKS[] = {"<s>",
                                      "</s>",
                                      "[INST]",
                                      "[/INST]",
                                      "[AVAILABLE_TOOLS]",
                                      "[/AVAILABLE_TOOLS]",
                                      "[TOOL_CALLS]",
                                      "[TOOL_RESULTS]",
                                      "[CALL_ID]",
                                      "[/TOOL_RESULTS]",
                                      "[ARGS]",
                                      "[TOOL_CONTENT]",
                                      "[THINK]",
                                      "[/THINK]",
                                      "[SYSTEM_PROMPT]",
                                      "[/SYSTEM_PROMPT]",
                                      "[MODEL_SETTINGS]",
                                      "[/MODEL_SETTINGS]"};
  enum { N_MARKS = sizeof MARKS / sizeof *MARKS, N = N_MARKS + 256 };
  static char bytes[256][8];
  const char *tokens[N];
  uint32_t lengths[N];
  uint8_t types[N];
  float scores[N] = {0};
  for (int i = 0; i < N; i++) {
    if (i >= N_MARKS) snprintf(bytes[i - N_MARKS], sizeof bytes[0], "<0x%02X>", (unsigned)(i - N_MARKS));
    tokens[i] = i < N_MARKS ? MARKS[i] : bytes[i - N_MARKS];
    lengths[i] = (uint32_t)strlen(tokens[i]);
    types[i] = i < N_MARKS ? TOKEN_CONTROL : TOKEN_BYTE;
  }
  vocabulary v = {.source = "bytes",
                  .n_tokens = N,
                  .tokens = tokens,
                  .lengths = lengths,
                  .types = types,
                  .scores = scores,
                  .bos = 0,
                  .eos = 1,
                  .unk = -1};
  gale_tokenizer *t = NULL;
  if (tokenizer_create(&v, &t, NULL)) abort();
  return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gale_tokenizer *t = open_small();
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
  gale_tokenizer_close(&t);
  return 0;
}
