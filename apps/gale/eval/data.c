#include "gale/eval/data.h"

#include "gale/cli/console.h"
#include "gale/eval/draws.h"
#include "gale/eval/task.h"

#include <stdlib.h>
#include <string.h>

/* ---- Lists ---- */

eval_item *items_add(item_list *list) {
  if (list->n == list->capacity) {
    int32_t capacity = list->capacity ? 2 * list->capacity : 256;
    eval_item *grown = capacity < INT32_MAX / 2 ? realloc(list->items, (size_t)capacity * sizeof *grown) : NULL;
    if (!grown) return NULL;
    list->items = grown;
    list->capacity = capacity;
  }
  list->items[list->n] = (eval_item){0};
  return &list->items[list->n++];
}

static bool texts_equal(const slice *a, int32_t n_a, const slice *b, int32_t n_b) {
  for (int32_t i = 0; n_a == n_b && i < n_a; i++)
    if (!slice_equal(a[i], b[i])) return false;
  return n_a == n_b;
}

static bool same_text(slice a, slice b) {
  return (a.s != NULL) == (b.s != NULL) && (!a.s || slice_equal(a, b));
}

bool items_equal(const eval_item *a, const eval_item *b) {
  return a->gold == b->gold && same_text(a->id, b->id) && same_text(a->answer, b->answer) &&
         texts_equal(a->texts, a->n_texts, b->texts, b->n_texts) &&
         texts_equal(a->choices, a->n_choices, b->choices, b->n_choices);
}

/* ---- Subjects ---- */

