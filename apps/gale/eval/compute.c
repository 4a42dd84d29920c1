#include "gale/eval/compute.h"

#include "gale/eval/answers.h"
#include "gale/eval/inputs.h"

#include "base/random.h"

#include <stdlib.h>
#include <string.h>

enum {
  /* Items are computed in blocks of so many ids, so that memory is bounded; those of a block share all that they can.
   */
  BLOCK_IDS = 1 << 24,
  BLOCK_ITEMS = 1 << 20,
  ENCODED_TOGETHER = 256,
};

/* What is known of an item of the block. */
typedef struct pending {
  item_inputs inputs;
  int32_t left; /* requests that are not done */
} pending;

typedef struct computation {
  const eval_task *t;
  runner *r;
  const gale_tokenizer *tokenizer;
  int32_t context;
  samples_file *samples;
  FILE *completions;
  progress *shown;
  tally *to;
  eval_work *work;
  pending *block;
  int32_t first, n;   /* items of the block */
  int32_t next;       /* the first item that is not in the tally */
  gale_error *errors; /* [ENCODED_TOGETHER] */
  double start, last_shown;
  int64_t done_ids, all_ids; /* of the block's inputs, for the time left */
} computation;

/* ---- Items that are done ---- */

static int add_completion(const computation *c, int32_t item, const outcome *o) {
  byte_list line = {0};
  bytes_add(&line, SLICE("{\"task_id\": "));
  bytes_add(&line, c->t->data.items.items[item].id);
  bytes_add(&line, SLICE(", \"completion\": "));
  bytes_add_string(&line, o->responses[0]);
  bytes_add(&line, SLICE("}\n"));
  int code = line.failed ? fail_memory() : 0;
  if (!code && (fwrite(line.bytes, 1, line.n, c->completions) != line.n || fflush(c->completions)))
    code = fail("--completions: the file cannot be written");
  free(line.bytes);
  return code;
}

/* Scores an item and adds it to the tally; the line of it is made in `line` if there is a file. */
static int score(const computation *c, int32_t index, const outcome *o, byte_list *line) {
  const eval_item *item = &c->t->data.items.items[index];
  slice *votes = calloc((size_t)c->t->repeats, sizeof *votes);
  if (!votes) return fail_memory();
  scores s = score_item(c->t->data.task, item, c->t->repeats, o, votes);
  if (c->samples->fd >= 0) {
    samples_item(line, c->t, index, o->shots);
    samples_outcome(line, c->t, item, o, &s, votes);
  }
  free(votes);
  if (line->failed || !tally_add(c->to, item->subject, s.values, o->truncated)) return fail_memory();
  return c->completions && c->t->data.task->code ? add_completion(c, index, o) : 0;
}

/* The item's outcome, as its requests have it; texts are the requests'. */
static int gather(const pending *p, outcome *o) {
  size_t n = (size_t)p->inputs.n;
  *o = (outcome){.tokens = p->inputs.tokens, .shots = p->inputs.shots, .truncated = p->inputs.truncated};
  o->loglikelihoods = calloc(n, sizeof *o->loglikelihoods);
  o->responses = calloc(n, sizeof *o->responses);
  if (!o->loglikelihoods || !o->responses) return fail_memory();
  for (size_t i = 0; i < n; i++) {
    const request *r = &p->inputs.requests[i];
    o->loglikelihoods[i] = r->sum;
    o->responses[i] = (slice){r->text.bytes ? r->text.bytes : "", r->text.n};
  }
  return 0;
}

static void forget(pending *p) {
  for (int32_t i = 0; i < p->inputs.n; i++) free(p->inputs.requests[i].text.bytes);
  inputs_free(&p->inputs);
}

static int write_item(const computation *c, int32_t index, const pending *p) {
  outcome o;
  byte_list line = {0};
  int code = gather(p, &o);
  if (!code) code = score(c, index, &o, &line);
  if (!code && c->samples->fd >= 0) code = samples_file_write(c->samples, (slice){line.bytes, line.n});
  free(o.loglikelihoods);
  free(o.responses);
  free(line.bytes);
  return code;
}

