/* What the endpoints of OpenAI's and Mistral's clients read alike. */
#include "gale/serve/openai.h"

/* Would change the answer, and is not there. */
static const neutral_field NEUTRAL[] = {
    {"audio", NULL},
    {"modalities", "[\"text\"]"},
    {"web_search_options", NULL},
    {"moderation", NULL},
    {"functions", "[]"},
    {"function_call", "\"none\""},
    {"safe_prompt", "false"},
    {"guardrails", "[]"},
    {"include_stop_str_in_output", "false"},
    {"use_beam_search", "false"},
    {NULL, NULL},
};

static const sampling_defaults DEFAULTS = {.temperature = 1, .top_p = 1, .top_k = 0};

static void read_stream(question *q, place body) {
  q->stream = field_flag(body, "stream", false);
  place o = field_object(body, "stream_options");
  const value *told = field_any(o, "include_usage");
  q->usage_wanted = field_flag(o, "include_usage", false);
  q->usage_refused = told && !q->usage_wanted;
}

void openai_common(question *q, place body, const field_names *names) {
  question_model(q, body);
  fields_neutral(body, NEUTRAL);
  question_sampling(q, body, names, &DEFAULTS);
  int64_t n = field_integer(body, "n", 1, INT64_MAX, 1);
  if (n > q->serving->limits.n)
    field_refuse(body, "n", FAILURE_LIMIT, "at most %d answers are accepted", q->serving->limits.n);
  q->n = body.f->refused ? 1 : (int32_t)n;
  int64_t best = field_integer(body, "best_of", 0, INT64_MAX, n);
  if (best != n && best != 1) field_refuse(body, "best_of", FAILURE_UNSUPPORTED, "not supported; 1 or n is accepted");
  q->cache_salt = field_string(body, "cache_salt");
  read_stream(q, body);
}
