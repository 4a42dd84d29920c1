#include "gale/bench/table.h"

#include "gale/cli/console.h"

#include <string.h>

static void print_line(const table_row *r, const bool *shown, const int *widths, bool markdown) {
  const char *gap = markdown ? "| " : "";
  int blanks = 0; /* not printed yet: none at the end of a line */
  for (int c = 0; c < TABLE_COLUMNS; c++) {
    if (!shown[c]) continue;
    if (markdown)
      out_printf("%s%-*s", gap, widths[c], r->cells[c]);
    else if (*r->cells[c])
      out_printf("%*s%s", blanks, "", r->cells[c]);
    blanks = (*r->cells[c] ? 0 : blanks) + widths[c] + 2 - (int)strlen(r->cells[c]);
    gap = " | ";
  }
  out_printf(markdown ? " |\n" : "\n");
}

static void print_rule(const bool *shown, const int *widths) {
  for (int c = 0; c < TABLE_COLUMNS; c++) {
    if (!shown[c]) continue;
    out_printf("|");
    for (int i = 0; i < widths[c] + 2; i++) out_printf("-");
  }
  out_printf("|\n");
}

void table_print(const table_row *rows, size_t n_rows, const bool shown[TABLE_COLUMNS], bool markdown) {
  int widths[TABLE_COLUMNS] = {0};
  for (size_t i = 0; i < n_rows; i++)
    for (int c = 0; c < TABLE_COLUMNS; c++)
      if ((int)strlen(rows[i].cells[c]) > widths[c]) widths[c] = (int)strlen(rows[i].cells[c]);
  for (size_t i = 0; i < n_rows; i++) {
    print_line(&rows[i], shown, widths, markdown);
    if (i == 0 && markdown) print_rule(shown, widths);
  }
}
