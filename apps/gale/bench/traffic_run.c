/* Running one mix of requests: one thread asks, the engine's thread notes when tokens come. */
#include "gale/bench/traffic_prompts.h"

#include "gale/cli/console.h"
#include "gale/cli/opening.h"
#include "gale_engine.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Tokens of the request, and steps without an engine, that come before those that count: they touch the memory first.
 */
enum { FIRST_PROMPT = 64, FIRST_ANSWER = 4 };

/* Seconds after which a signal is looked for. */
static const double PATIENCE = 0.1;

/* One request. */
typedef struct asked {
  traffic_stage *stage;
  gale_request *request;
  const traffic_prompt *prompt;
  int32_t n_answer;
  bool late;
  double due;               /* seconds after the start, of POISSON */
  double submitted, *times; /* [n_times] of its tokens */
  int32_t n_times, n_cached;
} asked;

struct traffic_stage {
  const options *o;
  traffic_mix mix; /* scaled */
  gale_engine *engine;
  gale_session *session;   /* of a bare mix, in place of the engine, */
  int32_t *sequences;      /* [clients] with these */
  traffic_prompt *prompts; /* [n] */
  asked *all;              /* [n] in the order in which they are submitted */
  int32_t n, n_submitted;

  pthread_mutex_t lock; /* of what follows, and of what the engine's thread writes into requests */
  pthread_cond_t changed;
  int32_t n_over, n_settled;
  gale_error error;
};

static int make_requests(traffic_stage *s, const traffic_setting *setting) {
  int code = traffic_make_prompts(setting, &s->mix, &s->prompts, &s->n);
  if (code) return code;
  s->all = calloc((size_t)s->n, sizeof *s->all);
  if (!s->all) return fail_memory();
  for (int32_t i = 0; i < s->n; i++) {
    asked *a = &s->all[i];
    bool late = i == s->mix.requests;
    *a = (asked){.stage = s, .prompt = &s->prompts[i], .late = late, .n_answer = late ? 1 : s->mix.answer};
    a->times = malloc((size_t)a->n_answer * sizeof *a->times);
    if (!a->times) return fail_memory();
  }
  return 0;
}

/* ---- Asking ---- */

static void take_event(void *user, const gale_event *event);

static gale_status submit(traffic_stage *s, asked *a, gale_error *error) {
  gale_sampler_options sampling;
  gale_generation_options generation;
  gale_request_options o;
  gale_sampler_defaults(&sampling);
  gale_generation_defaults(&generation);
  gale_request_defaults(&o);
  sampling.temperature = s->mix.temperature;
  sampling.seed = (uint64_t)(a - s->all);
  sampling.ignore_end = true;
  generation.sampling = &sampling;
  generation.max_tokens = a->n_answer;
  generation.speculate = s->mix.speculate;
  o.prompt = a->prompt->tokens;
  o.n_prompt = (size_t)a->prompt->n;
  o.generation = &generation;
  o.event = take_event;
  o.user = a;
  a->submitted = seconds_now();
  return gale_engine_submit(s->engine, &o, &a->request, error);
}

/* ---- What comes back, by the engine's thread ---- */

static void note_end(asked *a, const gale_event *event) {
  traffic_stage *s = a->stage;
  s->n_over++;
  a->n_cached = event->n_cached;
  if (event->error->code && !s->error.code) s->error = *event->error;
}

/* A late request is submitted between two steps: where steps are short, another thread would come too late. */
static void note_token(asked *a) {
  traffic_stage *s = a->stage;
  if (a->n_times == a->n_answer) return;
  a->times[a->n_times++] = seconds_now();
  if (a->n_times != s->mix.settled || ++s->n_settled != s->mix.clients) return;
  if (!submit(s, &s->all[s->n - 1], &s->error)) s->n_submitted = s->n;
}

static void take_event(void *user, const gale_event *event) {
  asked *a = user;
  traffic_stage *s = a->stage;
  if (event->kind == GALE_EVENT_PIECE) return;
  pthread_mutex_lock(&s->lock);
  if (event->kind == GALE_EVENT_TOKEN) note_token(a);
  if (event->kind == GALE_EVENT_END) {
    note_end(a, event);
    pthread_cond_signal(&s->changed);
  }
  pthread_mutex_unlock(&s->lock);
}

