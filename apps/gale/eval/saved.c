/* Samples that are read again. */
#include "gale/cli/console.h"
#include "gale/eval/samples.h"
#include "gale/eval/words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int parse(const source *s, size_t line, slice text, arena *memory, value **root) {
  value_report report = {0};
  value_status status = value_read(memory, text, VALUE_REQUEST, root, &report);
  if (status == VALUE_MEMORY) return fail_memory();
  if (status) return source_fail(s, line, "not JSON: %s (at byte %zu of the line)", report.why, report.at);
  return value_is(*root, VALUE_OBJECT) ? 0 : source_fail(s, line, "not a JSON object");
}

static int read_choices(const source *s, size_t line, const value *root, int32_t n, arena *memory, outcome *o) {
  const value *list = value_get(root, "loglikelihoods"), *tokens = value_get(root, "tokens");
  if (!value_is(list, VALUE_ARRAY) || list->count != (uint32_t)n)
    return source_fail(s, line, "\"loglikelihoods\" is not a list of %d numbers", n);
  o->loglikelihoods = arena_array(memory, (size_t)n, sizeof *o->loglikelihoods);
  o->tokens = arena_array(memory, (size_t)n, sizeof *o->tokens);
  if (!o->loglikelihoods || !o->tokens) return fail_memory();
  const value *v = list->first, *k = tokens ? tokens->first : NULL;
  for (int32_t i = 0; i < n; i++, v = v->next, k = k ? k->next : NULL) {
    int64_t count = 0;
    o->loglikelihoods[i] = value_double(v);
    if (isnan(o->loglikelihoods[i])) return source_fail(s, line, "\"loglikelihoods\" holds what is no number");
    if (k && value_int64(k, &count)) o->tokens[i] = (int32_t)count;
  }
  return 0;
}

static int read_responses(const source *s, size_t line, const value *root, int32_t n, arena *memory, outcome *o) {
  const value *list = value_get(root, "responses");
  if (!value_is(list, VALUE_ARRAY) || list->count != (uint32_t)n)
    return source_fail(s, line, "\"responses\" is not a list of %d texts", n);
  o->responses = arena_array(memory, (size_t)n, sizeof *o->responses);
  if (!o->responses) return fail_memory();
  int32_t i = 0;
  for (const value *v = list->first; v; v = v->next, i++) {
    if (v->kind != VALUE_STRING) return source_fail(s, line, "\"responses\" holds what is no text");
    o->responses[i] = words_keep(memory, v->text);
    if (!o->responses[i].s) return fail_memory();
  }
  return 0;
}

static int read_outcome(const source *s, size_t line, const value *root, const task *t, int32_t n_choices,
                        int32_t repeats, arena *memory, outcome *o) {
  o->truncated = value_is(value_get(root, "truncated"), VALUE_TRUE);
  return t->tokens ? read_responses(s, line, root, repeats, memory, o)
                   : read_choices(s, line, root, n_choices, memory, o);
}

int samples_read(const source *s, size_t line, slice text, const task *t, int32_t n_choices, int32_t repeats,
                 arena *memory, outcome *o) {
  arena scratch = {0};
  value *root = NULL;
  int code = parse(s, line, text, &scratch, &root);
  if (!code) code = read_outcome(s, line, root, t, n_choices, repeats, memory, o);
  arena_free(&scratch);
  return code;
}

/* ---- Scoring again ---- */

static int take_task(saved_samples *saved, const value *v) {
  const value *name = value_get(v, "task"), *protocol = value_get(v, "protocol");
  const source *s = &saved->source;
  size_t most = sizeof saved->tasks / sizeof *saved->tasks;
  if (!value_is(name, VALUE_STRING)) return source_fail(s, 1, "a task without a name");
  const task *t = task_find(name->text.s, name->text.n);
  if (!t) return source_fail(s, 1, "'%.*s' is no task", (int)name->text.n, name->text.s);
  if (saved->n_tasks == most) return source_fail(s, 1, "more than %zu tasks", most);
  int64_t shots = t->shots, repeats = 1;
  if (value_given(v, "shots") && !value_int64(value_get(v, "shots"), &shots)) shots = -1;
  if (value_given(v, "repeats") && !value_int64(value_get(v, "repeats"), &repeats)) repeats = 0;
  if (shots < 0 || shots > INT32_MAX || repeats < 1 || repeats > INT32_MAX)
    return source_fail(s, 1, "\"shots\" or \"repeats\" is no such number");
  if (!t->tokens) repeats = 1;
  struct saved_task *to = &saved->tasks[saved->n_tasks++];
  *to = (struct saved_task){.task = t, .shots = (int32_t)shots, .tally = {.task = t, .repeats = (int32_t)repeats}};
  to->protocol = value_is(protocol, VALUE_STRING) ? words_keep(&saved->memory, protocol->text) : SLICE("lm-eval");
  return 0;
}

/* A member of the header as JSON. */
static slice keep_member(saved_samples *saved, const value *root, const char *key) {
  const value *v = value_given(root, key);
  if (!v) return (slice){0};
  byte_list text = {0};
  bytes_add_value(&text, v);
  slice kept = text.failed ? (slice){0} : words_keep(&saved->memory, (slice){text.bytes, text.n});
  free(text.bytes);
  return kept;
}

