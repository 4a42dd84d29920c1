/* One object of a JSONL file and how a task's reader takes it apart. Functions that return int return 0, or an exit
 * status after saying which line is wrong. */
#ifndef GALE_EVAL_RECORD_H
#define GALE_EVAL_RECORD_H

#include "gale/eval/data.h"

typedef struct record {
  const source *source;
  size_t line;
  const value *object;
  slice label;  /* its line of a file of labels; s NULL: there is none */
  slice folder; /* the name of the folder that the file is in */
  eval_data *data;
} record;

typedef int (*record_fn)(const record *r, eval_item *item);

int record_fail(const record *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text of a member that must be there, kept in the data's memory. */
int record_text(const record *r, const value *object, const char *key, slice *to);
/* A list of `least` to `most` texts. `name` is what messages call it. */
int record_texts(const record *r, const value *list, const char *name, uint32_t least, uint32_t most, slice **to,
                 int32_t *n);
/* A whole number in [low, high], as a number or as text. */
int record_number(const record *r, const value *v, const char *name, int32_t low, int32_t high, int32_t *to);
/* The same of a text alone, as in files of labels. */
int record_label(const record *r, slice text, int32_t low, int32_t high, int32_t *to);
/* A text like printf() does, kept. */
int record_format(const record *r, slice *to, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The item's only text, "HEAD" SLICE "TAIL". */
int record_set_text(const record *r, eval_item *item, const char *head, slice middle, const char *tail);
/* Room for n choices. */
int record_choices(const record *r, eval_item *item, int32_t n);

/* Takes every object of a source of JSONL, or of one JSON array, as an item of the list. labels may be NULL: lines that
 * belong to the objects. */
int records_read(eval_data *d, const source *s, const source *labels, record_fn take, item_list *to);

/* The file of labels that belongs to a file: NAME-labels.lst. *labels is closed where there is none. The caller closes
 * it, and frees *path, which it borrows. */
int labels_open(const char *file, source *labels, char **path);

/* A file beside another, for the caller to free; NULL when out of memory. */
char *path_beside(const char *file, const char *name);

#endif
