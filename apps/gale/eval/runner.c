/* The prefix tree is walked from its root, children in their order. A node that is being computed has a lane with a
 * sequence, which is a fork of its parent's, or, for the last child, the parent's own. A node's sequence is kept until
 * its last child has begun. An answer is one more child of the node where its prompt ends. */
#include "gale/eval/runner.h"

#include "gale/cli/console.h"
#include "gale/eval/logits.h"
#include "gale_tools.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

enum { PAGE = 64 };

/* One sequence at work: first up to `stop` along the ids of a request, then, for an answer, token by token. */
typedef struct lane {
  int32_t sequence;
  int32_t request; /* whose ids they are */
  int32_t node;    /* that is computed; -1: an answer */
  int32_t at, stop;
  int32_t scored;          /* positions from here on give rows */
  int32_t token;           /* an answer's next one */
  int32_t n_input;         /* in this step: tokens, 0 if it has no part in it, */
  gale_logits_wanted rows; /* and the rows they give */
} lane;

/* A node: its sequence, once it is computed, and how many are still to be forked off it. An answer: what it is made by,
 * and its first token. */
typedef struct node_state {
  int32_t sequence; /* -1: not there */
  int32_t left;
} node_state;

typedef struct answer_state {
  gale_generation *generation;
  int32_t token;
} answer_state;

typedef struct row_sum {
  const float *logits;
  double sum;
} row_sum;

typedef struct run {
  runner *r;
  request *requests;
  tree tree;
  node_state *nodes;
  answer_state *answers; /* [n requests] */
  lane *lanes;
  int32_t n_lanes;
  gale_input *inputs;
  row_sum *rows; /* [chunk] */
  int32_t n_rows;
  /* What can begin, last in first out: a node, or ~request for an answer. */
  int32_t *ready;
  int32_t n_ready, n_sequences;
} run;

/* ---- Sequences ---- */

static int close_sequence(run *w, int32_t *sequence) {
  gale_error error = {0};
  if (*sequence < 0) return 0;
  if (gale_sequence_close(w->r->session, *sequence, &error)) return fail_with(&error);
  *sequence = -1;
  w->n_sequences--;
  return 0;
}

/* The node that a unit goes on from, and the nearest above it that has a sequence, or the root. */
static int32_t source_of_unit(const run *w, int32_t unit) {
  return unit >= 0 ? w->tree.nodes[unit].parent : w->requests[~unit].node;
}
static int32_t computed_above(const run *w, int32_t node) {
  while (node > 0 && w->nodes[node].sequence < 0) node = w->tree.nodes[node].parent;
  return node;
}

/* A sequence for a unit: it has what node `from` ends. */
static int take_sequence(run *w, int32_t unit, int32_t from, int32_t *sequence) {
  gale_error error = {0};
  int32_t above = source_of_unit(w, unit);
  node_state *state = &w->nodes[above];
  bool last = --state->left == 0 && from == above && from > 0;
  if (last) {
    *sequence = state->sequence;
    state->sequence = -1;
    return 0;
  }
  gale_status status = from > 0 ? gale_sequence_fork(w->r->session, w->nodes[from].sequence, sequence, &error)
                                : gale_sequence_open(w->r->session, sequence, &error);
  if (status) return fail_with(&error);
  w->n_sequences++;
  return 0;
}

/* ---- Room ---- */

static uint64_t bytes_for(const run *w, int64_t tokens) {
  /* The last page and the first, which may be a copy. */
  return (uint64_t)(tokens / PAGE + 2) * w->r->page_bytes;
}

static int64_t tokens_of_unit(const run *w, int32_t unit, int32_t from) {
  int32_t stop = unit >= 0 ? w->tree.nodes[unit].end : w->requests[~unit].n;
  return (int64_t)stop - w->tree.nodes[from].end + (unit < 0 ? w->r->max_tokens : 0);
}

/* Whether the unit can begin and all that has begun can still end. */
static bool has_room(const run *w, int32_t unit, int32_t from) {
  gale_session_stats stats;
  gale_session_get_stats(w->r->session, &stats);
  uint64_t need = bytes_for(w, tokens_of_unit(w, unit, from));
  for (int32_t i = 0; i < w->n_lanes; i++) {
    const lane *l = &w->lanes[i];
    need += bytes_for(w, (int64_t)l->stop - l->at + (l->node < 0 ? w->r->max_tokens : 0));
  }
  return w->n_sequences < w->r->max_sequences && stats.kv_page_bytes + need <= w->r->budget;
}

