/* Winogrande: which of two names fits the gap of a sentence, told by what follows the gap. */
#include "gale/cli/console.h"
#include "gale/eval/task.h"
#include "gale/eval/words.h"

#include <string.h>

static int fill(const record *r, eval_item *item, slice sentence, const slice names[2]) {
  const char *gap = memchr(sentence.s, '_', sentence.n);
  if (!gap) return record_fail(r, "the sentence has no gap (_)");
  size_t before = (size_t)(gap - sentence.s);
  arena *memory = &r->data->memory;
  int code = record_choices(r, item, 2);
  item->n_texts = 2;
  item->texts = arena_array(memory, 2, sizeof *item->texts);
  if (code || !item->texts) return code ? code : fail_memory();
  for (int i = 0; i < 2; i++) {
    char *text = arena_alloc(memory, before + names[i].n + 1);
    if (!text) return fail_memory();
    memcpy(text, sentence.s, before);
    memcpy(text + before, names[i].s, names[i].n);
    item->texts[i] = (slice){text, before + names[i].n};
    item->choices[i] = words_keep(memory, words_strip((slice){gap + 1, sentence.n - before - 1}));
    if (!item->choices[i].s) return fail_memory();
  }
  return 0;
}

static int take_record(const record *r, eval_item *item) {
  slice sentence, names[2];
  int code = record_text(r, r->object, "sentence", &sentence);
  if (!code) code = record_text(r, r->object, "option1", &names[0]);
  if (!code) code = record_text(r, r->object, "option2", &names[1]);
  if (!code) code = fill(r, item, sentence, names);
  if (code) return code;
  int32_t answer = 0;
  const value *stated = value_given(r->object, "answer");
  if (r->label.s && (!stated || value_says(stated, "")))
    code = record_label(r, r->label, 1, 2, &answer);
  else
    code = record_number(r, stated, "answer", 1, 2, &answer);
  item->gold = answer - 1;
  return code;
}

/* llama.cpp's rows: index, sentence, option1, option2, answer. */
static int read_rows(eval_data *d, const source *s, item_list *to) {
  source_lines lines = {0};
  csv_row row;
  bool found = true;
  int code = 0;
  while (!code && found) {
    code = csv_next(s, &lines, &d->memory, &row, &found);
    if (code || !found) break;
    record r = {.source = s, .line = row.line, .data = d};
    if (row.n == 1 && row.cells[0].n == 0) continue;
    if (row.n != 5) return record_fail(&r, "%zu cells; index, sentence, option1, option2, answer are wanted", row.n);
    if (to->n == 0 && slice_is(row.cells[4], "answer")) continue;
    eval_item *item = items_add(to);
    if (!item) return fail_memory();
    int32_t answer = 0;
    code = fill(&r, item, row.cells[1], row.cells + 2);
    if (!code) code = record_label(&r, row.cells[4], 1, 2, &answer);
    item->gold = answer - 1;
  }
  return code;
}

int load_winogrande(eval_data *d, const char *path, bool examples, item_list *to) {
  (void)examples;
  if (!path) return 0;
  source file;
  int code = source_open(&file, path);
  if (code) return code;
  bool json = source_begins(&file, '{');
  if (!json) code = read_rows(d, &file, to);
  source_close(&file);
  return json ? load_records(d, path, true, take_record, to) : code;
}
