/* gale eval: published protocols over local files. */
#include "gale/cli/console.h"
#include "gale/cli/opening.h"
#include "gale/commands/command.h"
#include "gale/eval/compute.h"
#include "gale/eval/inputs.h"
#include "gale/eval/report.h"
#include "gale/eval/task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MODELS_MOST = 2, LANES = 64 };

static const uint64_t published_seed = 1234;

/* A run: the tasks, and the models that do them. */
typedef struct evaluation {
  const options *o;
  const char *models[MODELS_MOST];
  int n_models;
  eval_task tasks[MAX_ARGUMENTS];
  size_t n_tasks;
} evaluation;

/* ---- The command line ---- */

static int list_tasks(void) {
  out_printf("%-16s %s  %s\n", "task", "examples", "PATH");
  for (const task *t = task_table; t->name; t++) out_printf("%-16s %8d  %s\n", t->name, t->shots, t->paths);
  return 0;
}

static int unknown_task(const options *o, const char *argument, size_t length) {
  char known[512] = "";
  size_t n = 0;
  for (const task *t = task_table; t->name; t++)
    n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", t->name);
  return usage_error(o, "unknown task '%.*s'; the tasks are %s", (int)length, argument, known);
}

/* How many bytes before '=' are the name of a task, or 0 for what is none: a model. */
static size_t task_name(const char *argument) {
  size_t n = strspn(argument, "abcdefghijklmnopqrstuvwxyz0123456789-");
  return argument[n] == '=' ? n : 0;
}

static int add_task(evaluation *e, const char *argument, size_t length) {
  const options *o = e->o;
  const task *kind = task_find(argument, length);
  if (!kind) return unknown_task(o, argument, length);
  for (size_t i = 0; i < e->n_tasks; i++)
    if (e->tasks[i].data.task == kind) return usage_error(o, "%s is given twice", kind->name);
  if (!argument[length + 1]) return usage_error(o, "%s=PATH: the path is missing", kind->name);
  eval_task *t = &e->tasks[e->n_tasks++];
  bool votes = kind->chain && option_given(o, OPTION_REPEATS);
  *t = (eval_task){.repeats = votes ? o->repeats : 1,
                   .tokens = option_given(o, OPTION_PREDICT) ? o->predict : kind->tokens,
                   .temp = option_given(o, OPTION_TEMP) ? o->temp : 0.6,
                   .top_p = option_given(o, OPTION_TOP_P) ? o->top_p : 0.95};
  t->data = (eval_data){.task = kind,
                        .path = argument + length + 1,
                        .fewshot = o->fewshot,
                        .shots = option_given(o, OPTION_SHOTS) ? o->shots : kind->shots,
                        .original = o->protocol && strcmp(o->protocol, "original") == 0,
                        .split = o->split ? o->split : "test",
                        .limit = o->limit,
                        .seed = option_given(o, OPTION_SEED) ? o->seed : published_seed};
  return 0;
}

/* Options that ask of a task what it does not have. */
static int check_task(const evaluation *e, const eval_task *t) {
  const task *kind = t->data.task;
  if (t->data.original && (!kind->subjects || kind->norm))
    return usage_error(e->o, "--protocol original is there for mmlu alone, not for %s", kind->name);
  if (t->data.shots && kind->rule == EXAMPLES_NONE)
    return usage_error(e->o, "%s takes no examples (--shots)", kind->name);
  if (kind->tokens && t->tokens < 1) return usage_error(e->o, "-n: at least 1 is wanted");
  return 0;
}

static int check_options(const evaluation *e) {
  const options *o = e->o;
  bool subjects = false, votes = false, code = false;
  for (size_t i = 0; i < e->n_tasks; i++) {
    const task *kind = e->tasks[i].data.task;
    subjects |= kind->subjects;
    votes |= kind->chain;
    code |= kind->code;
    int wrong = check_task(e, &e->tasks[i]);
    if (wrong) return wrong;
  }
  if (o->split && !subjects) return usage_error(o, "--split goes with mmlu");
  if (option_given(o, OPTION_REPEATS) && !votes) return usage_error(o, "--repeats goes with gsm8k-cot");
  if (o->completions && !code) return usage_error(o, "--completions goes with humaneval");
  if (o->resume && !o->samples) return usage_error(o, "--resume goes with --samples FILE");
  if (o->samples && e->n_models > 1) return usage_error(o, "--samples takes one model at a time");
  if (o->completions && e->n_models > 1) return usage_error(o, "--completions takes one model at a time");
  if (o->dry_run && o->resume) return usage_error(o, "--dry-run computes nothing that --resume could go on with");
  if (o->batch.length > 1) return usage_error(o, "--batch: one number is wanted");
  return 0;
}

