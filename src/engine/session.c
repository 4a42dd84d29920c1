/* Sessions: the memory of some sequences, and the step that computes them together. */
#include "engine/session.h"

#include "base/cpu.h"
#include "base/sized.h"
#include "load/memory_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

void gale_session_defaults_sized(gale_session_options *options, size_t size) {
  const gale_session_options defaults = {
      .window = GALE_WINDOW_NATIVE, .chunk = 512, .max_sequences = 1, .kv_type = GALE_KV_F16, .give_way = true};
  sized_write(options, size, &defaults, sizeof defaults);
}

static gale_status check_options(const gale_model *m, gale_session_options *o, gale_error *error) {
  if (!m->loaded) return error_set(error, GALE_E_ARGUMENT, "%s was opened for its metadata only", m->checkpoint->path);
  const struct {
    const char *name;
    int64_t value, low, high;
  } ranges[] = {
      {"threads", o->threads, 0, 1024},
      {"context", o->context, 0, 1 << 28},
      {"window", o->window, -1, INT32_MAX},
      {"chunk", o->chunk, 1, 1 << 16},
      {"sequences", o->max_sequences, 1, 1 << 16},
      {"kv type", o->kv_type, GALE_KV_F16, GALE_KV_Q8},
  };
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
    if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high)
      return error_set(error, GALE_E_ARGUMENT, "%s is %lld: %lld to %lld is accepted", ranges[i].name,
                       (long long)ranges[i].value, (long long)ranges[i].low, (long long)ranges[i].high);
  if (o->threads == 0) o->threads = cpu_count();
  if (o->context == 0) o->context = m->config.context;
  if (m->config.most_context > 0 && o->context > m->config.most_context)
    return error_set(
        error, GALE_E_UNSUPPORTED,
        "context is %d: at most %d is accepted, from where on the model's dynamic rotary scaling would begin",
        o->context, m->config.most_context);
  if (o->chunk > o->context) o->chunk = o->context;
  return GALE_OK;
}

static gale_status open_arrays(gale_session *s, gale_error *error) {
  size_t sequences = (size_t)s->options.max_sequences, chunk = (size_t)s->options.chunk;
  s->length = malloc(sequences * sizeof *s->length);
  s->in_step = calloc(sequences, sizeof *s->in_step);
  s->growths = malloc(sequences * sizeof *s->growths);
  s->own_rows = calloc(sequences, sizeof *s->own_rows);
  s->token = malloc(chunk * sizeof *s->token);
  s->position = malloc(chunk * sizeof *s->position);
  s->table = malloc(chunk * sizeof *s->table);
  s->rows = malloc(chunk * sizeof *s->rows);
  if (!s->length || !s->in_step || !s->growths || !s->own_rows || !s->token || !s->position || !s->table || !s->rows)
    return error_memory(error, sequences * sizeof *s->own_rows + 4 * chunk * sizeof *s->token);
  for (size_t i = 0; i < sequences; i++) s->length[i] = -1;
  return GALE_OK;
}

static gale_status open_parts(gale_session *s, gale_error *error) {
  const gale_session_options *o = &s->options;
  const gale_model *m = s->model;
  const be_ops *be = m->device->ops;
  gale_status status = open_arrays(s, error);
  if (!status) status = sampler_scratch_open(m->config.vocab_size, be->name(m->device), &s->sampling, error);
  if (status) return status;
  cache_options c = {o->kv_type, o->context, o->window, o->chunk, o->max_sequences, o->kv_bytes};
  status = cache_open(&s->cache, &m->config, m->device, &c, error);
  if (status) return status;
  s->options.kv_bytes = (uint64_t)s->cache.n_pages * s->cache.page_bytes;
  s->memory_bytes = forward_layout(m, o->chunk, o->chunk, NULL, &s->state);
  const session_need need = {.cache = s->options.kv_bytes, .scratch = s->memory_bytes};
  if (!o->no_memory_check && (status = memory_check_session("", &need, error))) return status;
  s->memory = be->alloc(m->device, s->memory_bytes, false, error);
  if (!s->memory) return GALE_E_MEMORY;
  forward_layout(m, o->chunk, o->chunk, s->memory, &s->state);
  const be_context_options context = {.threads = o->threads,
                                      .give_way = o->give_way,
                                      .max_tokens = o->chunk,
                                      .n_heads = m->config.n_heads,
                                      .head_dim = m->config.head_dim,
                                      .max_blocks = (o->context + KV_BLOCK - 1) / KV_BLOCK};
  return be->context_open(m->device, &context, &s->context, error);
}