static void show_progress(computation *c) {
  double now = seconds_now();
  if (!c->shown->shown || c->to->n == 0 || now - c->last_shown < 0.25) return;
  c->last_shown = now;
  char names[METRICS_MOST][20];
  int32_t n = metrics_of(c->t->data.task, c->t->repeats, names), all = c->t->data.items.n;
  double sum = 0;
  for (int32_t i = 0; n && i < c->to->n; i++) sum += c->to->values[0][i];
  fprintf(stderr, "\r\033[K%s %d/%d", c->t->data.task->name, c->to->n, all);
  if (n) fprintf(stderr, ", %s %.1f%%", names[0], 100 * sum / c->to->n);
  if (c->done_ids) {
    /* Of this block; of those behind it by their number. */
    double block = (now - c->start) * (double)(c->all_ids - c->done_ids) / (double)c->done_ids;
    double later =
        (now - c->start) * (double)(all - c->first - c->n) / (double)c->n * (double)c->all_ids / (double)c->done_ids;
    fprintf(stderr, ", %.0f s left", block + later);
  }
}

/* A request is done: items are written as soon as all before them are. */
static int take_done(void *user, request *r) {
  computation *c = user;
  pending *p = &c->block[r->item - c->first];
  if (r->answer) {
    r->text.n = answer_end((slice){r->text.bytes, r->text.n}, c->t->data.task->stops);
    c->work->generated_tokens += r->n_generated;
  }
  c->done_ids += r->n;
  p->left--;
  int code = 0;
  while (!code && c->next < c->first + c->n && c->block[c->next - c->first].left == 0) {
    code = write_item(c, c->next, &c->block[c->next - c->first]);
    c->next++;
  }
  show_progress(c);
  return code;
}

/* ---- Blocks ---- */

typedef struct encoding {
  computation *c;
  int32_t first, n;
} encoding;

static void encode_some(void *argument, team_worker *w) {
  encoding *e = argument;
  computation *c = e->c;
  for (int64_t i; (i = team_take(w, 1)) < e->n;) {
    c->errors[i] = (gale_error){0};
    inputs_make(c->t, e->first + (int32_t)i, c->tokenizer, c->context, &c->block[e->first + i - c->first].inputs,
                &c->errors[i]);
  }
  team_barrier(w);
}

/* Makes the inputs of the next block. */
static int encode_block(computation *c) {
  int32_t left = c->t->data.items.n - c->first, most = left < BLOCK_ITEMS ? left : BLOCK_ITEMS;
  c->block = calloc((size_t)most, sizeof *c->block);
  if (!c->block) return fail_memory();
  c->all_ids = c->done_ids = 0;
  for (c->n = 0; c->n < most && c->all_ids < BLOCK_IDS;) {
    if (signals_caught()) return signals_exit_status();
    encoding e = {c, c->first + c->n, most - c->n < ENCODED_TOGETHER ? most - c->n : ENCODED_TOGETHER};
    team_run(c->r->team, encode_some, &e);
    for (int32_t i = 0; i < e.n; i++) {
      pending *p = &c->block[c->n++];
      p->left = p->inputs.n;
      for (int32_t k = 0; k < p->inputs.n; k++) c->all_ids += p->inputs.requests[k].n;
    }
    for (int32_t i = 0; i < e.n; i++)
      if (c->errors[i].code) return fail_with(&c->errors[i]);
  }
  return 0;
}

/* All requests of the block in one list, which the items then own parts of. */
static int compute_block(computation *c) {
  size_t n = 0, at = 0;
  for (int32_t i = 0; i < c->n; i++) n += (size_t)c->block[i].inputs.n;
  request *all = n <= INT32_MAX / 4 ? malloc((n + 1) * sizeof *all) : NULL;
  if (!all) return fail_memory();
  for (int32_t i = 0; i < c->n; i++) {
    item_inputs *inputs = &c->block[i].inputs;
    memcpy(all + at, inputs->requests, (size_t)inputs->n * sizeof *all);
    free(inputs->requests);
    inputs->requests = all + at;
    at += (size_t)inputs->n;
    c->work->prompt_tokens += inputs->prompt_tokens;
  }
  int64_t before = c->r->computed;
  int code = runner_run(c->r, all, (int32_t)n);
  c->work->computed_tokens += c->r->computed - before;
  for (size_t i = 0; i < n; i++) {
    free((int32_t *)all[i].ids);
    free(all[i].text.bytes);
  }
  for (int32_t i = 0; i < c->n; i++) {
    free(c->block[i].inputs.tokens);
    c->block[i] = (pending){0};
  }
  free(all);
  return code;
}

