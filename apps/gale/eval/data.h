/* A task's questions, as its files give them: one form for all tasks. Functions that return int return 0, or an exit
 * status after saying what is wrong. */
#ifndef GALE_EVAL_DATA_H
#define GALE_EVAL_DATA_H

#include "gale/eval/source.h"

/* A question. Texts are in the data's memory. */
typedef struct eval_item {
  slice subject; /* s NULL: the task has none */
  int32_t index; /* in its subject; of a task without any, in all */
  slice id;      /* as JSON; s NULL: it has none */
  /* [n_texts] what stands before the continuations, behind description and examples. One, or one for each choice. */
  slice *texts;
  int32_t n_texts;
  slice *choices;     /* [n_choices]; none where answers are generated */
  int32_t n_choices;  /* at least 2 otherwise */
  int32_t gold;       /* which choice is right; -1 where answers are generated */
  slice answer;       /* generated ones: what is right, and what stands there in an example */
  const bool *labels; /* [n_choices], of each choice whether it is true; NULL where one is right */
} eval_item;

typedef struct item_list {
  eval_item *items; /* owned */
  int32_t n, capacity;
} item_list;

/* A new item of zeros at the end, or NULL when out of memory. */
eval_item *items_add(item_list *list);
/* Whether two items say the same. */
bool items_equal(const eval_item *a, const eval_item *b);

/* Items [first, first + n) of one subject, and the examples that stand before them. */
typedef struct eval_subject {
  slice name; /* s NULL: the only one */
  int32_t first, n;
  int32_t first_example, n_examples;
} eval_subject;

struct task;

/* What was asked for, and what became of it. Zero-initialise, set what comes first, and give back by data_close(). */
typedef struct eval_data {
  const struct task *task;
  const char *path;    /* as given */
  const char *fewshot; /* a file of examples, or NULL */
  int32_t shots;       /* examples in front of a question */
  bool original;       /* the protocol of MMLU's own script */
  const char *split;   /* "test" or "val" */
  int32_t limit;       /* most questions, of each subject; 0: all */
  uint64_t seed;       /* of the draws of examples */
  arena memory;        /* of all texts */
  item_list items, examples;
  eval_subject *subjects; /* owned */
  int32_t n_subjects;
  int32_t *picks; /* [items.n][shots] which examples stand before an item; NULL: the subject's first */
} eval_data;

/* Reads the files, and draws the examples. */
int data_open(eval_data *d);
void data_close(eval_data *d);

/* The subject that an item belongs to. */
const eval_subject *data_subject(const eval_data *d, int32_t item);

/* Appends what stands before continuation `text` of an item: description, the first `shots` of its examples, text. */
void data_context(const eval_data *d, int32_t item, int32_t text, int32_t shots, byte_list *to);
/* Appends a continuation. */
void data_continuation(const eval_data *d, const eval_item *item, int32_t choice, byte_list *to);

#endif