/* Under the lock. */
static bool may_submit(const traffic_stage *s, double elapsed) {
  if (s->n_submitted == s->n) return false;
  const asked *a = &s->all[s->n_submitted];
  if (a->late) return false;
  if (s->mix.arrival == ARRIVE_POISSON) return elapsed >= a->due;
  return s->n_submitted - s->n_over < s->mix.clients;
}

/* Waits under the lock for the engine's thread, or until the next request is due. */
static void wait_for_change(traffic_stage *s, double elapsed) {
  double seconds = PATIENCE;
  if (s->mix.arrival == ARRIVE_POISSON && s->n_submitted < s->n && s->all[s->n_submitted].due - elapsed < seconds)
    seconds = s->all[s->n_submitted].due - elapsed;
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  int64_t at = until.tv_nsec + (int64_t)(seconds * 1e9);
  until.tv_sec += at / 1000000000;
  until.tv_nsec = at % 1000000000;
  pthread_cond_timedwait(&s->changed, &s->lock, &until);
}

/* Whether a late request was answered, or all were. */
static bool is_over(const traffic_stage *s) {
  const asked *last = &s->all[s->n - 1];
  return s->n_over == s->n || (last->late && last->n_times > 0);
}

/* Returns holding the lock. */
static int ask_all(traffic_stage *s, double start) {
  int code = 0;
  pthread_mutex_lock(&s->lock);
  while (!code && !s->error.code && !is_over(s)) {
    double elapsed = seconds_now() - start;
    if (signals_caught()) {
      code = signals_exit_status();
    } else if (may_submit(s, elapsed)) {
      if (!submit(s, &s->all[s->n_submitted], &s->error)) s->n_submitted++;
    } else {
      wait_for_change(s, elapsed);
    }
  }
  return !code && s->error.code ? fail_with(&s->error) : code;
}

/* ---- Figures ---- */

static bool note_gaps(const asked *a, const asked *late, traffic_run *run) {
  bool good = true;
  double from = late ? late->submitted : INFINITY, to = late ? late->times[0] : INFINITY;
  for (int32_t i = 1; good && i < a->n_times; i++) {
    double end = a->times[i];
    if (end > from && end <= to) run->late_tokens++;
    if (end <= from)
      good = series_add(&run->between, end - a->times[i - 1]);
    else if (end <= to)
      good = series_add(&run->during, end - a->times[i - 1]);
  }
  return good;
}

/* Tokens a second while all clients stream. */
static double steady_rate(const traffic_stage *s) {
  double from = 0, to = INFINITY;
  int64_t n = 0;
  for (int32_t i = 0; i < s->n; i++) {
    const asked *a = &s->all[i];
    double first = a->times[0], last = a->late ? a->submitted : a->times[a->n_times - 1];
    if (!a->late && first > from) from = first;
    if (last < to) to = last;
  }
  if (!(to > from)) return 0;
  for (int32_t i = 0; i < s->n; i++)
    for (int32_t j = 0; j < s->all[i].n_times; j++) n += s->all[i].times[j] > from && s->all[i].times[j] <= to;
  return (double)n / (to - from);
}

/* Of requests that each have had a token. */
static int take_figures(const traffic_stage *s, traffic_run *run) {
  const asked *late = s->all[s->n - 1].late ? &s->all[s->n - 1] : NULL;
  double end = 0, streaming = 0;
  bool good = true;
  for (int32_t i = 0; good && i < s->n; i++) {
    const asked *a = &s->all[i];
    if (a->n_times == 0) return fail("a request had no answer");
    if (a->times[a->n_times - 1] > end) end = a->times[a->n_times - 1];
    streaming += a->times[a->n_times - 1] - a->times[0];
    run->prompt_tokens += a->prompt->n;
    run->cached_tokens += a->n_cached;
    run->answer_tokens += a->n_times;
    good = series_add(&run->first, a->times[0] - a->submitted) && (a == late || note_gaps(a, late, run));
  }
  if (!good) return fail_memory();
  series_sort(&run->between);
  series_sort(&run->during);
  run->seconds = end - s->all[0].submitted;
  run->token_rate = (double)run->answer_tokens / run->seconds;
  run->request_rate = s->n / run->seconds;
  run->steady_rate = steady_rate(s);
  if (streaming > 0) run->stream_rate = (double)(run->answer_tokens - s->n) / streaming;
  if (late) run->late_seconds = late->times[0] - late->submitted;
  return 0;
}

