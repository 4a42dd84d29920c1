/* POST /v1/fim/completions: what belongs between two texts. */
#include "gale/serve/openai.h"

void fim_run(serving *s, http_exchange *x) {
  static const field_names NAMES = {
      .max_tokens = {"max_tokens", NULL}, .max_least = 1, .stop = "stop", .seed = {"random_seed", "seed"}};
  question *q = question_open(s, x, API_MISTRAL);
  if (!q) return;
  place body = question_body(q);
  openai_common(q, body, &NAMES);
  slice prompt = field_text(body, "prompt"), suffix = field_text(body, "suffix");
  if (!prompt.s) field_refuse(body, "prompt", FAILURE_FIELD, "a string is needed");
  q->continued = true;
  question_fim(q, prompt, suffix, body, NULL);
  answer_start(q, &CHAT_VIEW);
}
