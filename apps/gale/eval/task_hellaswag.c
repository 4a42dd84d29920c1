/* HellaSwag: the right ending of a text. */
#include "gale/cli/console.h"
#include "gale/eval/task.h"
#include "gale/eval/words.h"

#include <stdlib.h>

enum { ENDINGS = 4, LINES = 2 + ENDINGS };

static int clean(const record *r, slice text, slice *to) {
  *to = words_clean(&r->data->memory, text);
  return to->s ? 0 : fail_memory();
}

static int take_record(const record *r, eval_item *item) {
  slice activity = {0}, before = {0}, begun = {0}, context = {0};
  int code = record_text(r, r->object, "activity_label", &activity);
  if (!code) code = record_text(r, r->object, "ctx_a", &before);
  if (!code) code = record_text(r, r->object, "ctx_b", &begun);
  if (!code)
    code =
        record_texts(r, value_get(r->object, "endings"), "endings", ENDINGS, ENDINGS, &item->choices, &item->n_choices);
  if (!code) code = record_number(r, value_get(r->object, "label"), "label", 0, ENDINGS - 1, &item->gold);
  if (code) return code;
  byte_list text = {0};
  bytes_add(&text, activity);
  bytes_add(&text, SLICE(": "));
  bytes_add(&text, before);
  bytes_add(&text, SLICE(" "));
  words_capitalize(&text, begun);
  code = text.failed ? fail_memory() : clean(r, (slice){text.bytes, text.n}, &context);
  free(text.bytes);
  if (!code) code = record_set_text(r, item, "", context, "");
  for (int32_t i = 0; !code && i < ENDINGS; i++) code = clean(r, item->choices[i], &item->choices[i]);
  return code;
}

/* Six lines: the context as it is, the label, the endings. */
static int take_lines(record *r, const slice lines[LINES], item_list *to) {
  eval_item *item = items_add(to);
  if (!item) return fail_memory();
  int code = record_set_text(r, item, "", lines[0], "");
  if (!code) code = record_choices(r, item, ENDINGS);
  r->line++;
  if (!code) code = record_label(r, lines[1], 0, ENDINGS - 1, &item->gold);
  for (int32_t i = 0; !code && i < ENDINGS; i++) code = clean(r, lines[2 + i], &item->choices[i]);
  return code;
}

static int read_lines(eval_data *d, const source *s, item_list *to) {
  source_lines at = {0};
  slice lines[LINES], line;
  size_t n = 0;
  int code = 0;
  while (!code && source_next(s, &at, &line)) {
    if (n == 0 && words_strip(line).n == 0) continue;
    lines[n++] = line;
    if (n < LINES) continue;
    record r = {.source = s, .line = at.line - LINES + 1, .data = d};
    code = take_lines(&r, lines, to);
    n = 0;
  }
  if (!code && n) code = source_fail(s, at.line, "%zu lines of a question that has %d", n, LINES);
  return code;
}

int load_hellaswag(eval_data *d, const char *path, bool examples, item_list *to) {
  (void)examples;
  if (!path) return 0;
  source file;
  int code = source_open(&file, path);
  if (code) return code;
  code = source_begins(&file, '{') ? records_read(d, &file, NULL, take_record, to) : read_lines(d, &file, to);
  source_close(&file);
  return code;
}