static int order_names(slice a, slice b) {
  size_t n = a.n < b.n ? a.n : b.n;
  int order = n ? memcmp(a.s, b.s, n) : 0;
  return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* By name; items of one subject stay in their order, which `index` has until then. */
static int by_subject(const void *a, const void *b) {
  const eval_item *x = a, *y = b;
  int order = order_names(x->subject, y->subject);
  return order ? order : (x->index > y->index) - (x->index < y->index);
}

static void sort_subjects(item_list *list) {
  for (int32_t i = 0; i < list->n; i++) list->items[i].index = i;
  if (list->n) qsort(list->items, (size_t)list->n, sizeof *list->items, by_subject);
}

/* The examples of a subject: of a task without any, all. */
static void find_examples(const eval_data *d, eval_subject *s) {
  const item_list *list = &d->examples;
  int32_t first = 0;
  while (s->name.s && first < list->n && !slice_equal(list->items[first].subject, s->name)) first++;
  int32_t end = first;
  while (end < list->n && (!s->name.s || slice_equal(list->items[end].subject, s->name))) end++;
  s->first_example = first;
  s->n_examples = end - first;
}

/* Numbers the items within their subjects, keeps the first of each, and makes the list of subjects. */
static int make_subjects(eval_data *d) {
  item_list *list = &d->items;
  int32_t kept = 0, n = 0;
  d->subjects = calloc((size_t)list->n + 1, sizeof *d->subjects);
  if (!d->subjects) return fail_memory();
  for (int32_t i = 0; i < list->n; i++) {
    slice name = list->items[i].subject;
    if (n == 0 || (name.s && !slice_equal(name, d->subjects[n - 1].name)))
      d->subjects[n++] = (eval_subject){.name = name, .first = kept};
    eval_subject *s = &d->subjects[n - 1];
    if (d->limit && s->n == d->limit) continue;
    list->items[kept] = list->items[i];
    list->items[kept++].index = s->n++;
  }
  d->n_subjects = n;
  list->n = kept;
  for (int32_t s = 0; s < n; s++) find_examples(d, &d->subjects[s]);
  return 0;
}

const eval_subject *data_subject(const eval_data *d, int32_t item) {
  int32_t low = 0, high = d->n_subjects - 1;
  while (low < high) {
    int32_t middle = (low + high + 1) / 2;
    if (d->subjects[middle].first <= item)
      low = middle;
    else
      high = middle - 1;
  }
  return &d->subjects[low];
}

/* ---- Examples ---- */

static int too_few(const eval_data *d, const eval_subject *s, int32_t wanted) {
  return fail("%s: %d examples%s%.*s are there, and %s with --shots %d needs %d; --fewshot FILE gives others", d->path,
              s->n_examples, s->name.s ? " of " : "", (int)s->name.n, s->name.s ? s->name.s : "", d->task->name,
              d->shots, wanted);
}

/* One more than wanted is drawn, and the question itself dropped. Where it is there so often that too few are left,
 * others are drawn from those that are not it. */
static bool draw_apart(const eval_data *d, draws *random, const eval_item *item, uint32_t *drawn, int32_t *picks) {
  uint32_t n = (uint32_t)d->examples.n, wanted = (uint32_t)d->shots, kept = 0, others = 0;
  if (!draws_sample(random, n, wanted + 1, drawn)) return false;
  for (uint32_t i = 0; i <= wanted && kept < wanted; i++)
    if (!items_equal(&d->examples.items[drawn[i]], item)) picks[kept++] = (int32_t)drawn[i];
  if (kept == wanted) return true;
  uint32_t *pool = malloc((size_t)n * sizeof *pool);
  if (!pool) return false;
  for (uint32_t i = 0; i < n; i++)
    if (!items_equal(&d->examples.items[i], item)) pool[others++] = i;
  bool enough = others >= wanted && draws_sample(random, others, wanted, drawn);
  for (uint32_t i = 0; enough && i < wanted; i++) picks[i] = (int32_t)pool[drawn[i]];
  free(pool);
  return enough;
}

static int draw_examples(eval_data *d) {
  bool apart = d->task->rule == EXAMPLES_APART;
  int32_t wanted = d->shots + apart;
  if (d->examples.n < wanted) return too_few(d, &d->subjects[0], wanted);
  d->picks = calloc((size_t)d->items.n * (size_t)d->shots, sizeof *d->picks);
  uint32_t *drawn = calloc((size_t)wanted, sizeof *drawn);
  bool ok = d->picks && drawn;
  draws random;
  draws_start(&random, d->seed);
  for (int32_t i = 0; ok && i < d->items.n; i++) {
    int32_t *picks = d->picks + (size_t)i * (size_t)d->shots;
    if (apart)
      ok = draw_apart(d, &random, &d->items.items[i], drawn, picks);
    else {
      ok = draws_sample(&random, (uint32_t)d->examples.n, (uint32_t)d->shots, drawn);
      for (int32_t k = 0; ok && k < d->shots; k++) picks[k] = (int32_t)drawn[k];
    }
  }
  free(drawn);
  return ok ? 0 : fail_memory();
}

static int take_first(const eval_data *d) {
  for (int32_t s = 0; s < d->n_subjects; s++)
    if (d->subjects[s].n_examples < d->shots) return too_few(d, &d->subjects[s], d->shots);
  return 0;
}

int data_open(eval_data *d) {
  const task *t = d->task;
  int code = t->load(d, d->path, false, &d->items);
  if (!code && d->items.n == 0) code = fail("%s:1: no question is in it", d->path);
  if (!code && d->shots) code = t->load(d, d->fewshot, true, &d->examples);
  if (code) return code;
  if (t->subjects) {
    sort_subjects(&d->items);
    sort_subjects(&d->examples);
  }
  code = make_subjects(d);
  if (code || d->shots == 0) return code;
  return t->rule == EXAMPLES_FIRST ? take_first(d) : draw_examples(d);
}

void data_close(eval_data *d) {
  arena_free(&d->memory);
  free(d->items.items);
  free(d->examples.items);
  free(d->subjects);
  free(d->picks);
  *d = (eval_data){0};
}

/* ---- Prompts ---- */

static void add_description(const eval_data *d, slice subject, byte_list *to) {
  bytes_add(to, SLICE("The following are "));
  bytes_add(to, slice_of(d->task->about));
  bytes_add(to, SLICE(" (with answers) about "));
  if (d->original) bytes_add(to, SLICE(" "));
  for (size_t i = 0; i < subject.n; i++) bytes_add(to, subject.s[i] == '_' ? SLICE(" ") : (slice){subject.s + i, 1});
  bytes_add(to, SLICE(".\n\n"));
}

static void add_example(const eval_item *e, byte_list *to) {
  bool each = e->n_texts > 1;
  bytes_add(to, e->texts[each ? e->gold : 0]);
  bytes_add(to, SLICE(" "));
  bytes_add(to, e->n_choices ? e->choices[e->gold] : e->answer);
  bytes_add(to, SLICE("\n\n"));
}

void data_context(const eval_data *d, int32_t item, int32_t text, int32_t shots, byte_list *to) {
  const eval_subject *s = data_subject(d, item);
  if (d->task->about) add_description(d, s->name, to);
  for (int32_t i = 0; i < shots; i++) {
    int32_t pick = d->picks ? d->picks[(size_t)item * (size_t)d->shots + (size_t)i] : s->first_example + i;
    add_example(&d->examples.items[pick], to);
  }
  bytes_add(to, d->items.items[item].texts[text]);
}

void data_continuation(const eval_data *d, const eval_item *item, int32_t choice, byte_list *to) {
  if (!d->task->verbatim) bytes_add(to, SLICE(" "));
  bytes_add(to, item->choices[choice]);
}
