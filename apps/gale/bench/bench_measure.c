/* Measuring one test of gale bench. */
#include "gale/bench/bench.h"
#include "gale/bench/series.h"
#include "gale/cli/console.h"
#include "gale/cli/opening.h"

#include <stdlib.h>
#include <string.h>

/* Seconds for which a probe holds: runs that are over sooner share one. */
enum { PROBE_AGE = 1 };

/* A test at work. */
typedef struct work {
  const bench_test *test;
  gale_session *session;
  int32_t chunk;
  int32_t *sequences; /* [batch] */
  gale_input *inputs; /* [batch] */
  int32_t *tokens;    /* [test->tokens] */
  size_t *probes;     /* [repetitions] how many there were before each run that counts */
} work;

/* ---- Limits ---- */

static double larger(double a, double b) {
  return a > b ? a : b;
}
static double smaller(double a, double b) {
  return a < b ? a : b;
}

static gale_rates chosen(gale_rates a, gale_rates b, double (*choose)(double, double)) {
  return (gale_rates){choose(a.read_bytes_per_second, b.read_bytes_per_second),
                      choose(a.int8_ops_per_second, b.int8_ops_per_second),
                      choose(a.float_ops_per_second, b.float_ops_per_second)};
}

static void take_better(gale_limits *l, const gale_limits *other) {
  l->best = chosen(l->best, other->best, larger);
  l->sustained = chosen(l->sustained, other->sustained, larger);
}

int bench_add_probe(bench_report *b, gale_probe *probe) {
  gale_limits *more = realloc(b->probes, (b->n_probes + 1) * sizeof *more);
  if (!more) return fail_memory();
  b->probes = more;
  gale_limits *p = &more[b->n_probes];
  gale_probe_run(probe, p);
  b->probed = seconds_now();
  if (b->n_probes++ == 0) {
    b->limits = *p;
    b->lowest = p->best;
  }
  take_better(&b->limits, p);
  b->lowest = chosen(b->lowest, p->best, smaller);
  return 0;
}

/* Probes again if the last time is too long ago. */
static int keep_probed(const bench_setting *s) {
  return seconds_now() - s->report->probed > (double)PROBE_AGE ? bench_add_probe(s->report, s->probe) : 0;
}

/* The better limits of probe n - 1 and of the one after it, if there is one. */
static gale_limits limits_around(const bench_report *b, size_t n) {
  gale_limits l = b->probes[n - 1];
  if (n < b->n_probes) take_better(&l, &b->probes[n]);
  return l;
}

/* What the whole test must read and compute at least. */
static gale_cost whole_cost(const work *w) {
  const bench_test *t = w->test;
  int32_t step = t->kind == BENCH_DECODE ? 1 : w->chunk;
  gale_cost sum = {0};
  for (int32_t at = 0; at < t->tokens; at += step) {
    gale_cost c;
    gale_step_cost(w->session, t->batch, t->depth + at, t->tokens - at < step ? t->tokens - at : step, &c);
    sum.weight_bytes += c.weight_bytes;
    sum.cache_bytes += c.cache_bytes;
    sum.int8_ops += c.int8_ops;
    sum.float_ops += c.float_ops;
    sum.attention_ops += c.attention_ops;
  }
  return sum;
}

static double reading_seconds(const gale_cost *c, const gale_rates *r) {
  return (c->weight_bytes + c->cache_bytes) / r->read_bytes_per_second;
}

/* Attention is counted at the highest peak that the weights' products could use. */
static double computing_seconds(const gale_cost *c, const gale_rates *r) {
  double peak = c->int8_ops > 0 ? larger(r->int8_ops_per_second, r->float_ops_per_second) : r->float_ops_per_second;
  return c->int8_ops / r->int8_ops_per_second + c->float_ops / r->float_ops_per_second + c->attention_ops / peak;
}

/* ---- Running ---- */

/* Brings every sequence to the test's depth, anew where a window has given up positions that this needs. */
static int rewind_all(work *w, gale_error *error) {
  int32_t depth = w->test->depth;
  for (int32_t i = 0; i < w->test->batch; i++) {
    int32_t sequence = w->sequences[i], length = gale_sequence_length(w->session, sequence);
    int32_t kept = 0;
    if (gale_sequence_truncate(w->session, sequence, length < depth ? 0 : depth, &kept, error)) return fail_with(error);
    if (kept != depth && gale_sequence_pretend(w->session, sequence, depth, error)) return fail_with(error);
  }
  return 0;
}

static bool go_on(void *user, double fraction, const char *stage) {
  (void)user;
  (void)fraction;
  (void)stage;
  return !signals_caught();
}

/* The tokens are given, not chosen: what a sampler costs is not the model's speed. */
static gale_status run_once(work *w, int32_t n, gale_error *error) {
  if (w->test->kind == BENCH_PREFILL)
    return gale_prefill(w->session, w->sequences[0], w->tokens, (size_t)n, go_on, NULL, error);
  for (int32_t at = 0; at < n && !signals_caught(); at++) {
    for (int32_t i = 0; i < w->test->batch; i++)
      w->inputs[i] = (gale_input){w->sequences[i], &w->tokens[at], 1, GALE_LOGITS_LAST};
    gale_status status = gale_step(w->session, w->inputs, (size_t)w->test->batch, error);
    if (status) return status;
  }
  return GALE_OK;
}

