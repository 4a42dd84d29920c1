/* Prompts of texts and ids. */
#include "gale/serve/question.h"

#include <stdlib.h>

enum { MOST_PROMPTS = 128 };

/* How a failure of the library is told. */
failure failure_of(gale_status status) {
  switch (status) {
  case GALE_E_CONTEXT:
    return FAILURE_CONTEXT;
  case GALE_E_UNSUPPORTED:
    return FAILURE_UNSUPPORTED;
  case GALE_E_BUSY:
    return FAILURE_QUEUE;
  case GALE_E_NUMERIC:
    return FAILURE_NUMERIC;
  case GALE_E_MEMORY:
    return FAILURE_MEMORY;
  default:
    return FAILURE_FIELD;
  }
}

void question_prompt(question *q, int32_t *ids, size_t n, place at, const char *key) {
  prompt_ids *more = realloc(q->prompts, (q->n_prompts + 1) * sizeof *more);
  if (more) q->prompts = more;
  if (!more) {
    gale_free(ids);
    fields_memory(&q->fields);
    return;
  }
  q->prompts[q->n_prompts++] = (prompt_ids){ids, n};
  if (n == 0) field_refuse(at, key, FAILURE_FIELD, "a prompt must not be empty");
  if (n >= (size_t)q->serving->context)
    field_refuse(at, key, FAILURE_CONTEXT,
                 "%zu tokens; the context has room for %d, of which at least one is the answer's", n,
                 q->serving->context);
}

static void add_text(question *q, place at, const char *key, slice text) {
  int32_t *ids = NULL;
  size_t n = 0;
  gale_error error = {0};
  const gale_tokenizer *t = q->serving->tokenizer;
  if (text.n == 0) field_refuse(at, key, FAILURE_FIELD, "a prompt must not be empty");
  if (q->fields.refused) return;
  gale_status status = gale_tokenize(t, text.s, text.n, gale_tokenizer_adds_bos(t), &ids, &n, &error);
  if (status)
    field_refuse(at, key, failure_of(status), "%s", error.message);
  else
    question_prompt(q, ids, n, at, key);
}

static void add_ids(question *q, place list) {
  size_t n = 0;
  int32_t *ids = malloc((list.v->count + 1) * sizeof *ids);
  if (!ids) fields_memory(&q->fields);
  for (const value *v = list.v->first; v && ids && !q->fields.refused; v = v->next, n++) {
    int64_t id = -1;
    if (!value_int64(v, &id) || id < 0 || id >= q->serving->info.vocab_size)
      field_refuse(place_item(list, n, v), NULL, FAILURE_FIELD, "an id from 0 to %d is accepted",
                   q->serving->info.vocab_size - 1);
    ids[n] = (int32_t)id;
  }
  if (q->fields.refused)
    gale_free(ids);
  else
    question_prompt(q, ids, n, list, NULL);
}

static void add_any(question *q, place at) {
  if (value_is(at.v, VALUE_STRING))
    add_text(q, at, NULL, at.v->text);
  else if (value_is(at.v, VALUE_ARRAY) && at.v->count > 0 && value_is_number(at.v->first))
    add_ids(q, at);
  else
    field_refuse(at, NULL, FAILURE_FIELD, "a string or a list of ids is accepted, and not an empty one");
}

void question_prompts(question *q, place at, const char *key) {
  const value *v = field_any(at, key);
  place here = {at.f, v, key};
  if (!v) {
    field_refuse(at, key, FAILURE_FIELD, "a string, or a list of strings, of ids, or of lists of ids, is needed");
    return;
  }
  bool many = v->kind == VALUE_ARRAY && v->count > 0 && !value_is_number(v->first);
  if (!many) {
    add_any(q, here);
    return;
  }
  size_t index = 0;
  if (v->count > MOST_PROMPTS)
    field_refuse(at, key, FAILURE_LIMIT, "there are %u; at most %d are accepted", v->count, MOST_PROMPTS);
  for (const value *item = v->first; item && !q->fields.refused; item = item->next, index++)
    add_any(q, place_item(here, index, item));
}

void question_fim(question *q, slice prefix, slice suffix, place at, const char *key) {
  int32_t *ids = NULL;
  size_t n = 0;
  gale_error error = {0};
  if (q->fields.refused) return;
  gale_status status =
      gale_fim_prompt(q->serving->tokenizer, prefix.s, prefix.n, suffix.s ? suffix.s : "", suffix.n, &ids, &n, &error);
  if (status)
    field_refuse(at, key, status == GALE_E_MEMORY ? FAILURE_MEMORY : FAILURE_UNSUPPORTED, "%s", error.message);
  else
    question_prompt(q, ids, n, at, NULL);
}
