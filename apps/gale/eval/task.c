#include "gale/eval/task.h"

#include <stdlib.h>
#include <string.h>

static const char *const gsm8k_stops[] = {"Question:", "</s>", "<|im_end|>", NULL};
static const char *const chain_stops[] = {"Q:", "</s>", "<|im_end|>", NULL};
static const char *const code_stops[] = {"\nclass", "\ndef", "\n#", "\nif", "\nprint", NULL};

#define MMLU_PATHS                                                                                                     \
  "a directory or plain tar with SUBJECT_{dev,test,val}.csv or {dev,test,val}.jsonl at any depth; examples: the "      \
  "first "                                                                                                             \
  "of dev"
#define FEWSHOT "; examples: --fewshot"

const task task_table[] = {
    {.name = "mmlu",
     .paths = MMLU_PATHS,
     .shots = 5,
     .rule = EXAMPLES_FIRST,
     .subjects = true,
     .id_key = "id",
     .about = "multiple choice questions",
     .load = load_mmlu},
    {.name = "mmlu-cloze",
     .paths = MMLU_PATHS,
     .rule = EXAMPLES_FIRST,
     .norm = true,
     .subjects = true,
     .id_key = "id",
     .about = "questions",
     .load = load_mmlu},
    {.name = "gsm8k",
     .paths = "JSONL, or a directory with test.jsonl; examples: train.jsonl beside it, or --fewshot",
     .shots = 5,
     .rule = EXAMPLES_DRAWN,
     .id_key = "id",
     .load = load_gsm8k,
     .tokens = 256,
     .stops = gsm8k_stops},
    {.name = "gsm8k-cot",
     .paths = "JSONL, or a directory with test.jsonl; examples: the published eight, or --fewshot",
     .shots = 8,
     .rule = EXAMPLES_FIRST,
     .id_key = "id",
     .load = load_gsm8k,
     .tokens = 256,
     .stops = chain_stops,
     .chain = true},
    {.name = "hellaswag",
     .paths = "JSONL, or llama.cpp's six lines a question" FEWSHOT,
     .rule = EXAMPLES_APART,
     .norm = true,
     .id_key = "ind",
     .load = load_hellaswag},
    {.name = "arc-easy",
     .paths = "JSONL" FEWSHOT,
     .rule = EXAMPLES_DRAWN,
     .norm = true,
     .id_key = "id",
     .load = load_arc},
    {.name = "arc-challenge",
     .paths = "JSONL" FEWSHOT,
     .rule = EXAMPLES_DRAWN,
     .norm = true,
     .id_key = "id",
     .load = load_arc},
    {.name = "winogrande",
     .paths = "JSONL (answers in it or in NAME-labels.lst), or llama.cpp's CSV" FEWSHOT,
     .rule = EXAMPLES_APART,
     .id_key = "qID",
     .load = load_winogrande},
    {.name = "piqa",
     .paths = "JSONL (labels in it or in NAME-labels.lst)" FEWSHOT,
     .rule = EXAMPLES_APART,
     .norm = true,
     .id_key = "id",
     .load = load_piqa},
    {.name = "boolq",
     .paths = "JSONL, SuperGLUE's or the original" FEWSHOT,
     .rule = EXAMPLES_APART,
     .id_key = "id",
     .load = load_boolq},
    {.name = "truthfulqa-mc1",
     .paths = "JSON array or JSONL" FEWSHOT,
     .rule = EXAMPLES_DRAWN,
     .id_key = "id",
     .load = load_truthfulqa},
    {.name = "truthfulqa-mc2",
     .paths = "JSON array or JSONL" FEWSHOT,
     .rule = EXAMPLES_DRAWN,
     .truths = true,
     .id_key = "id",
     .load = load_truthfulqa},
    {.name = "humaneval",
     .paths = "JSONL; completions go to --completions FILE",
     .id_key = "task_id",
     .load = load_humaneval,
     .tokens = 1024,
     .stops = code_stops,
     .code = true},
    {.name = "choice",
     .paths = "JSONL {context or contexts[], continuations[], gold}",
     .norm = true,
     .verbatim = true,
     .id_key = "id",
     .load = load_choice},
    {0},
};

const task *task_find(const char *name, size_t length) {
  for (const task *t = task_table; t->name; t++)
    if (strlen(t->name) == length && memcmp(t->name, name, length) == 0) return t;
  return NULL;
}

int load_records(eval_data *d, const char *path, bool labelled, record_fn take, item_list *to) {
  if (!path) return 0;
  source file = {0}, labels = {0};
  char *labels_path = NULL;
  int code = source_open(&file, path);
  if (!code && labelled) code = labels_open(path, &labels, &labels_path);
  if (!code) code = records_read(d, &file, labels.path ? &labels : NULL, take, to);
  source_close(&labels);
  free(labels_path);
  source_close(&file);
  return code;
}