/* Seconds for n tokens of each text. */
static int time_once(work *w, int32_t n, double *seconds) {
  gale_error error = {0};
  int code = rewind_all(w, &error);
  if (code) return code;
  double start = seconds_now();
  if (run_once(w, n, &error)) return fail_with(&error);
  *seconds = seconds_now() - start;
  return signals_caught() ? signals_exit_status() : 0;
}

/* A run that is not counted touches the memory first: of a whole prompt, or a few decoded tokens. */
static int repeat(const bench_setting *s, work *w, bench_result *r) {
  enum { FIRST_STEPS = 4 };
  const bench_test *t = w->test;
  double seconds = 0;
  int32_t first = t->kind == BENCH_DECODE && t->tokens > FIRST_STEPS ? FIRST_STEPS : t->tokens;
  progress shown;
  char title[96];
  bench_title(r, title);
  progress_start(&shown, s->o);
  progress_step(&shown, 0, title);
  int code = time_once(w, first, &seconds);
  for (int32_t i = 0; !code && i < s->o->repetitions; i++) {
    progress_step(&shown, (double)i / s->o->repetitions, title);
    code = keep_probed(s);
    w->probes[i] = s->report->n_probes;
    if (!code) code = time_once(w, t->tokens, &seconds);
    if (!code) r->samples[r->n_samples++] = (double)t->tokens * t->batch / seconds;
  }
  progress_end(&shown);
  return code ? code : keep_probed(s);
}

/* Each run is compared with what the machine did just before and after it: that changes while a test goes on. */
static int find_shares(const bench_setting *s, const work *w, bench_result *r) {
  const gale_cost cost = whole_cost(w);
  size_t n = r->n_samples;
  double *shares = malloc(3 * n * sizeof *shares), *memory = shares, *arithmetic = shares + n,
         *sustained = shares + 2 * n;
  if (!shares) return fail_memory();
  for (size_t i = 0; i < n; i++) {
    const gale_limits l = limits_around(s->report, w->probes[i]);
    double rate = r->samples[i] / ((double)r->test.tokens * r->test.batch);
    memory[i] = reading_seconds(&cost, &l.best) * rate;
    arithmetic[i] = computing_seconds(&cost, &l.best) * rate;
    sustained[i] = larger(reading_seconds(&cost, &l.sustained), computing_seconds(&cost, &l.sustained)) * rate;
  }
  r->median = median_of(r->samples, n);
  r->of_memory = median_of(memory, n);
  r->of_arithmetic = median_of(arithmetic, n);
  r->of_sustained = median_of(sustained, n);
  free(shares);
  return 0;
}

/* ---- Opening ---- */

static int open_work(const bench_setting *s, work *w) {
  const bench_test *t = w->test;
  gale_session_options settings;
  open_settings(s->o, &settings);
  settings.context = t->depth + t->tokens;
  settings.max_sequences = t->batch;
  if (t->batch > settings.chunk) settings.chunk = t->batch;
  if (t->batch > settings.context) settings.context = t->batch; /* which bounds the tokens of a step */
  if (t->without_window) settings.window = GALE_WINDOW_NONE;
  gale_error error = {0};
  if (gale_session_open(s->model, &settings, &w->session, &error)) return fail_with(&error);
  gale_session_get_options(w->session, &settings);
  w->chunk = settings.chunk;
  w->sequences = calloc((size_t)t->batch, sizeof *w->sequences);
  w->inputs = malloc((size_t)t->batch * sizeof *w->inputs);
  w->tokens = malloc((size_t)t->tokens * sizeof *w->tokens);
  w->probes = calloc((size_t)s->o->repetitions, sizeof *w->probes);
  if (!w->sequences || !w->inputs || !w->tokens || !w->probes) return fail_memory();
  for (int32_t i = 0; i < t->batch; i++)
    if (gale_sequence_open(w->session, &w->sequences[i], &error)) return fail_with(&error);
  gale_model_info info;
  gale_model_get_info(s->model, &info);
  for (uint32_t i = 0, state = 1; i < (uint32_t)t->tokens; i++) {
    state = state * 1664525u + 1013904223u;
    w->tokens[i] = (int32_t)((state >> 8) % (uint32_t)info.vocab_size);
  }
  return 0;
}

static void close_work(work *w) {
  gale_session_close(&w->session);
  free(w->sequences);
  free(w->inputs);
  free(w->tokens);
  free(w->probes);
}

static int32_t window_of(const bench_setting *s, const bench_test *t) {
  gale_model_info info;
  gale_model_get_info(s->model, &info);
  if (t->without_window) return 0;
  return s->o->window == GALE_WINDOW_NATIVE ? info.sliding_window : s->o->window;
}

bench_result *bench_add_result(bench_report *b) {
  bench_result *more = realloc(b->results, (b->n_results + 1) * sizeof *more);
  if (!more) {
    fail_memory();
    return NULL;
  }
  b->results = more;
  more[b->n_results] = (bench_result){.model = b->n_models - 1};
  return &more[b->n_results++];
}

int bench_measure(const bench_setting *s, const bench_test *t) {
  bench_result *r = bench_add_result(s->report);
  if (!r) return EXIT_INPUT;
  r->test = *t;
  r->window = window_of(s, t);
  r->samples = malloc((size_t)s->o->repetitions * sizeof *r->samples);
  if (!r->samples) return fail_memory();
  work w = {.test = t};
  int code = open_work(s, &w);
  if (!code) code = repeat(s, &w, r);
  if (!code) code = find_shares(s, &w, r);
  close_work(&w);
  return code;
}
