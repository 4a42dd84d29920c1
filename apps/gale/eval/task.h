/* The tasks: one table. A task's file says how its questions are read. */
#ifndef GALE_EVAL_TASK_H
#define GALE_EVAL_TASK_H

#include "gale/eval/record.h"

/* Which examples stand before a question. */
typedef enum example_rule {
  EXAMPLES_NONE,
  EXAMPLES_FIRST, /* the first of the question's subject */
  EXAMPLES_DRAWN, /* drawn afresh for each question */
  EXAMPLES_APART, /* the same, one more, of which the question itself is dropped */
} example_rule;

typedef struct task {
  const char *name;
  const char *paths; /* what PATH may be, and where examples come from */
  int32_t shots;     /* examples, unless another number is asked for */
  example_rule rule;
  bool norm;          /* has acc_norm */
  bool truths;        /* several choices are true: mc2 */
  bool subjects;      /* questions are ordered by subject, with figures of each */
  bool verbatim;      /* continuations have a blank only where the file has one */
  const char *id_key; /* the member that is a question's id */
  const char *about;  /* description in front, with the subject behind; NULL: none */
  /* Reads the questions of a path, or, with `examples`, the examples of one, which may be NULL: those that belong to
   * the data's path, if there are any. */
  int (*load)(eval_data *d, const char *path, bool examples, item_list *to);
  int32_t tokens;           /* most that are generated; 0: choices are scored */
  const char *const *stops; /* [up to NULL] texts that end a generated answer */
  bool chain;               /* answers say "The answer is", rather than "####" */
  bool code;                /* answers are code, which is not scored */
} task;

extern const task task_table[]; /* ended by an entry without a name */

/* NULL if there is none. */
const task *task_find(const char *name, size_t length);

/* Of one task each: rows of the table. */
int load_mmlu(eval_data *d, const char *path, bool examples, item_list *to);
int load_gsm8k(eval_data *d, const char *path, bool examples, item_list *to);
int load_hellaswag(eval_data *d, const char *path, bool examples, item_list *to);
int load_arc(eval_data *d, const char *path, bool examples, item_list *to);
int load_winogrande(eval_data *d, const char *path, bool examples, item_list *to);
int load_piqa(eval_data *d, const char *path, bool examples, item_list *to);
int load_boolq(eval_data *d, const char *path, bool examples, item_list *to);
int load_truthfulqa(eval_data *d, const char *path, bool examples, item_list *to);
int load_humaneval(eval_data *d, const char *path, bool examples, item_list *to);
int load_choice(eval_data *d, const char *path, bool examples, item_list *to);

/* Opens the file, takes every object of it by `take`, with labels beside it where `labelled`, and closes it. A path of
 * NULL has nothing. */
int load_records(eval_data *d, const char *path, bool labelled, record_fn take, item_list *to);

#endif