/* Gives up what is kept for others than this node; it is computed again when it is needed. */
static int evict(run *w, int32_t but) {
  int code = 0;
  for (int32_t v = 1; !code && v < w->tree.n_nodes; v++)
    if (v != but) code = close_sequence(w, &w->nodes[v].sequence);
  return code;
}

/* ---- Beginning ---- */

static int begin(run *w, int32_t unit) {
  int32_t from = computed_above(w, source_of_unit(w, unit));
  const tree_node *node = unit >= 0 ? &w->tree.nodes[unit] : NULL;
  lane l = {.node = unit >= 0 ? unit : -1, .request = node ? node->request : ~unit, .at = w->tree.nodes[from].end};
  l.stop = node ? node->end : w->requests[l.request].n;
  /* Rows before the node's own positions were taken when they were computed first. */
  l.scored = node && node->scored < node->end ? node->scored : INT32_MAX;
  if (!node) l.token = w->answers[l.request].token;
  int code = take_sequence(w, unit, from, &l.sequence);
  if (!code) w->lanes[w->n_lanes++] = l;
  return code;
}

static int begin_what_fits(run *w) {
  int code = 0;
  while (!code && w->n_ready && w->n_lanes < w->r->lanes) {
    int32_t unit = w->ready[w->n_ready - 1], from = computed_above(w, source_of_unit(w, unit));
    if (!has_room(w, unit, from)) {
      if (w->n_lanes) break;
      code = evict(w, from);
      if (code) break;
    }
    w->n_ready--;
    code = begin(w, unit);
  }
  return code;
}

/* ---- A step ---- */

/* How many tokens of a prompt come next: up to the first row that counts, then all others. */
static void plan_prompt(lane *l, int32_t room) {
  int32_t end = l->stop, left;
  bool before = l->at <= l->scored && l->scored < l->stop;
  if (before) end = l->scored + 1;
  left = end - l->at;
  l->n_input = left < room ? left : room;
  if (!before)
    l->rows = l->at > l->scored ? GALE_LOGITS_ALL : GALE_LOGITS_NONE;
  else
    l->rows = l->n_input == left ? GALE_LOGITS_LAST : GALE_LOGITS_NONE;
}

/* Answers go first, since each waits for its own last token only. */
static size_t plan(run *w) {
  int32_t room = w->r->chunk;
  size_t n = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int32_t i = 0; i < w->n_lanes; i++) {
      lane *l = &w->lanes[i];
      bool next_token = l->at >= l->stop;
      if (next_token != (pass == 0)) continue;
      l->n_input = 0;
      if (room == 0) continue;
      if (next_token) {
        l->n_input = 1;
        l->rows = GALE_LOGITS_LAST;
      } else
        plan_prompt(l, room);
      room -= l->n_input;
      w->inputs[n++] =
          (gale_input){l->sequence, next_token ? &l->token : w->requests[l->request].ids + l->at, l->n_input, l->rows};
    }
  return n;
}

/* The row of a position that the step computed, or -1. */
static int32_t row_of(const lane *l, int32_t i) {
  if (l->rows == GALE_LOGITS_ALL) return i;
  return l->rows == GALE_LOGITS_LAST && i == l->n_input - 1 ? 0 : -1;
}

static void sum_rows(void *argument, team_worker *worker) {
  run *w = argument;
  for (int64_t i; (i = team_take(worker, 1)) < w->n_rows;)
    w->rows[i].sum = logits_sum(w->rows[i].logits, w->r->vocab_size);
  team_barrier(worker);
}

/* All rows of prompts, summed together. */
static int sum_logits(run *w) {
  w->n_rows = 0;
  for (int32_t i = 0; i < w->n_lanes; i++) {
    const lane *l = &w->lanes[i];
    for (int32_t k = 0; l->node >= 0 && k < l->n_input; k++) {
      int32_t row = row_of(l, k);
      if (row < 0) continue;
      const float *logits = gale_logits(w->r->session, l->sequence, (size_t)row);
      if (!logits) return fail("the step left no logits");
      w->rows[w->n_rows++] = (row_sum){.logits = logits};
    }
  }
  if (w->n_rows) team_run(w->r->team, sum_rows, w);
  for (int32_t i = 0; i < w->n_rows; i++)
    if (!isfinite(w->rows[i].sum)) return fail("the model gave logits that are not finite");
  return 0;
}