gale_status gale_session_open(const gale_model *model, const gale_session_options *options, gale_session **session,
                              gale_error *error) {
  gale_session_options o;
  gale_session_defaults(&o);
  gale_status status = options ? sized_read(&o, sizeof o, options, "gale_session_options", error) : GALE_OK;
  if (!status) status = check_options(model, &o, error);
  if (status) return status;
  gale_session *s = calloc(1, sizeof *s);
  if (!s) return error_memory(error, sizeof *s);
  s->model = model;
  s->options = o;
  status = open_parts(s, error);
  if (status)
    gale_session_close(&s);
  else
    *session = s;
  return status;
}

void gale_session_close(gale_session **session) {
  gale_session *s = *session;
  if (!s) return;
  const be_ops *be = s->model->device->ops;
  be->context_close(&s->context);
  if (s->memory) be->release(s->model->device, s->memory, s->memory_bytes);
  cache_close(&s->cache);
  sampler_scratch_close(&s->sampling);
  free(s->length);
  free(s->in_step);
  free(s->growths);
  free(s->own_rows);
  free(s->token);
  free(s->position);
  free(s->table);
  free(s->rows);
  free(s);
  *session = NULL;
}

void gale_session_get_options_sized(const gale_session *session, gale_session_options *options, size_t size) {
  sized_write(options, size, &session->options, sizeof session->options);
}

void gale_session_get_stats_sized(const gale_session *session, gale_session_stats *stats, size_t size) {
  const cache *c = &session->cache;
  const gale_session_stats all = {
      .kv_page_bytes = (uint64_t)(c->n_pages - c->n_free) * c->page_bytes,
      .kv_peak_bytes = (uint64_t)c->peak_pages * c->page_bytes,
      .kv_reserved_bytes = (uint64_t)c->n_pages * c->page_bytes,
      .scratch_bytes = session->memory_bytes + session->model->device->ops->context_bytes(session->context) +
                       sampler_scratch_bytes(session->model->config.vocab_size),
      .tokens = session->tokens,
      .steps = session->steps,
  };
  sized_write(stats, size, &all, sizeof all);
}

/* ---- Sequences ---- */

static bool is_open(const gale_session *s, int32_t sequence) {
  return sequence >= 0 && sequence < s->options.max_sequences && s->length[sequence] >= 0;
}

gale_status session_check(const gale_session *s, int32_t sequence, gale_error *error) {
  if (is_open(s, sequence)) return GALE_OK;
  return error_set(error, GALE_E_ARGUMENT, "sequence %d is not open", sequence);
}

gale_status session_no_pages(const gale_session *s, int64_t needed, gale_error *error) {
  return error_set(error, GALE_E_CONTEXT,
                   "the step needs %" PRId64
                   " pages of the cache and %d of %d are free (%zu bytes each; kv_bytes is %" PRIu64
                   "): shorten or close a sequence, or open the session with more",
                   needed, s->cache.n_free, s->cache.n_pages, s->cache.page_bytes, s->options.kv_bytes);
}

gale_status gale_sequence_open(gale_session *session, int32_t *sequence, gale_error *error) {
  for (int32_t i = 0; i < session->options.max_sequences; i++)
    if (session->length[i] < 0) {
      session->length[i] = 0;
      session->own_rows[i].n = 0;
      *sequence = i;
      return GALE_OK;
    }
  return error_set(error, GALE_E_CONTEXT, "all %d sequences of the session are open", session->options.max_sequences);
}

gale_status gale_sequence_close(gale_session *session, int32_t sequence, gale_error *error) {
  gale_status status = session_check(session, sequence, error);
  if (status) return status;
  cache_clear(&session->cache, sequence);
  session->length[sequence] = -1;
  return GALE_OK;
}

gale_status gale_sequence_fork(gale_session *session, int32_t sequence, int32_t *fork, gale_error *error) {
  gale_status status = session_check(session, sequence, error);
  if (status) return status;
  int32_t to = 0;
  status = gale_sequence_open(session, &to, error);
  if (status) return status;
  cache_share(&session->cache, sequence, to);
  session->length[to] = session->length[sequence];
  session->own_rows[to] = session->own_rows[sequence];
  *fork = to;
  return GALE_OK;
}

int32_t gale_sequence_length(const gale_session *session, int32_t sequence) {
  return is_open(session, sequence) ? session->length[sequence] : -1;
}

gale_status gale_sequence_truncate(gale_session *session, int32_t sequence, int32_t length, int32_t *kept,
                                   gale_error *error) {
  gale_status status = session_check(session, sequence, error);
  if (status) return status;
  if (length < 0 || length > session->length[sequence])
    return error_set(error, GALE_E_ARGUMENT, "length is %d: 0 to %d is accepted", length, session->length[sequence]);
  if (!cache_truncate(&session->cache, sequence, length)) {
    cache_clear(&session->cache, sequence);
    length = 0;
  }
  if (length < session->length[sequence]) session->own_rows[sequence].n = 0;
  session->length[sequence] = length;
  if (kept) *kept = length;
  return GALE_OK;
}