/* ---- Runs ---- */

static void set_due(traffic_stage *s, double offered) {
  uint64_t random = s->o->seed;
  double due = 0;
  for (int32_t i = 0; i < s->n; i++) {
    s->all[i].due = due;
    due -= log(traffic_draw_share(&random)) / offered;
  }
}

static void reset(traffic_stage *s) {
  s->n_submitted = s->n_over = s->n_settled = 0;
  for (int32_t i = 0; i < s->n; i++) s->all[i].n_times = 0;
}

static int run_engine(traffic_stage *s, double offered, traffic_run *run) {
  gale_engine_stats before, after;
  gale_engine_forget(s->engine);
  gale_engine_get_stats(s->engine, &before);
  reset(s);
  if (s->mix.arrival == ARRIVE_POISSON) set_due(s, offered);
  int code = ask_all(s, seconds_now());
  pthread_mutex_unlock(&s->lock);
  for (int32_t i = 0; i < s->n; i++) gale_request_close(&s->all[i].request);
  gale_engine_forget(s->engine); /* so that the counts are those after the last step */
  gale_engine_get_stats(s->engine, &after);
  run->right = (int64_t)(after.lookup_right - before.lookup_right);
  run->drafted = run->right + (int64_t)(after.lookup_wrong - before.lookup_wrong);
  return code ? code : take_figures(s, run);
}

/* A step with a token of each text. */
static gale_status bare_step(traffic_stage *s, gale_input *inputs, const int32_t *token, gale_error *error) {
  for (int32_t i = 0; i < s->mix.clients; i++) inputs[i] = (gale_input){s->sequences[i], token, 1, GALE_LOGITS_LAST};
  return gale_step(s->session, inputs, (size_t)s->mix.clients, error);
}

static gale_status rewind_bare(traffic_stage *s, gale_error *error) {
  gale_status status = GALE_OK;
  for (int32_t i = 0; !status && i < s->mix.clients; i++) {
    status = gale_sequence_truncate(s->session, s->sequences[i], 0, NULL, error);
    if (!status) status = gale_sequence_pretend(s->session, s->sequences[i], s->mix.most_prompt, error);
  }
  return status;
}

static int run_bare(traffic_stage *s, traffic_run *run) {
  gale_error error = {0};
  gale_input *inputs = malloc((size_t)s->mix.clients * sizeof *inputs);
  if (!inputs) return fail_memory();
  bool kept = true;
  gale_status status = rewind_bare(s, &error);
  double start = seconds_now(), before = start;
  /* The first token of an answer comes of its prompt's last step. */
  for (int32_t i = 1; kept && !status && i < s->mix.answer && !signals_caught(); i++) {
    status = bare_step(s, inputs, &s->prompts[0].tokens[i % s->prompts[0].n], &error);
    double now = seconds_now();
    kept = series_add(&run->between, now - before);
    before = now;
  }
  free(inputs);
  if (!kept) return fail_memory();
  if (status) return fail_with(&error);
  series_sort(&run->between);
  run->seconds = before - start;
  run->answer_tokens = (int64_t)(s->mix.answer - 1) * s->mix.clients;
  run->token_rate = run->steady_rate = (double)run->answer_tokens / run->seconds;
  return signals_caught() ? signals_exit_status() : 0;
}

int traffic_run_once(traffic_stage *s, double offered, traffic_run *run) {
  *run = (traffic_run){0};
  return s->session ? run_bare(s, run) : run_engine(s, offered, run);
}

void traffic_run_free(traffic_run *run) {
  series_free(&run->first);
  series_free(&run->between);
  series_free(&run->during);
}