static int read_arguments(evaluation *e) {
  const options *o = e->o;
  for (int i = 0; i < o->n_arguments; i++) {
    const char *argument = o->arguments[i];
    size_t name = task_name(argument);
    int code = 0;
    if (name)
      code = add_task(e, argument, name);
    else if (e->n_tasks)
      return usage_error(o, "'%s' is no TASK=PATH; models come before tasks", argument);
    else if (e->n_models == MODELS_MOST)
      return usage_error(o, "'%s': at most %d models are compared, and a task is TASK=PATH", argument, MODELS_MOST);
    else
      e->models[e->n_models++] = argument;
    if (code) return code;
  }
  if (e->n_tasks == 0) return usage_error(o, "no TASK=PATH is given; --list lists the tasks");
  if (e->n_models == 0 && !o->dry_run) return usage_error(o, "MODEL is missing");
  return check_options(e);
}

/* ---- Models ---- */

static void settings_of(const gale_model_info *info, const gale_tokenizer *tokenizer,
                        const gale_session_options *session, eval_settings *s) {
  s->known = true;
  s->bos = gale_tokenizer_adds_bos(tokenizer) && gale_tokenizer_bos(tokenizer) >= 0;
  s->context = session->context ? session->context : info->context;
  s->window = session->window == GALE_WINDOW_NATIVE ? info->sliding_window : session->window;
}

static eval_settings settings_start(const evaluation *e) {
  return (eval_settings){.kv = e->o->kv ? e->o->kv : "f16", .seed = e->tasks[0].data.seed};
}

static eval_model model_of(const gale_model_info *info, const char *path) {
  return (eval_model){.name = info->name, .path = path, .types = info->types, .n_parameters = info->n_parameters};
}

/* What one model makes of the tasks. */
typedef struct opened {
  gale_model *model;
  gale_model_info info;
  eval_model about;
  eval_settings settings;
  runner runner;
  tally tallies[MAX_ARGUMENTS];
  eval_work work[MAX_ARGUMENTS];
  report_task tasks[MAX_ARGUMENTS];
} opened;

static int open_one(const evaluation *e, const char *path, opened *m) {
  options o = *e->o;
  o.arguments[0] = path;
  int code = open_model(&o, false, &m->model);
  if (code) return code;
  const gale_tokenizer *tokenizer = gale_model_tokenizer(m->model);
  if (!tokenizer) return fail("%s: no tokenizer, without which no text can be scored", path);
  gale_model_get_info(m->model, &m->info);
  gale_session_options session;
  open_settings(&o, &session);
  if (o.context > m->info.context)
    note(&o, "gale: %s was made for %d positions; -c is %d", m->info.name, m->info.context, o.context);
  code = runner_open(&m->runner, m->model, &session, o.batch.length ? o.batch.items[0] : LANES);
  if (code) return code;
  m->runner.share = !o.no_share;
  gale_session_get_options(m->runner.session, &session);
  m->settings = settings_start(e);
  settings_of(&m->info, tokenizer, &session, &m->settings);
  m->about = model_of(&m->info, path);
  return 0;
}

static void close_one(opened *m) {
  runner_close(&m->runner);
  gale_model_close(&m->model);
  for (size_t i = 0; i < MAX_ARGUMENTS; i++) tally_free(&m->tallies[i]);
}

static int open_samples(const evaluation *e, const eval_model *about, const eval_settings *settings,
                        samples_file *samples) {
  if (!e->o->samples) return 0;
  byte_list header = {0};
  samples_header(&header, about, settings, e->tasks, e->n_tasks);
  int code = header.failed ? fail_memory()
                           : samples_file_open(samples, e->o->samples, e->o->resume, (slice){header.bytes, header.n});
  free(header.bytes);
  return code;
}