/* ---- Steps ---- */

static gale_status bad_token(const gale_model *m, int32_t at, int32_t id, gale_error *error) {
  const char *text = "";
  size_t length = 0;
  bool control;
  bool named = m->tokenizer && gale_tokenizer_token(m->tokenizer, id, &text, &length, &control);
  return error_set(error, GALE_E_ARGUMENT, "token %d of the input is %d%s%.*s%s: 0 to %d is accepted", at, id,
                   named ? ", \"" : "", (int)(length < 64 ? length : 64), text,
                   named ? "\", which has no row in the embedding" : "", m->config.vocab_size - 1);
}

/* Checks an input but for its tokens. */
static gale_status check_input(const gale_session *s, const gale_input *in, gale_error *error) {
  gale_status status = session_check(s, in->sequence, error);
  if (status) return status;
  if (s->in_step[in->sequence])
    return error_set(error, GALE_E_ARGUMENT, "sequence %d appears twice in a step", in->sequence);
  if (in->n_tokens < 1)
    return error_set(error, GALE_E_ARGUMENT, "sequence %d: %d tokens: at least 1 is accepted", in->sequence,
                     in->n_tokens);
  if (in->n_tokens > s->options.context - s->length[in->sequence])
    return error_set(error, GALE_E_CONTEXT, "sequence %d: %d more tokens after %d exceed the context of %d",
                     in->sequence, in->n_tokens, s->length[in->sequence], s->options.context);
  return GALE_OK;
}

static gale_status check_tokens(const gale_session *s, const gale_input *in, gale_error *error) {
  for (int32_t i = 0; i < in->n_tokens; i++)
    if (in->tokens[i] < 0 || in->tokens[i] >= s->model->config.vocab_size)
      return bad_token(s->model, i, in->tokens[i], error);
  return GALE_OK;
}

/* Checks a step but for its tokens, and lists by how much its sequences grow. */
static gale_status check_inputs(gale_session *s, const gale_input *inputs, size_t n_inputs, gale_error *error) {
  gale_status status = n_inputs > 0 ? GALE_OK : error_set(error, GALE_E_ARGUMENT, "a step without inputs");
  int64_t total = 0;
  size_t checked = 0;
  for (; checked < n_inputs && !status; checked++) {
    status = check_input(s, &inputs[checked], error);
    if (status) break;
    int32_t sequence = inputs[checked].sequence;
    s->in_step[sequence] = true;
    s->growths[checked] = (cache_growth){sequence, s->length[sequence], inputs[checked].n_tokens};
    total += inputs[checked].n_tokens;
    if (total > s->options.chunk)
      status = error_set(error, GALE_E_ARGUMENT, "a step of more than chunk = %d tokens", s->options.chunk);
  }
  for (size_t i = 0; i < checked; i++) s->in_step[inputs[i].sequence] = false;
  return status;
}

gale_status gale_step_pages(gale_session *session, const gale_input *inputs, size_t n_inputs, uint64_t *needed,
                            uint64_t *available, gale_error *error) {
  gale_status status = check_inputs(session, inputs, n_inputs, error);
  if (status) return status;
  const cache *c = &session->cache;
  *needed = (uint64_t)cache_pages_needed(c, session->growths, n_inputs) * c->page_bytes;
  *available = (uint64_t)c->n_free * c->page_bytes;
  return GALE_OK;
}

/* Lists the inputs' tokens. Returns how many. */
static int32_t fill_batch(gale_session *s, const gale_input *inputs, size_t n_inputs) {
  int32_t n = 0;
  for (size_t i = 0; i < n_inputs; i++) {
    const gale_input *in = &inputs[i];
    for (int32_t j = 0; j < in->n_tokens; j++, n++) {
      s->token[n] = in->tokens[j];
      s->position[n] = s->length[in->sequence] + j;
      s->table[n] = in->sequence;
    }
  }
  return n;
}

/* Lists the rows that are wanted with logits, or those without, and notes whose they are. */
static void fill_rows(gale_session *s, const gale_input *inputs, size_t n_inputs, bool logits) {
  int32_t n = 0;
  for (size_t i = 0; i < n_inputs; i++) {
    const gale_input *in = &inputs[i];
    int32_t first = s->n_rows, end = n + in->n_tokens, from = end;
    if (in->logits == (logits ? GALE_LOGITS_LAST : GALE_HIDDEN_LAST)) from = end - 1;
    if (in->logits == (logits ? GALE_LOGITS_ALL : GALE_HIDDEN_ALL)) from = n;
    for (int32_t row = from; row < end; row++) s->rows[s->n_rows++] = row;
    bool wants_logits = in->logits == GALE_LOGITS_LAST || in->logits == GALE_LOGITS_ALL;
    if (wants_logits == logits) s->own_rows[in->sequence] = (session_rows){s->steps + 1, first, s->n_rows - first};
    n = end;
  }
}

