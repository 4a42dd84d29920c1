#include "gale/eval/samples.h"

#include "json/value_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(byte_list *to, const char *text) {
  bytes_add(to, slice_of(text));
}
static void add_key(byte_list *to, const char *key) {
  add(to, ", \"");
  add(to, key);
  add(to, "\": ");
}

void add_number(byte_list *to, double x) {
  char text[REAL_BYTES];
  if (isfinite(x))
    bytes_add(to, (slice){text, write_real(x, text)});
  else
    add(to, "null");
}

void add_integer(byte_list *to, int64_t n) {
  char text[24];
  snprintf(text, sizeof text, "%lld", (long long)n);
  add(to, text);
}

static void add_texts(byte_list *to, const slice *texts, int32_t n) {
  add(to, "[");
  for (int32_t i = 0; i < n; i++) {
    if (i) add(to, ", ");
    bytes_add_string(to, texts[i]);
  }
  add(to, "]");
}

/* ---- Lines ---- */

void samples_settings(byte_list *to, const eval_settings *s) {
  add(to, "{\"bos\": ");
  add(to, !s->known ? "null" : s->bos ? "true" : "false");
  add_key(to, "context");
  if (s->known)
    add_integer(to, s->context);
  else
    add(to, "null");
  add_key(to, "kv");
  bytes_add_string(to, slice_of(s->kv));
  add_key(to, "window");
  if (s->known)
    add_integer(to, s->window);
  else
    add(to, "null");
  add_key(to, "seed");
  char seed[24];
  snprintf(seed, sizeof seed, "%llu", (unsigned long long)s->seed);
  add(to, seed);
  add(to, "}");
}

void samples_model(byte_list *to, const eval_model *m) {
  add(to, "{\"name\": ");
  bytes_add_string(to, slice_of(m->name));
  add_key(to, "types");
  bytes_add_string(to, slice_of(m->types));
  add_key(to, "n_parameters");
  add_integer(to, m->n_parameters);
  add(to, "}");
}

static void add_task(byte_list *to, const eval_task *t) {
  add(to, "{\"task\": ");
  bytes_add_string(to, slice_of(t->data.task->name));
  add_key(to, "protocol");
  bytes_add_string(to, slice_of(protocol_of(t)));
  add_key(to, "shots");
  add_integer(to, t->data.shots);
  add_key(to, "repeats");
  add_integer(to, t->repeats);
  if (t->data.task->tokens) {
    add_key(to, "max_tokens");
    add_integer(to, t->tokens);
  }
  if (t->repeats > 1) {
    add_key(to, "temp");
    add_number(to, t->temp);
    add_key(to, "top_p");
    add_number(to, t->top_p);
  }
  add(to, "}");
}

void samples_header(byte_list *to, const eval_model *m, const eval_settings *s, const eval_task *tasks, size_t n) {
  add(to, "{\"format\": \"gale-eval-samples\", \"version\": 1");
  if (m && m->name) {
    add_key(to, "model");
    samples_model(to, m);
  }
  add_key(to, "settings");
  samples_settings(to, s);
  add_key(to, "tasks");
  add(to, "[");
  for (size_t i = 0; i < n; i++) {
    if (i) add(to, ", ");
    add_task(to, &tasks[i]);
  }
  add(to, "]}");
}

static void add_contexts(byte_list *to, const eval_task *t, int32_t index, int32_t shots) {
  const eval_item *item = &t->data.items.items[index];
  add_key(to, item->n_texts > 1 ? "contexts" : "context");
  if (item->n_texts > 1) add(to, "[");
  for (int32_t i = 0; i < item->n_texts; i++) {
    byte_list context = {0};
    data_context(&t->data, index, i, shots, &context);
    if (i) add(to, ", ");
    bytes_add_string(to, (slice){context.bytes ? context.bytes : "", context.n});
    to->failed |= context.failed;
    free(context.bytes);
  }
  if (item->n_texts > 1) add(to, "]");
}

static void add_continuations(byte_list *to, const eval_task *t, const eval_item *item) {
  add_key(to, "continuations");
  for (int32_t i = 0; i < item->n_choices; i++) {
    byte_list text = {0};
    data_continuation(&t->data, item, i, &text);
    add(to, i ? ", " : "[");
    bytes_add_string(to, (slice){text.bytes ? text.bytes : "", text.n});
    to->failed |= text.failed;
    free(text.bytes);
  }
  add(to, "]");
}

void samples_item(byte_list *to, const eval_task *t, int32_t index, int32_t shots) {
  const eval_item *item = &t->data.items.items[index];
  const task *kind = t->data.task;
  add(to, "{\"task\": ");
  bytes_add_string(to, slice_of(kind->name));
  add_key(to, "index");
  add_integer(to, item->index);
  add_key(to, "id");
  bytes_add(to, item->id.s ? item->id : SLICE("null"));
  if (item->subject.s) {
    add_key(to, "subject");
    bytes_add_string(to, item->subject);
  }
  add_contexts(to, t, index, shots);
  if (item->n_choices) add_continuations(to, t, item);
  if (item->labels) {
    add_key(to, "labels");
    for (int32_t i = 0; i < item->n_choices; i++) {
      add(to, i ? ", " : "[");
      add(to, item->labels[i] ? "1" : "0");
    }
    add(to, "]");
  } else if (!kind->code) {
    add_key(to, "gold");
    if (item->n_choices)
      add_integer(to, item->gold);
    else
      bytes_add_string(to, item->answer);
  }
}

static void add_values(byte_list *to, const eval_task *t, const scores *s) {
  char names[METRICS_MOST][20];
  int32_t n = metrics_of(t->data.task, t->repeats, names);
  for (int32_t i = 0; i < n; i++) {
    add_key(to, names[i]);
    if (t->data.task->truths)
      add_number(to, s->values[i]);
    else
      add_integer(to, s->values[i] != 0);
  }
}

static void add_choices(byte_list *to, const task *t, const eval_item *item, const outcome *o, const scores *s) {
  add_key(to, "loglikelihoods");
  for (int32_t i = 0; i < item->n_choices; i++) {
    add(to, i ? ", " : "[");
    add_number(to, o->loglikelihoods[i]);
  }
  add(to, "]");
  add_key(to, "tokens");
  for (int32_t i = 0; i < item->n_choices; i++) {
    add(to, i ? ", " : "[");
    add_integer(to, o->tokens[i]);
  }
  add(to, "]");
  if (t->truths) return;
  add_key(to, "prediction");
  add_integer(to, s->prediction);
  if (!t->norm) return;
  add_key(to, "prediction_norm");
  add_integer(to, s->prediction_norm);
}

void samples_outcome(byte_list *to, const eval_task *t, const eval_item *item, const outcome *o, const scores *s,
                     const slice *votes) {
  if (o->truncated) add(to, ", \"truncated\": true");
  if (item->n_choices)
    add_choices(to, t->data.task, item, o, s);
  else {
    add_key(to, "responses");
    add_texts(to, o->responses, t->repeats);
    if (t->repeats > 1) {
      add_key(to, "answers");
      add_texts(to, votes, t->repeats);
      add_key(to, "vote");
      bytes_add_string(to, votes[s->vote]);
    } else if (!t->data.task->code) {
      add_key(to, "strict");
      bytes_add_string(to, s->strict);
      add_key(to, "flexible");
      bytes_add_string(to, s->flexible);
    }
  }
  add_values(to, t, s);
  add(to, "}");
}