/* ---- Opening ---- */

static void set_session(const traffic_stage *s, gale_session_options *settings) {
  const traffic_mix *m = &s->mix;
  int32_t longest = 0;
  for (int32_t i = 0; i < s->n; i++)
    if (s->prompts[i].n + s->all[i].n_answer > longest) longest = s->prompts[i].n + s->all[i].n_answer;
  open_settings(s->o, settings);
  settings->max_sequences = m->clients + (m->late_prompt > 0);
  settings->context = longest;
  if (settings->chunk < settings->max_sequences) settings->chunk = settings->max_sequences;
  if (settings->context < settings->max_sequences) settings->context = settings->max_sequences;
}

static int warm_bare(traffic_stage *s) {
  gale_error error = {0};
  gale_input *inputs = malloc((size_t)s->mix.clients * sizeof *inputs);
  if (!inputs) return fail_memory();
  gale_status status = rewind_bare(s, &error);
  for (int i = 0; !status && i < FIRST_ANSWER; i++) status = bare_step(s, inputs, s->prompts[0].tokens, &error);
  free(inputs);
  return status ? fail_with(&error) : 0;
}

static int warm_engine(traffic_stage *s) {
  traffic_prompt prompt = s->prompts[0];
  asked first = s->all[0];
  first.prompt = &prompt;
  if (prompt.n > FIRST_PROMPT) prompt.n = FIRST_PROMPT;
  if (first.n_answer > FIRST_ANSWER) first.n_answer = FIRST_ANSWER;
  pthread_mutex_lock(&s->lock);
  if (!submit(s, &first, &s->error))
    while (s->n_over == 0) wait_for_change(s, 0);
  pthread_mutex_unlock(&s->lock);
  gale_request_close(&first.request);
  return s->error.code ? fail_with(&s->error) : 0;
}

static int open_bare(traffic_stage *s, const gale_model *model) {
  gale_session_options settings;
  gale_error error = {0};
  set_session(s, &settings);
  s->sequences = calloc((size_t)s->mix.clients, sizeof *s->sequences);
  if (!s->sequences) return fail_memory();
  if (gale_session_open(model, &settings, &s->session, &error)) return fail_with(&error);
  for (int32_t i = 0; i < s->mix.clients; i++)
    if (gale_sequence_open(s->session, &s->sequences[i], &error)) return fail_with(&error);
  return warm_bare(s);
}

static int open_engine(traffic_stage *s, const gale_model *model) {
  gale_session_options settings;
  gale_engine_options o;
  gale_error error = {0};
  set_session(s, &settings);
  gale_engine_defaults(&o);
  o.session = &settings;
  o.queue_requests = s->n;
  if (!s->mix.cache) o.kept_texts = 0;
  return gale_engine_open(model, &o, &s->engine, &error) ? fail_with(&error) : warm_engine(s);
}

static void open_lock(traffic_stage *s) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&s->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&s->lock, NULL);
}

int traffic_open(const traffic_setting *setting, const traffic_mix *mix, traffic_stage **stage) {
  traffic_stage *s = calloc(1, sizeof *s);
  if (!s) return fail_memory();
  s->o = setting->o;
  s->mix = traffic_scaled(s->o, mix);
  open_lock(s);
  int code = make_requests(s, setting);
  if (!code) code = mix->arrival == ARRIVE_BARE ? open_bare(s, setting->model) : open_engine(s, setting->model);
  if (code)
    traffic_close(&s);
  else
    *stage = s;
  return code;
}

void traffic_close(traffic_stage **stage) {
  traffic_stage *s = *stage;
  if (!s) return;
  gale_engine_close(&s->engine);
  gale_session_close(&s->session);
  for (int32_t i = 0; s->all && i < s->n; i++) free(s->all[i].times);
  free(s->all);
  traffic_free_prompts(s->prompts, s->n);
  free(s->sequences);
  pthread_cond_destroy(&s->changed);
  pthread_mutex_destroy(&s->lock);
  free(s);
  *stage = NULL;
}

int32_t traffic_requests(const traffic_stage *s) {
  return s->n;
}