gale_status session_step(gale_session *s, const gale_input *inputs, size_t n_inputs, const int32_t *drafts,
                         gale_error *error) {
  gale_status status = check_inputs(s, inputs, n_inputs, error);
  for (size_t i = 0; i < n_inputs && !status; i++) status = check_tokens(s, &inputs[i], error);
  if (status) return status;
  if (!cache_extend(&s->cache, s->growths, n_inputs))
    return session_no_pages(s, cache_pages_needed(&s->cache, s->growths, n_inputs), error);
  int32_t n = fill_batch(s, inputs, n_inputs);
  s->n_rows = 0;
  fill_rows(s, inputs, n_inputs, true);
  s->n_logits = s->n_rows;
  fill_rows(s, inputs, n_inputs, false);
  forward_step step = {.model = s->model,
                       .state = &s->state,
                       .batch = {.n_tokens = n, .token = s->token, .position = s->position, .table = s->table},
                       .kv = s->cache.views,
                       .n_rows = s->n_rows,
                       .n_logits = s->n_logits,
                       .rows = s->rows};
  s->model->device->ops->run(s->context, forward, &step);
  for (size_t i = 0; i < n_inputs; i++) {
    int32_t sequence = inputs[i].sequence;
    s->length[sequence] += inputs[i].n_tokens;
    cache_trim(&s->cache, sequence, s->length[sequence] - (drafts ? drafts[i] : 0));
  }
  s->tokens += (uint64_t)n;
  s->steps++;
  return GALE_OK;
}

gale_status gale_step(gale_session *session, const gale_input *inputs, size_t n_inputs, gale_error *error) {
  return session_step(session, inputs, n_inputs, NULL, error);
}

void session_take_back(gale_session *s, int32_t sequence, int32_t n) {
  session_rows rows = s->own_rows[sequence];
  gale_sequence_truncate(s, sequence, s->length[sequence] - n, NULL, NULL);
  cache_trim(&s->cache, sequence, s->length[sequence]);
  rows.n -= n;
  s->own_rows[sequence] = rows;
}

gale_status gale_prefill(gale_session *session, int32_t sequence, const int32_t *tokens, size_t n_tokens,
                         gale_progress_fn progress, void *user, gale_error *error) {
  gale_status status = session_check(session, sequence, error);
  if (status) return status;
  if (n_tokens == 0) return error_set(error, GALE_E_ARGUMENT, "a prompt without tokens");
  if (n_tokens > (size_t)(session->options.context - session->length[sequence]))
    return error_set(error, GALE_E_CONTEXT, "%zu more tokens after %d exceed the context of %d", n_tokens,
                     session->length[sequence], session->options.context);
  size_t chunk = (size_t)session->options.chunk;
  for (size_t done = 0; done < n_tokens;) {
    if (progress && !progress(user, (double)done / (double)n_tokens, "reading the prompt"))
      return error_set(error, GALE_E_CANCELLED, "reading the prompt was cancelled after %zu tokens", done);
    size_t n = n_tokens - done < chunk ? n_tokens - done : chunk;
    gale_input in = {.sequence = sequence,
                     .tokens = tokens + done,
                     .n_tokens = (int32_t)n,
                     .logits = done + n == n_tokens ? GALE_LOGITS_LAST : GALE_LOGITS_NONE};
    status = gale_step(session, &in, 1, error);
    if (status) return status;
    done += n;
  }
  if (progress) progress(user, 1, "reading the prompt");
  return GALE_OK;
}

/* ---- Rows ---- */

size_t gale_hidden_rows(const gale_session *session, int32_t sequence) {
  bool there = is_open(session, sequence) && session->own_rows[sequence].step == session->steps;
  return there ? (size_t)session->own_rows[sequence].n : 0;
}

const float *gale_hidden(const gale_session *session, int32_t sequence, size_t row) {
  if (row >= gale_hidden_rows(session, sequence)) return NULL;
  size_t at = (size_t)session->own_rows[sequence].first + row;
  return session->state.x.f32 + at * (size_t)session->model->config.dim;
}

size_t gale_logits_rows(const gale_session *session, int32_t sequence) {
  size_t n = gale_hidden_rows(session, sequence);
  return n && session->own_rows[sequence].first < session->n_logits ? n : 0;
}

const float *gale_logits(const gale_session *session, int32_t sequence, size_t row) {
  if (row >= gale_logits_rows(session, sequence)) return NULL;
  size_t at = (size_t)session->own_rows[sequence].first + row;
  return session->state.logits + at * (size_t)session->model->config.vocab_size;
}
