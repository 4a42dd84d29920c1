/* HumanEval: functions to be continued. What is written is for its own evaluator to run. */
#include "gale/eval/task.h"

static int take_record(const record *r, eval_item *item) {
  slice prompt, id;
  int code = record_text(r, r->object, "task_id", &id);
  if (!code) code = record_text(r, r->object, "prompt", &prompt);
  if (!code) code = record_set_text(r, item, "", prompt, "");
  return code;
}

int load_humaneval(eval_data *d, const char *path, bool examples, item_list *to) {
  return examples ? 0 : load_records(d, path, false, take_record, to);
}
