/* Rows of comma-separated values. */
#include "gale/cli/console.h"
#include "gale/eval/source.h"

/* A cell in quotes that begins at i; i moves behind its closing quote. */
static int quoted_cell(const source *s, source_lines *lines, arena *memory, size_t *i, slice *cell) {
  const char *text = s->text.s;
  size_t begin = *i + 1, end = begin, doubled = 0, first_line = lines->line;
  for (;; end++) {
    if (end >= s->text.n) return source_fail(s, first_line, "a quote that is not closed");
    if (text[end] == '\n') lines->line++;
    if (text[end] != '"') continue;
    if (end + 1 >= s->text.n || text[end + 1] != '"') break;
    doubled++;
    end++;
  }
  *i = end + 1;
  *cell = (slice){text + begin, end - begin};
  if (doubled == 0) return 0;
  char *copy = arena_alloc(memory, cell->n);
  if (!copy) return fail_memory();
  size_t n = 0;
  for (size_t at = begin; at < end; at++) {
    copy[n++] = text[at];
    at += text[at] == '"';
  }
  *cell = (slice){copy, n};
  return 0;
}

static int plain_cell(const source *s, const source_lines *lines, size_t *i, slice *cell) {
  const char *text = s->text.s;
  size_t begin = *i, end = begin;
  while (end < s->text.n && text[end] != ',' && text[end] != '\n' && text[end] != '\r') {
    if (text[end] == '"') return source_fail(s, lines->line, "a quote inside a cell that does not begin with one");
    end++;
  }
  *i = end;
  *cell = (slice){text + begin, end - begin};
  return 0;
}

int csv_next(const source *s, source_lines *lines, arena *memory, csv_row *row, bool *found) {
  *row = (csv_row){.line = ++lines->line};
  *found = lines->at < s->text.n;
  if (!*found) return 0;
  const char *text = s->text.s;
  for (size_t i = lines->at;; i++) {
    if (row->n == CSV_MOST) return source_fail(s, lines->line, "more than %d cells in a row", CSV_MOST);
    slice *cell = &row->cells[row->n++];
    bool quoted = i < s->text.n && text[i] == '"';
    int code = quoted ? quoted_cell(s, lines, memory, &i, cell) : plain_cell(s, lines, &i, cell);
    if (code) return code;
    if (i < s->text.n && text[i] == ',') continue;
    if (i + 1 < s->text.n && text[i] == '\r' && text[i + 1] == '\n') i++;
    if (i < s->text.n && text[i] != '\n')
      return source_fail(s, lines->line, quoted ? "text behind a closing quote" : "a carriage return inside a cell");
    lines->at = i + 1;
    return 0;
  }
}