/* Lines of the file that no item was left for. */
static int check_all_taken(samples_file *samples) {
  slice line;
  bool found = false;
  int code = samples->fd >= 0 ? samples_file_take(samples, &line, &found) : 0;
  if (!code && found) return source_fail(&samples->old, samples->at.line, "more samples than the tasks have items");
  return code;
}

static int compute_all(const evaluation *e, opened *m, samples_file *samples, FILE *completions) {
  progress shown;
  progress_start(&shown, e->o);
  int code = 0;
  for (size_t i = 0; !code && i < e->n_tasks; i++) {
    const eval_task *t = &e->tasks[i];
    m->tallies[i] = (tally){.task = t->data.task, .repeats = t->repeats};
    code = compute_task(t, &m->runner, m->settings.context, samples, completions, &shown, &m->tallies[i], &m->work[i]);
    m->tasks[i] = (report_task){.path = t->data.path,
                                .protocol = slice_of(protocol_of(t)),
                                .shots = t->data.shots,
                                .tokens = t->data.task->tokens ? t->tokens : 0,
                                .temp = t->temp,
                                .top_p = t->top_p,
                                .tally = &m->tallies[i],
                                .work = &m->work[i]};
  }
  return code ? code : check_all_taken(samples);
}

static int run_one(const evaluation *e, const char *path, opened *m) {
  samples_file samples = {.fd = -1};
  FILE *completions = NULL;
  int code = open_one(e, path, m);
  if (!code) code = open_samples(e, &m->about, &m->settings, &samples);
  if (!code && e->o->completions && !(completions = fopen(e->o->completions, "wb")))
    code = fail("%s: the file cannot be written", e->o->completions);
  if (!code) code = compute_all(e, m, &samples, completions);
  if (completions && fclose(completions) != 0 && !code)
    code = fail("%s: the file cannot be written", e->o->completions);
  samples_file_close(&samples);
  return code;
}

static int run_all(const evaluation *e) {
  opened *models = calloc(MODELS_MOST, sizeof *models);
  if (!models) return fail_memory();
  report reports[MODELS_MOST];
  int code = 0;
  for (int i = 0; !code && i < e->n_models; i++) {
    code = run_one(e, e->models[i], &models[i]);
    reports[i] = (report){
        .model = &models[i].about, .settings = &models[i].settings, .tasks = models[i].tasks, .n_tasks = e->n_tasks};
  }
  if (!code && e->n_models > 1)
    code = e->o->json ? report_compare_json(reports) : report_compare(reports, e->o->verbose);
  else if (!code)
    code = e->o->json ? report_print_json(&reports[0]) : report_print(&reports[0], e->o->verbose);
  for (int i = 0; i < MODELS_MOST; i++) close_one(&models[i]);
  free(models);
  return code;
}

/* ---- Without computing ---- */

/* What a model's files say, without weights; a tokenizer's file alone will do. */
typedef struct described {
  gale_model *model;
  gale_tokenizer *alone;
  const gale_tokenizer *tokenizer; /* NULL: none is known */
  eval_model about;
  eval_settings settings;
} described;

static int describe(const evaluation *e, described *d) {
  d->settings = settings_start(e);
  if (e->n_models == 0) return 0;
  options o = *e->o;
  o.arguments[0] = e->models[0];
  o.quiet = true;
  gale_error error = {0};
  gale_model_info info;
  if (gale_tokenizer_open(e->models[0], &d->alone, &error) == GALE_OK) d->tokenizer = d->alone;
  gale_model_options wanted;
  gale_model_defaults(&wanted);
  wanted.metadata_only = true;
  bool file_alone = d->alone && gale_model_open(e->models[0], &wanted, &d->model, &error) != GALE_OK;
  if (file_alone) return 0;
  int code = d->model ? 0 : open_model(&o, true, &d->model);
  if (code) return code;
  gale_model_get_info(d->model, &info);
  d->about = model_of(&info, e->models[0]);
  if (!d->tokenizer) d->tokenizer = gale_model_tokenizer(d->model);
  if (!d->tokenizer) return 0;
  gale_session_options session;
  open_settings(&o, &session);
  settings_of(&info, d->tokenizer, &session, &d->settings);
  return 0;
}

