/* Tasks whose questions are short texts with choices: ARC, PIQA, BoolQ, and any other in the form of `choice`. */
#include "gale/cli/console.h"
#include "gale/eval/task.h"

#include <stdlib.h>

enum { CHOICES_MOST = 1024 };

static bool is_mark(slice label) {
  return label.n == 1 && ((label.s[0] >= 'A' && label.s[0] <= 'Z') || (label.s[0] >= '0' && label.s[0] <= '9'));
}

/* ---- ARC ---- */

/* Choices as {text[], label[]}, or as a list of {text, label}. */
static int arc_choices(const record *r, const value *choices, eval_item *item, slice **labels) {
  int32_t n = 0;
  if (value_is(choices, VALUE_OBJECT)) {
    int code = record_texts(r, value_get(choices, "text"), "text", 3, 5, &item->choices, &item->n_choices);
    if (!code) code = record_texts(r, value_get(choices, "label"), "label", 3, 5, labels, &n);
    return !code && n != item->n_choices ? record_fail(r, "%d choices, but %d labels", item->n_choices, n) : code;
  }
  if (!value_is(choices, VALUE_ARRAY) || choices->count < 3 || choices->count > 5)
    return record_fail(r, "\"choices\" is not a list of 3 to 5 choices");
  int code = record_choices(r, item, (int32_t)choices->count);
  *labels = code ? NULL : arena_array(&r->data->memory, choices->count, sizeof **labels);
  if (!code && !*labels) code = fail_memory();
  for (const value *v = choices->first; !code && v; v = v->next, n++) {
    code = record_text(r, v, "text", &item->choices[n]);
    if (!code) code = record_text(r, v, "label", *labels + n);
  }
  return code;
}

static int take_arc(const record *r, eval_item *item) {
  const value *question = value_get(r->object, "question"), *choices = value_get(r->object, "choices");
  bool nested = value_is(question, VALUE_OBJECT);
  slice text = {0}, answer = {0}, *labels = NULL;
  int code = nested ? record_text(r, question, "stem", &text) : record_text(r, r->object, "question", &text);
  if (!code) code = arc_choices(r, nested ? value_get(question, "choices") : choices, item, &labels);
  if (!code) code = record_text(r, r->object, "answerKey", &answer);
  if (!code) code = record_set_text(r, item, "Question: ", text, "\nAnswer:");
  for (int32_t i = 0; !code && labels && i < item->n_choices; i++) {
    if (!is_mark(labels[i])) return record_fail(r, "a choice's label is no letter or digit");
    if (item->gold < 0 && slice_equal(labels[i], answer)) item->gold = i;
  }
  if (!code && item->gold < 0) code = record_fail(r, "\"answerKey\" is none of the labels");
  return code;
}

int load_arc(eval_data *d, const char *path, bool examples, item_list *to) {
  (void)examples;
  return load_records(d, path, false, take_arc, to);
}

/* ---- PIQA ---- */

static int take_piqa(const record *r, eval_item *item) {
  slice goal;
  int code = record_text(r, r->object, "goal", &goal);
  if (!code) code = record_set_text(r, item, "Question: ", goal, "\nAnswer:");
  if (!code) code = record_choices(r, item, 2);
  if (!code) code = record_text(r, r->object, "sol1", &item->choices[0]);
  if (!code) code = record_text(r, r->object, "sol2", &item->choices[1]);
  if (code) return code;
  const value *label = value_given(r->object, "label");
  if (!label && r->label.s) return record_label(r, r->label, 0, 1, &item->gold);
  return record_number(r, label, "label", 0, 1, &item->gold);
}

int load_piqa(eval_data *d, const char *path, bool examples, item_list *to) {
  (void)examples;
  return load_records(d, path, true, take_piqa, to);
}

/* ---- BoolQ ---- */

static int take_boolq(const record *r, eval_item *item) {
  slice passage, title = {0}, question, whole;
  int code = record_text(r, r->object, "passage", &passage);
  if (!code) code = record_text(r, r->object, "question", &question);
  if (!code && value_given(r->object, "title")) code = record_text(r, r->object, "title", &title);
  if (code) return code;
  byte_list text = {0};
  if (title.s) {
    bytes_add(&text, title);
    bytes_add(&text, SLICE(" -- "));
  }
  bytes_add(&text, passage);
  bytes_add(&text, SLICE("\nQuestion: "));
  bytes_add(&text, question);
  whole = (slice){text.bytes, text.n};
  code = text.failed ? fail_memory() : record_set_text(r, item, "", whole, "?\nAnswer:");
  free(text.bytes);
  if (!code) code = record_choices(r, item, 2);
  if (code) return code;
  item->choices[0] = SLICE("no");
  item->choices[1] = SLICE("yes");
  const value *label = value_given(r->object, "label"), *answer = label ? label : value_given(r->object, "answer");
  if (!value_is_bool(answer)) return record_number(r, answer, label ? "label" : "answer", 0, 1, &item->gold);
  item->gold = answer->kind == VALUE_TRUE;
  return 0;
}

int load_boolq(eval_data *d, const char *path, bool examples, item_list *to) {
  (void)examples;
  return load_records(d, path, false, take_boolq, to);
}

/* ---- Any other ---- */

/* One continuation may follow several contexts, and several one; else each has its own. */
static int pair_texts(const record *r, eval_item *item) {
  if (item->n_choices == 1 && item->n_texts > 1) {
    slice only = item->choices[0];
    int code = record_choices(r, item, item->n_texts);
    for (int32_t i = 0; !code && i < item->n_choices; i++) item->choices[i] = only;
    return code;
  }
  if (item->n_texts != 1 && item->n_texts != item->n_choices)
    return record_fail(r, "%d contexts, but %d continuations", item->n_texts, item->n_choices);
  return item->n_choices < 2 ? record_fail(r, "at least 2 continuations are wanted") : 0;
}

static int take_choice(const record *r, eval_item *item) {
  const value *contexts = value_given(r->object, "contexts"), *list = value_get(r->object, "continuations");
  slice text;
  int code;
  if (contexts)
    code = record_texts(r, contexts, "contexts", 1, CHOICES_MOST, &item->texts, &item->n_texts);
  else {
    code = record_text(r, r->object, "context", &text);
    if (!code) code = record_set_text(r, item, "", text, "");
  }
  if (!code) code = record_texts(r, list, "continuations", 1, CHOICES_MOST, &item->choices, &item->n_choices);
  if (!code) code = pair_texts(r, item);
  if (!code) code = record_number(r, value_get(r->object, "gold"), "gold", 0, item->n_choices - 1, &item->gold);
  return code;
}

int load_choice(eval_data *d, const char *path, bool examples, item_list *to) {
  return examples ? 0 : load_records(d, path, false, take_choice, to);
}
