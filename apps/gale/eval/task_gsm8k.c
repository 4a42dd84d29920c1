/* GSM8K: word problems whose answers are numbers, written out. */
#include "base/file.h"
#include "gale/cli/console.h"
#include "gale/eval/task.h"
#include "gale/eval/words.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The examples of Wei et al. 2022, "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models" (arXiv
 * 2201.11903), in their order: question, target. */
static const char *const published[][2] = {
    {"There are 15 trees in the grove. Grove workers will plant trees in the grove today. After they are "
     "done, there will be 21 trees. How many trees did the grove workers plant today?",
     "There are 15 trees originally. Then there were 21 trees after some more were planted. So there must "
     "have been 21 - 15 = 6. The answer is 6."},
    {"If there are 3 cars in the parking lot and 2 more cars arrive, how many cars are in the parking lot?",
     "There are originally 3 cars. 2 more cars arrive. 3 + 2 = 5. The answer is 5."},
    {"Leah had 32 chocolates and her sister had 42. If they ate 35, how many pieces do they have left in "
     "total?",
     "Originally, Leah had 32 chocolates. Her sister had 42. So in total they had 32 + 42 = 74. After "
     "eating 35, they had 74 - 35 = 39. The answer is 39."},
    {"Jason had 20 lollipops. He gave Denny some lollipops. Now Jason has 12 lollipops. How many lollipops"
     " did Jason give to Denny?",
     "Jason started with 20 lollipops. Then he had 12 after giving some to Denny. So he gave Denny 20 - 12"
     " = 8. The answer is 8."},
    {"Shawn has five toys. For Christmas, he got two toys each from his mom and dad. How many toys does he"
     " have now?",
     "Shawn started with 5 toys. If he got 2 toys each from his mom and dad, then that is 4 more toys. 5 +"
     " 4 = 9. The answer is 9."},
    {"There were nine computers in the server room. Five more computers were installed each day, from "
     "monday to thursday. How many computers are now in the server room?",
     "There were originally 9 computers. For each of 4 days, 5 more computers were added. So 5 * 4 = 20 "
     "computers were added. 9 + 20 is 29. The answer is 29."},
    {"Michael had 58 golf balls. On tuesday, he lost 23 golf balls. On wednesday, he lost 2 more. How many"
     " golf balls did he have at the end of wednesday?",
     "Michael started with 58 golf balls. After losing 23 on tuesday, he had 58 - 23 = 35. After losing 2 "
     "more, he had 35 - 2 = 33 golf balls. The answer is 33."},
    {"Olivia has $23. She bought five bagels for $3 each. How much money does she have left?",
     "Olivia had 23 dollars. 5 bagels for 3 dollars each will be 5 x 3 = 15 dollars. So she has 23 - 15 "
     "dollars left. 23 - 15 is 8. The answer is 8."},
};

/* What follows the last "####". */
static bool final_answer(slice answer, slice *last) {
  for (size_t i = answer.n; i >= 4; i--) {
    if (memcmp(answer.s + i - 4, "####", 4) != 0) continue;
    *last = words_strip((slice){answer.s + i, answer.n - i});
    return last->n > 0;
  }
  return false;
}

static int take_question(const record *r, eval_item *item) {
  bool chain = r->data->task->chain;
  slice question, end;
  int code = record_text(r, r->object, "question", &question);
  if (!code) code = record_set_text(r, item, chain ? "Q: " : "Question: ", question, chain ? "\nA:" : "\nAnswer:");
  if (!code) code = record_text(r, r->object, "answer", &item->answer);
  if (code) return code;
  if (!final_answer(item->answer, &end)) return record_fail(r, "\"answer\" does not end with #### and a number");
  if (chain) item->answer = end;
  return 0;
}

/* An example whose answer is thought out. */
static int take_thought(const record *r, eval_item *item) {
  slice question;
  int code = record_text(r, r->object, "question", &question);
  if (!code) code = record_set_text(r, item, "Q: ", question, "\nA:");
  if (!code) code = record_text(r, r->object, "target", &item->answer);
  return code;
}

static int load_published(eval_data *d, item_list *to) {
  record r = {.data = d};
  for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
    eval_item *item = items_add(to);
    if (!item) return fail_memory();
    item->answer = slice_of(published[i][1]);
    int code = record_set_text(&r, item, "Q: ", slice_of(published[i][0]), "\nA:");
    if (code) return code;
  }
  return 0;
}

static int load_questions(eval_data *d, const char *path, item_list *to) {
  if (!path_is_directory(path)) return load_records(d, path, false, take_question, to);
  char *inside = path_join(path, "test.jsonl");
  int code = inside ? load_records(d, inside, false, take_question, to) : fail_memory();
  free(inside);
  return code;
}

/* train.jsonl beside the questions, where it is there. */
static int load_train(eval_data *d, item_list *to) {
  char *train = path_is_directory(d->path) ? path_join(d->path, "train.jsonl") : path_beside(d->path, "train.jsonl");
  int code = train ? 0 : fail_memory();
  if (train && access(train, F_OK) == 0) code = load_records(d, train, false, take_question, to);
  free(train);
  return code;
}

int load_gsm8k(eval_data *d, const char *path, bool examples, item_list *to) {
  if (!examples) return load_questions(d, path, to);
  if (path) return load_records(d, path, false, d->task->chain ? take_thought : take_question, to);
  return d->task->chain ? load_published(d, to) : load_train(d, to);
}
