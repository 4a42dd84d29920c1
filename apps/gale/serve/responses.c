/* POST /v1/responses: what it reads. */
#include "gale/serve/responses.h"

#include "gale/serve/openai.h"

static const field_names NAMES = {
    .max_tokens = {"max_output_tokens"}, .max_least = 1, .stop = "stop", .seed = {"seed"}};

/* Would change the answer, and is not there. */
static const neutral_field NEUTRAL[] = {
    {"previous_response_id", NULL}, {"conversation", NULL},         {"prompt", NULL},
    {"background", "false"},        {"truncation", "\"disabled\""}, {NULL, NULL},
};

static void read_include(question *q, place body) {
  static const char *const WORDS[] = {"message.output_text.logprobs", "reasoning.encrypted_content"};
  place list = field_list(body, "include");
  size_t index = 0;
  for (const value *v = list.v ? list.v->first : NULL; v && !body.f->refused; v = v->next, index++) {
    if (value_says(v, WORDS[0]))
      q->logprobs = true;
    else if (!value_says(v, WORDS[1])) /* there is none, as nothing is kept */
      field_refuse(place_item(list, index, v), NULL, value_is(v, VALUE_STRING) ? FAILURE_UNSUPPORTED : FAILURE_FIELD,
                   "\"%s\" is accepted", WORDS[0]);
  }
  int64_t top = field_integer(body, "top_logprobs", 0, 20, 0);
  q->top_logprobs = q->logprobs ? (int32_t)top : 0;
}

static void read_format(question *q, place body, conversation *c) {
  static const char *const TYPES[] = {"text", "json_object", "json_schema", NULL};
  place format = field_object(field_object(body, "text"), "format");
  if (!format.v) return;
  c->content_at = format;
  c->content_key = "schema";
  switch (field_choice(format, "type", TYPES)) {
  case 0:
    break;
  case 1:
    c->content = format_object(q);
    break;
  case 2:
    c->content = format_schema(q, format, "schema", !field_flag(format, "strict", true));
    break;
  default:
    field_refuse(format, "type", FAILURE_FIELD, "\"text\", \"json_object\" or \"json_schema\" is needed");
  }
}

void responses_run(serving *s, http_exchange *x) {
  question *q = question_open(s, x, API_OPENAI);
  if (!q) return;
  place body = question_body(q);
  conversation c = {0};
  openai_common(q, body, &NAMES);
  fields_neutral(body, NEUTRAL);
  if (q->n > 1) field_refuse(body, "n", FAILURE_UNSUPPORTED, "a response is one answer");
  read_include(q, body);
  responses_conversation(q, body, &c);
  c.effort = field_text(field_object(body, "reasoning"), "effort");
  read_format(q, body, &c);
  question_chat(q, &c);
  fields_rename(&q->fields, "].function.", "].");
  answer_start(q, &RESPONSES_VIEW);
}