static int read_header(saved_samples *saved, slice line) {
  const source *s = &saved->source;
  arena scratch = {0};
  value *root = NULL;
  int64_t version = 0;
  int code = parse(s, 1, line, &scratch, &root);
  const value *tasks = code ? NULL : value_get(root, "tasks");
  if (!code && !value_says(value_get(root, "format"), "gale-eval-samples"))
    code = source_fail(s, 1, "no file of samples: \"format\" is not \"gale-eval-samples\"");
  else if (!code && (!value_int64(value_get(root, "version"), &version) || version != 1))
    code = source_fail(s, 1, "samples of another version; 1 is accepted");
  else if (!code && (!value_is(tasks, VALUE_ARRAY) || tasks->count == 0))
    code = source_fail(s, 1, "\"tasks\" is not a list of tasks");
  for (const value *v = code ? NULL : tasks->first; !code && v; v = v->next) code = take_task(saved, v);
  if (!code) {
    saved->model = keep_member(saved, root, "model");
    saved->settings = keep_member(saved, root, "settings");
  }
  arena_free(&scratch);
  return code;
}

static struct saved_task *task_of(saved_samples *saved, const value *name) {
  for (size_t i = 0; value_is(name, VALUE_STRING) && i < saved->n_tasks; i++)
    if (slice_is(name->text, saved->tasks[i].task->name)) return &saved->tasks[i];
  return NULL;
}

/* What scores need of the question. */
static int read_item(const record *r, const task *t, eval_item *item) {
  const value *root = r->object, *gold = value_get(root, "gold");
  if (value_given(root, "subject")) {
    int code = record_text(r, root, "subject", &item->subject);
    if (code) return code;
  }
  if (t->code) return 0;
  if (t->tokens) return record_text(r, root, "gold", &item->answer);
  int code =
      record_texts(r, value_get(root, "continuations"), "continuations", 1, 1024, &item->choices, &item->n_choices);
  for (int32_t i = 0; !code && !t->verbatim && i < item->n_choices; i++)
    if (item->choices[i].n && item->choices[i].s[0] == ' ')
      item->choices[i] = (slice){item->choices[i].s + 1, item->choices[i].n - 1};
  if (code || !t->truths) return code ? code : record_number(r, gold, "gold", 0, item->n_choices - 1, &item->gold);
  const value *list = value_get(root, "labels");
  if (!value_is(list, VALUE_ARRAY) || list->count != (uint32_t)item->n_choices)
    return record_fail(r, "\"labels\" is not a list of %d numbers", item->n_choices);
  bool *labels = arena_array(&r->data->memory, list->count, sizeof *labels);
  if (!labels) return fail_memory();
  int32_t i = 0, label = 0;
  for (const value *v = list->first; !code && v; v = v->next) {
    code = record_number(r, v, "labels", 0, 1, &label);
    labels[i++] = label == 1;
  }
  item->labels = labels;
  return code;
}

static int score_record(saved_samples *saved, const record *r, arena *scratch) {
  struct saved_task *of = task_of(saved, value_get(r->object, "task"));
  if (!of) return record_fail(r, "\"task\" is none of the first line");
  outcome o = {0};
  eval_item item = {.gold = -1};
  int code = read_item(r, of->task, &item);
  if (!code)
    code = read_outcome(r->source, r->line, r->object, of->task, item.n_choices, of->tally.repeats, scratch, &o);
  if (code) return code;
  slice *votes = arena_array(scratch, (size_t)of->tally.repeats, sizeof *votes);
  if (!votes) return fail_memory();
  scores s = score_item(of->task, &item, of->tally.repeats, &o, votes);
  slice subject = item.subject.s ? words_keep(&saved->memory, item.subject) : item.subject;
  return tally_add(&of->tally, subject, s.values, o.truncated) ? 0 : fail_memory();
}

static int score_line(saved_samples *saved, eval_data *d, size_t number, slice text) {
  arena scratch = {0};
  value *root = NULL;
  int code = parse(&saved->source, number, text, &scratch, &root);
  const record r = {.source = &saved->source, .line = number, .object = root, .data = d};
  if (!code) code = score_record(saved, &r, &scratch);
  arena_free(&scratch);
  return code;
}

int rescore_read(saved_samples *saved, const char *path) {
  source_lines at = {0};
  slice line;
  int code = source_open(&saved->source, path);
  if (code) return code;
  if (!source_next(&saved->source, &at, &line)) return source_fail(&saved->source, 1, "no samples: the file is empty");
  code = read_header(saved, line);
  while (!code && source_next(&saved->source, &at, &line)) {
    if (line.n == 0) continue;
    eval_data d = {0};
    code = score_line(saved, &d, at.line, line);
    arena_free(&d.memory);
  }
  for (size_t i = 0; !code && i < saved->n_tasks; i++)
    if (saved->tasks[i].tally.n == 0) code = fail("%s: no samples of %s", path, saved->tasks[i].task->name);
  return code;
}

void rescore_close(saved_samples *saved) {
  for (size_t i = 0; i < saved->n_tasks; i++) tally_free(&saved->tasks[i].tally);
  source_close(&saved->source);
  arena_free(&saved->memory);
  *saved = (saved_samples){0};
}