static int next_block(computation *c) {
  c->start = seconds_now();
  int code = encode_block(c);
  if (!code) code = compute_block(c);
  /* What was encoded and not computed. */
  for (int32_t i = 0; c->block && i < c->n; i++)
    if (c->block[i].inputs.requests) forget(&c->block[i]);
  free(c->block);
  c->block = NULL;
  c->first += c->n;
  return code;
}

/* ---- Items that a file has ---- */

/* How many examples an item's line was made with, where some were dropped. */
static int32_t shots_of_line(const computation *c, int32_t index, slice text) {
  int32_t shots = c->t->data.shots;
  for (bool same = false; !same && shots > 0; shots -= !same) {
    byte_list begin = {0};
    samples_item(&begin, c->t, index, shots);
    same = !begin.failed && begin.n <= text.n && memcmp(begin.bytes, text.s, begin.n) == 0;
    free(begin.bytes);
  }
  return shots;
}

/* The line must be what would be written of the item. */
static int take_line(const computation *c, int32_t index, slice text) {
  const eval_item *item = &c->t->data.items.items[index];
  arena memory = {0};
  outcome o = {0};
  byte_list line = {0};
  const source *old = &c->samples->old;
  size_t number = c->samples->at.line;
  int code = samples_read(old, number, text, c->t->data.task, item->n_choices, c->t->repeats, &memory, &o);
  o.shots = c->t->data.shots;
  if (!code && o.truncated && c->t->data.original) o.shots = shots_of_line(c, index, text);
  if (!code) code = score(c, index, &o, &line);
  if (!code && !slice_equal(text, (slice){line.bytes, line.n}))
    code = source_fail(old, number, "not a sample of this run's data: item %d of %s was expected", item->index,
                       c->t->data.task->name);
  free(line.bytes);
  arena_free(&memory);
  return code;
}

static int take_lines(computation *c) {
  bool found = c->samples->fd >= 0;
  int code = 0;
  while (!code && found && c->first < c->t->data.items.n) {
    slice line;
    code = samples_file_take(c->samples, &line, &found);
    if (!code && found) code = take_line(c, c->first++, line);
  }
  c->next = c->first;
  return code;
}

static uint64_t seed_of(const request *r, uint64_t seed) {
  return random_for(seed, (uint64_t)r->item, (uint64_t)r->slot);
}

static void set_runner(runner *r, const eval_task *t, computation *c) {
  gale_sampler_defaults(&r->sampling);
  r->sampling.temperature = t->repeats > 1 ? t->temp : 0;
  r->sampling.top_p = t->repeats > 1 ? t->top_p : 1;
  r->sampling.top_k = 0;
  r->sampling.min_p = 0;
  r->max_tokens = t->tokens;
  r->stops = t->data.task->stops;
  r->seed = seed_of;
  r->base_seed = t->data.seed;
  r->done = take_done;
  r->user = c;
}

int compute_task(const eval_task *t, runner *r, int32_t context, samples_file *samples, FILE *completions,
                 progress *shown, tally *to, eval_work *work) {
  computation c = {.t = t,
                   .r = r,
                   .tokenizer = gale_model_tokenizer(r->model),
                   .context = context,
                   .samples = samples,
                   .completions = completions,
                   .shown = shown,
                   .to = to,
                   .work = work};
  double start = seconds_now();
  c.errors = calloc(ENCODED_TOGETHER, sizeof *c.errors);
  int code = c.errors ? take_lines(&c) : fail_memory();
  set_runner(r, t, &c);
  while (!code && c.first < t->data.items.n) code = next_block(&c);
  if (shown->shown) fputs("\r\033[K", stderr);
  free(c.errors);
  work->seconds = seconds_now() - start;
  return code;
}