/* How many examples stand before an item. */
static int shots_before(const described *d, const eval_task *t, int32_t item, int32_t *shots) {
  *shots = t->data.shots;
  if (!t->data.original || !d->settings.known) return 0;
  item_inputs inputs;
  gale_error error = {0};
  if (inputs_make(t, item, d->tokenizer, d->settings.context, &inputs, &error)) return fail_with(&error);
  *shots = inputs.shots;
  inputs_free(&inputs);
  return 0;
}

static int write_line(samples_file *samples, byte_list *line) {
  int code = 0;
  if (line->failed)
    code = fail_memory();
  else if (samples->fd >= 0)
    code = samples_file_write(samples, (slice){line->bytes, line->n});
  else {
    bytes_add(line, SLICE("\n"));
    if (!out_write(line->bytes, line->n)) code = EXIT_INPUT;
  }
  free(line->bytes);
  return code;
}

static int write_items(const evaluation *e, const described *d, samples_file *samples) {
  int code = 0;
  for (size_t i = 0; !code && i < e->n_tasks; i++) {
    const eval_task *t = &e->tasks[i];
    for (int32_t k = 0; !code && k < t->data.items.n; k++) {
      byte_list line = {0};
      int32_t shots;
      if (signals_caught()) return signals_exit_status();
      code = shots_before(d, t, k, &shots);
      if (code) break;
      samples_item(&line, t, k, shots);
      bytes_add(&line, SLICE("}"));
      code = write_line(samples, &line);
    }
  }
  return code;
}

static int dry_run(const evaluation *e) {
  described d = {0};
  samples_file samples = {.fd = -1};
  int code = describe(e, &d);
  const eval_model *about = d.about.name ? &d.about : NULL;
  if (!code) code = open_samples(e, about, &d.settings, &samples);
  if (!code && samples.fd < 0) {
    byte_list header = {0};
    samples_header(&header, about, &d.settings, e->tasks, e->n_tasks);
    code = write_line(&samples, &header);
  }
  if (!code) code = write_items(e, &d, &samples);
  samples_file_close(&samples);
  gale_tokenizer_close(&d.alone);
  gale_model_close(&d.model);
  return code;
}

static int score_again(const options *o) {
  saved_samples *saved = calloc(1, sizeof *saved);
  report_task tasks[sizeof saved->tasks / sizeof *saved->tasks];
  if (!saved) return fail_memory();
  int code = rescore_read(saved, o->rescore);
  for (size_t i = 0; !code && i < saved->n_tasks; i++)
    tasks[i] = (report_task){.protocol = saved->tasks[i].protocol,
                             .shots = saved->tasks[i].shots,
                             .temp = NAN,
                             .top_p = NAN,
                             .tally = &saved->tasks[i].tally};
  report r = {.model_json = saved->model, .settings_json = saved->settings, .tasks = tasks, .n_tasks = saved->n_tasks};
  if (!code) code = o->json ? report_print_json(&r) : report_print(&r, o->verbose);
  rescore_close(saved);
  free(saved);
  return code;
}

/* ---- The command ---- */

int eval_main(const options *o) {
  if ((o->list || o->rescore) && o->n_arguments)
    return usage_error(o, "unexpected argument '%s' beside --%s", o->arguments[0], o->list ? "list" : "rescore");
  if (o->list) return list_tasks();
  if (o->rescore) return score_again(o);
  evaluation *e = calloc(1, sizeof *e);
  if (!e) return fail_memory();
  e->o = o;
  int code = read_arguments(e);
  /* All files are read before anything is computed. */
  for (size_t i = 0; !code && i < e->n_tasks; i++) code = data_open(&e->tasks[i].data);
  if (!code) code = o->dry_run ? dry_run(e) : run_all(e);
  for (size_t i = 0; i < e->n_tasks; i++) data_close(&e->tasks[i].data);
  free(e);
  return code;
}