/* The row at position p counts for every request that comes through the lane's node and is scored there. */
static void add_row(run *w, const lane *l, int32_t p, const row_sum *row) {
  const tree_node *node = &w->tree.nodes[l->node];
  for (int32_t i = node->low; i < node->high; i++) {
    request *r = &w->requests[w->tree.order[i]];
    if (!r->answer && r->first <= p && p < r->n) r->sum += (double)row->logits[r->ids[p + 1]] - row->sum;
  }
}

/* ---- Answers ---- */

static int take_text(request *r, gale_generation *g) {
  for (const gale_piece *piece; (piece = gale_generation_next(g));)
    bytes_add(&r->text, (slice){piece->text, piece->length});
  return r->text.failed ? fail_memory() : 0;
}

/* Takes an answer's next token from the row that a sequence has. *ended says whether it was the last. */
static int take_token(run *w, int32_t index, int32_t sequence, int32_t *token, bool *ended) {
  request *r = &w->requests[index];
  answer_state *a = &w->answers[index];
  gale_error error = {0};
  if (gale_generation_take(a->generation, w->r->session, sequence, 0, token, &error)) return fail_with(&error);
  w->r->generated++;
  r->n_generated++;
  int code = take_text(r, a->generation);
  gale_generation_result result;
  gale_generation_get_result(a->generation, &result);
  *ended = result.finish != GALE_FINISH_NONE;
  if (code || !*ended) return code;
  gale_generation_close(&a->generation);
  return w->r->done(w->r->user, r);
}

static int open_answer(run *w, int32_t index) {
  runner *r = w->r;
  gale_generation_options wanted;
  gale_generation_defaults(&wanted);
  gale_sampler_options sampling = r->sampling;
  sampling.seed = r->seed(&w->requests[index], r->base_seed);
  size_t n_stop = 0;
  while (r->stops[n_stop]) n_stop++;
  wanted.sampling = &sampling;
  wanted.stop = r->stops;
  wanted.n_stop = n_stop;
  wanted.max_tokens = r->max_tokens;
  gale_error error = {0};
  return gale_generation_open(r->model, NULL, &wanted, &w->answers[index].generation, &error) ? fail_with(&error) : 0;
}

/* ---- Ending ---- */

/* A node's children can begin. Of what became ready from `ready` on the first is to be taken first. */
static void add_children(run *w, int32_t node, int32_t ready) {
  for (int32_t v = w->tree.nodes[node].child; v >= 0; v = w->tree.nodes[v].sibling) w->ready[w->n_ready++] = v;
  for (int32_t a = ready, b = w->n_ready - 1; a < b; a++, b--) {
    int32_t other = w->ready[a];
    w->ready[a] = w->ready[b];
    w->ready[b] = other;
  }
}

/* Requests that end at the node are done, or begin their answers; then its children can begin. */
static int end_node(run *w, const lane *l) {
  const tree_node *node = &w->tree.nodes[l->node];
  node_state *state = &w->nodes[l->node];
  *state = (node_state){.sequence = l->sequence, .left = node->n_children};
  int32_t ready = w->n_ready;
  int code = 0;
  for (int32_t r = node->ends; !code && r >= 0; r = w->requests[r].next) {
    if (!w->requests[r].answer) {
      code = w->r->done(w->r->user, &w->requests[r]);
      continue;
    }
    bool ended = false;
    code = open_answer(w, r);
    if (!code) code = take_token(w, r, l->sequence, &w->answers[r].token, &ended);
    if (code || ended) continue;
    w->ready[w->n_ready++] = ~r;
    state->left++;
  }
  add_children(w, l->node, ready);
  return code || state->left ? code : close_sequence(w, &state->sequence);
}

