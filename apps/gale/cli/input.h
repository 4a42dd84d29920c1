/* Reading what the user gives: whole files, lines, token ids. */
#ifndef GALE_CLI_INPUT_H
#define GALE_CLI_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Bytes with a NUL behind them. */
typedef struct text {
  char *bytes;
  size_t length;
} text;

/* Appends n bytes. False, and nothing done, when out of memory. */
static inline bool text_append(text *t, const char *bytes, size_t n) {
  char *grown = realloc(t->bytes, t->length + n + 1);
  if (!grown) return false;
  if (n) memcpy(grown + t->length, bytes, n);
  t->bytes = grown;
  t->length += n;
  t->bytes[t->length] = 0;
  return true;
}

/* Reads a file to its end; "-" is standard input. Returns 0, or an exit status after saying what is
 * wrong. The caller frees t->bytes. */
int input_read(const char *path, text *t);

/* What messages call it: path, or "standard input". */
const char *input_name(const char *path);

/* The next line from *at on, without its newline; *at moves behind it. False at the end. */
bool input_line(const text *t, size_t *at, const char **line, size_t *length);

/* Token ids in decimal, separated by white space, each in [0, limit). where names the source in
 * messages. The caller frees *ids. Returns 0 or an exit status. */
int input_ids(const char *where, const char *s, size_t length, int32_t limit, int32_t **ids, size_t *n_ids);

#endif
