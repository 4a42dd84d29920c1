/* A tokenizer of single bytes for fuzz targets. */
#ifndef FUZZ_BYTES_H
#define FUZZ_BYTES_H

#include "fuzz_text.h"

static const char *const FUZZ_CONTROL_NAMES[] = {"<s>",
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
                                                 "[/MODEL_SETTINGS]",
                                                 "<|start_header_id|>",
                                                 "<|end_header_id|>",
                                                 "<|eot_id|>",
                                                 "<|python_tag|>",
                                                 "<|im_start|>",
                                                 "<|im_end|>",
                                                 "<start_of_turn>",
                                                 "<end_of_turn>"};
enum { FUZZ_CONTROL = sizeof FUZZ_CONTROL_NAMES / sizeof *FUZZ_CONTROL_NAMES };

/* Single bytes, behind the control tokens of the templates; made once for all inputs. */
static inline const gale_tokenizer *fuzz_bytes(void) {
  static gale_tokenizer *t;
  if (t) return t;
  enum { N_CONTROL = FUZZ_CONTROL, N = N_CONTROL + 256 };
  static char bytes[256][8];
  const char *tokens[N];
  uint32_t lengths[N];
  uint8_t types[N];
  float scores[N] = {0};
  for (int i = 0; i < N; i++) {
    if (i >= N_CONTROL) snprintf(bytes[i - N_CONTROL], sizeof bytes[0], "<0x%02X>", (unsigned)(i - N_CONTROL));
    tokens[i] = i < N_CONTROL ? FUZZ_CONTROL_NAMES[i] : bytes[i - N_CONTROL];
    lengths[i] = (uint32_t)strlen(tokens[i]);
    types[i] = i < N_CONTROL ? TOKEN_CONTROL : TOKEN_BYTE;
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
  if (tokenizer_create(&v, &t, NULL)) abort();
  return t;
}

#endif