/* After a step: scores, positions, and what has ended. */
static int advance(run *w) {
  int code = sum_logits(w);
  int32_t row = 0, kept = 0;
  for (int32_t i = 0; !code && i < w->n_lanes; i++) {
    lane l = w->lanes[i];
    bool ended = false;
    for (int32_t k = 0; l.node >= 0 && k < l.n_input; k++)
      if (row_of(&l, k) >= 0) add_row(w, &l, l.at + k, &w->rows[row++]);
    bool next_token = l.node < 0 && l.at >= l.stop && l.n_input;
    if (!next_token) w->r->computed += l.n_input;
    l.at += l.n_input;
    l.n_input = 0;
    if (next_token) {
      code = take_token(w, l.request, l.sequence, &l.token, &ended);
      if (!code && ended) code = close_sequence(w, &l.sequence);
    } else if (l.node >= 0 && l.at == l.stop) {
      code = end_node(w, &l);
      ended = true;
    }
    if (!ended) w->lanes[kept++] = l;
  }
  if (!code) w->n_lanes = kept;
  return code;
}

static int compute(run *w) {
  gale_error error = {0};
  int code = 0;
  add_children(w, 0, 0);
  while (!code && (w->n_ready || w->n_lanes)) {
    if (signals_caught()) return signals_exit_status();
    code = begin_what_fits(w);
    if (code) break;
    size_t n = plan(w);
    if (gale_step(w->r->session, w->inputs, n, &error)) return fail_with(&error);
    code = advance(w);
  }
  return code;
}

static void end_run(run *w, int32_t n) {
  gale_error error;
  for (int32_t i = 0; w->lanes && i < w->n_lanes; i++)
    if (w->lanes[i].sequence >= 0) gale_sequence_close(w->r->session, w->lanes[i].sequence, &error);
  for (int32_t v = 1; w->nodes && v < w->tree.n_nodes; v++)
    if (w->nodes[v].sequence >= 0) gale_sequence_close(w->r->session, w->nodes[v].sequence, &error);
  for (int32_t i = 0; w->answers && i < n; i++) gale_generation_close(&w->answers[i].generation);
  free(w->nodes);
  free(w->answers);
  free(w->lanes);
  free(w->inputs);
  free(w->rows);
  free(w->ready);
  tree_free(&w->tree);
}

int runner_run(runner *r, request *requests, int32_t n) {
  run w = {.r = r, .requests = requests};
  if (n == 0) return 0;
  if (!tree_make(&w.tree, requests, n, r->share)) return fail_memory();
  size_t nodes = (size_t)w.tree.n_nodes;
  w.nodes = calloc(nodes, sizeof *w.nodes);
  w.answers = calloc((size_t)n, sizeof *w.answers);
  w.lanes = calloc((size_t)r->lanes, sizeof *w.lanes);
  w.inputs = calloc((size_t)r->lanes, sizeof *w.inputs);
  w.rows = calloc((size_t)r->chunk, sizeof *w.rows);
  w.ready = calloc(nodes + (size_t)n, sizeof *w.ready);
  bool ok = w.nodes && w.answers && w.lanes && w.inputs && w.rows && w.ready;
  for (size_t v = 0; w.nodes && v < nodes; v++) w.nodes[v] = (node_state){-1, 0};
  if (ok) w.nodes[0].left = w.tree.nodes[0].n_children + 1;
  int code = ok ? compute(&w) : fail_memory();
  end_run(&w, n);
  return code;
}

/* ---- Opening ---- */

int runner_open(runner *r, const gale_model *model, const gale_session_options *settings, int32_t lanes) {
  gale_session_options wanted = *settings;
  gale_error error = {0};
  gale_model_info info;
  gale_model_get_info(model, &info);
  wanted.max_sequences = 2 * lanes + 128;
  if (gale_session_open(model, &wanted, &r->session, &error)) return fail_with(&error);
  gale_session_get_options(r->session, &wanted);
  r->model = model;
  r->vocab_size = info.vocab_size;
  r->lanes = lanes;
  r->chunk = wanted.chunk;
  r->max_sequences = wanted.max_sequences;
  r->budget = wanted.kv_bytes;
  r->page_bytes = gale_kv_bytes(model, wanted.kv_type, PAGE, GALE_WINDOW_NONE, true);
  if (team_open(wanted.threads, wanted.give_way, &r->team, &error)) return fail_with(&error);
  return 0;
}

void runner_close(runner *r) {
  team_close(&r->team);
  gale_session_close(&r->session);
}
