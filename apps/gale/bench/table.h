/* Tables of text, in columns or as Markdown. */
#ifndef GALE_BENCH_TABLE_H
#define GALE_BENCH_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum { TABLE_COLUMNS = 12, TABLE_CELL = 128 };

typedef struct table_row {
  char cells[TABLE_COLUMNS][TABLE_CELL];
} table_row;

/* Prints to standard output. rows[0] is the heading; only columns that `shown` lists are printed. */
void table_print(const table_row *rows, size_t n_rows, const bool shown[TABLE_COLUMNS], bool markdown);

#endif
