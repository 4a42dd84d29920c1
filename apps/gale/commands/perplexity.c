/* gale perplexity: how well a model predicts a text, and how far it is from another. */
#include "gale/cli/console.h"
#include "gale/cli/input.h"
#include "gale/cli/opening.h"
#include "gale/commands/command.h"
#include "gale/quality/divergence.h"
#include "gale/quality/passages.h"
#include "gale/quality/perplexity_report.h"
#include "gale/quality/saved_logits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A model at work on the passages. */
typedef struct reader {
  gale_model *model; /* NULL: not open */
  gale_session *session;
  int32_t sequence;
} reader;

typedef struct work {
  const options *o;
  passages passages;
  int32_t vocab_size;
  reader model, base;
  saved_reader saved; /* the base, if it is a file of distributions */
  saved_writer save;
  samples samples;
} work;

static int32_t vocab_size_of(const gale_model *model) {
  gale_model_info info;
  gale_model_get_info(model, &info);
  return info.vocab_size;
}

/* ---- The text ---- */

static bool adds_bos(const gale_tokenizer *t) {
  return t && gale_tokenizer_adds_bos(t) && gale_tokenizer_bos(t) >= 0;
}

/* One newline at the end is dropped, as llama.cpp does. */
static int split(const gale_tokenizer *t, const text *content, bool bos, int32_t **ids, size_t *n_ids) {
  size_t n = content->length;
  if (n && content->bytes[n - 1] == '\n') n--;
  gale_error error = {0};
  return gale_tokenize(t, content->bytes, n, bos, ids, n_ids, &error) ? fail_with(&error) : 0;
}

static bool first_difference(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b, size_t *at) {
  size_t n = n_a < n_b ? n_a : n_b;
  for (*at = 0; *at < n && a[*at] == b[*at]; ++*at) {
  }
  return *at < n || n_a != n_b;
}

/* Both models must mean the same by an id. */
static int check_base_splits_alike(const work *w, const text *content, const int32_t *ids, size_t n_ids) {
  const gale_tokenizer *ours = gale_model_tokenizer(w->model.model), *theirs = gale_model_tokenizer(w->base.model);
  if (!theirs) return 0;
  int32_t *others = NULL;
  size_t n_others, at;
  int code = split(theirs, content, false, &others, &n_others);
  if (code) return code;
  size_t skip = adds_bos(ours) ? 1 : 0;
  if (first_difference(ids + skip, n_ids - skip, others, n_others, &at))
    code = fail("%s splits the text differently from token %zu on; a base with the same tokenizer is wanted", w->o->kl,
                at);
  gale_free(others);
  return code;
}

static int read_text(work *w, int32_t **ids, size_t *n_ids) {
  const char *path = w->o->ids ? w->o->ids : w->o->file;
  const gale_tokenizer *t = gale_model_tokenizer(w->model.model);
  if (!w->o->ids && !t) return fail("%s: no tokenizer; give token ids with --ids", w->o->arguments[0]);
  text content = {0};
  int code = input_read(path, &content);
  if (code) return code;
  if (w->o->ids)
    code = input_ids(input_name(path), content.bytes, content.length, w->vocab_size, ids, n_ids);
  else {
    int32_t *split_ids = NULL;
    code = split(t, &content, adds_bos(t), &split_ids, n_ids);
    /* One allocator for both kinds, so that the passages can own them. */
    if (!code && !(*ids = malloc((*n_ids + 1) * sizeof **ids))) code = fail_memory();
    if (!code && *ids && *n_ids) memcpy(*ids, split_ids, *n_ids * sizeof **ids);
    gale_free(split_ids);
    if (!code && w->base.model) code = check_base_splits_alike(w, &content, *ids, *n_ids);
  }
  free(content.bytes);
  return code;
}

static int cut_text(work *w) {
  passages *p = &w->passages;
  const gale_tokenizer *t = gale_model_tokenizer(w->model.model);
  int32_t length = w->o->context ? w->o->context : PASSAGE_LENGTH;
  if (!passages_lay_out(p, length, w->o->ppl_stride))
    return usage_error(w->o, "passages of %d tokens (-c) with stride %d: at least %d and a smaller stride are wanted",
                       length, w->o->ppl_stride, PASSAGE_LEAST);
  p->bos = adds_bos(t) ? gale_tokenizer_bos(t) : -1;
  int code = read_text(w, &p->ids, &p->n_ids);
  if (code) return code;
  p->count = passages_in(p, p->n_ids);
  if (p->count < 1)
    return fail("%s: %zu tokens fill no passage of %d; a longer text or a smaller -c is wanted",
                input_name(w->o->ids ? w->o->ids : w->o->file), p->n_ids, length);
  if (w->o->chunks && w->o->chunks < p->count) p->count = w->o->chunks;
  return 0;
}

/* The file says what the passages are; a text that is given all the same must be the same. */
static int check_saved(work *w) {
  const options *o = w->o;
  passages *p = &w->passages;
  if (w->saved.vocab_size != w->vocab_size)
    return fail("%s: vocabulary of %d ids, but the model's has %d", o->kl, w->saved.vocab_size, w->vocab_size);
  if ((o->context && o->context != p->length) ||
      (option_given(o, OPTION_PPL_STRIDE) && o->ppl_stride != passages_stride(p)))
    return fail("%s was made with -c %d --ppl-stride %d; the same or none are wanted", o->kl, p->length,
                passages_stride(p));
  const gale_tokenizer *t = gale_model_tokenizer(w->model.model);
  if (w->saved.foreign && adds_bos(t)) p->bos = gale_tokenizer_bos(t);
  if (o->file || o->ids) {
    int32_t *ids = NULL;
    size_t n_ids = 0, at;
    int code = read_text(w, &ids, &n_ids);
    if (!code && first_difference(ids, n_ids < p->n_ids ? n_ids : p->n_ids, p->ids, p->n_ids, &at))
      code = fail("%s is about another text: its token %zu differs", o->kl, at);
    free(ids);
    if (code) return code;
  }
  if (o->chunks && o->chunks < p->count) p->count = o->chunks;
  return 0;
}

/* ---- Computing ---- */

static int reader_open(const work *w, const char *path, reader *r) {
  options o = *w->o;
  o.arguments[0] = path;
  return open_model(&o, false, &r->model);
}

static int reader_start(const work *w, reader *r) {
  options o = *w->o;
  gale_model_info info;
  gale_model_get_info(r->model, &info);
  if (w->passages.length > info.context)
    note(&o, "gale: %s was made for %d positions; the passages have %d", info.name, info.context, w->passages.length);
  o.context = w->passages.length;
  o.given[OPTION_CONTEXT] = true;
  int code = open_session(&o, r->model, 0, &r->session);
  gale_error error = {0};
  if (!code && gale_sequence_open(r->session, &r->sequence, &error)) code = fail_with(&error);
  return code;
}

static void reader_close(reader *r) {
  gale_session_close(&r->session);
  gale_model_close(&r->model);
}

static int32_t reader_chunk(const reader *r) {
  gale_session_options settings;
  gale_session_get_options(r->session, &settings);
  return settings.chunk;
}

static int reader_step(reader *r, const int32_t *ids, int32_t n, bool scored) {
  if (!r->session) return 0;
  if (signals_caught()) return signals_exit_status();
  gale_input input = {r->sequence, ids, n, scored ? GALE_LOGITS_ALL : GALE_LOGITS_NONE};
  gale_error error = {0};
  return gale_step(r->session, &input, 1, &error) ? fail_with(&error) : 0;
}

static int reader_reset(reader *r) {
  int32_t kept;
  gale_error error = {0};
  if (r->session && gale_sequence_truncate(r->session, r->sequence, 0, &kept, &error)) return fail_with(&error);
  return 0;
}

static int reader_row(const work *w, const reader *r, size_t row, distribution *d) {
  const float *logits = gale_logits(r->session, r->sequence, row);
  if (!logits) return fail("the step left no logits in row %zu", row);
  if (distribution_of(logits, w->vocab_size, d)) return 0;
  return fail("the logits of scored token %zu are not finite", w->samples.n);
}

/* The rows that a step left; following[i] is the id that row i predicts. */
static int score(work *w, const int32_t *following, int32_t n) {
  bool with_base = w->base.session || w->saved.stream;
  for (int32_t i = 0; i < n; i++) {
    distribution model, base = {0};
    int code = reader_row(w, &w->model, (size_t)i, &model);
    if (!code && w->base.session) code = reader_row(w, &w->base, (size_t)i, &base);
    if (!code && w->saved.stream) code = saved_read(&w->saved, &base);
    if (!code && w->save.record) code = saved_write(&w->save, &model);
    if (code) return code;
    samples_add(&w->samples, &model, with_base ? &base : NULL, w->vocab_size, following[i]);
  }
  return 0;
}

/* The last id is not computed, since what it predicts is not in the passage. */
static int measure_passage(work *w, int32_t *ids, int32_t chunk) {
  const passages *p = &w->passages;
  int code = reader_reset(&w->model);
  if (!code) code = reader_reset(&w->base);
  for (int32_t at = 0, n; !code && at < p->length - 1; at += n) {
    bool scored = at >= p->first;
    int32_t left = (scored ? p->length - 1 : p->first) - at;
    n = left < chunk ? left : chunk;
    code = reader_step(&w->model, ids + at, n, scored);
    if (!code) code = reader_step(&w->base, ids + at, n, scored);
    if (!code && scored) code = score(w, ids + at + 1, n);
  }
  return code;
}

static void show_estimate(const work *w, int32_t done, double start) {
  estimate e = estimate_exp(estimate_mean(w->samples.nll, w->samples.n));
  double left = (seconds_now() - start) / done * (w->passages.count - done);
  fprintf(stderr, "\r\033[K[%d/%d] perplexity %.4f +/- %.4f", done, w->passages.count, e.value, e.error);
  if (w->samples.divergence) fprintf(stderr, ", KL %.3e", estimate_mean(w->samples.divergence, w->samples.n).value);
  fprintf(stderr, ", %.0f s left", left);
}

static int measure(work *w) {
  const passages *p = &w->passages;
  int32_t chunk = reader_chunk(&w->model);
  if (w->base.session && reader_chunk(&w->base) < chunk) chunk = reader_chunk(&w->base);
  int32_t *ids = malloc((size_t)p->length * sizeof *ids);
  if (!ids) return fail_memory();
  progress shown;
  progress_start(&shown, w->o);
  double start = seconds_now();
  int code = 0;
  for (int32_t i = 0; !code && i < p->count; i++) {
    memcpy(ids, p->ids + (size_t)i * (size_t)p->step, (size_t)p->length * sizeof *ids);
    if (p->bos >= 0) ids[0] = p->bos;
    code = measure_passage(w, ids, chunk);
    if (!code && shown.shown && w->samples.n > 1) show_estimate(w, i + 1, start);
  }
  if (shown.shown) fputs("\r\033[K", stderr);
  free(ids);
  return code;
}

/* ---- The command ---- */

static int check_usage(const options *o, bool saved) {
  if (o->file && o->ids) return usage_error(o, "-f and --ids are given; one is wanted");
  if (!o->file && !o->ids && !saved) return usage_error(o, "-f FILE is missing");
  return 0;
}

static int open_all(work *w) {
  const options *o = w->o;
  bool saved = false;
  int code = o->kl ? saved_open(&w->saved, o->kl, &w->passages, &saved) : 0;
  if (!code) code = check_usage(o, saved);
  if (!code) code = reader_open(w, o->arguments[0], &w->model);
  if (code) return code;
  w->vocab_size = vocab_size_of(w->model.model);
  if (o->kl && !saved) {
    code = reader_open(w, o->kl, &w->base);
    if (code) return code;
    if (vocab_size_of(w->base.model) != w->vocab_size)
      return fail("%s: vocabulary of %d ids, but the model's has %d", o->kl, vocab_size_of(w->base.model),
                  w->vocab_size);
  }
  code = saved ? check_saved(w) : cut_text(w);
  if (!code) code = reader_start(w, &w->model);
  if (!code && w->base.model) code = reader_start(w, &w->base);
  if (code) return code;
  uint64_t total = passages_total(&w->passages);
  if (total < 2) return fail("only %d token would be scored; at least 2 are wanted", (int)total);
  return samples_open(&w->samples, (size_t)total, o->kl != NULL) ? 0 : fail_memory();
}

static int report(work *w) {
  gale_model_info info;
  gale_model_get_info(w->model.model, &info);
  perplexity_report r = {info.name, w->o->kl, &w->passages, &w->samples};
  return w->o->json ? perplexity_print_json(&r) : perplexity_print(&r);
}

int perplexity_main(const options *o) {
  work w = {.o = o};
  int code = open_all(&w);
  if (!code && o->save) code = saved_create(&w.save, o->save, &w.passages, w.vocab_size);
  if (!code) code = measure(&w);
  if (!code && o->save) code = saved_commit(&w.save);
  if (!code) code = report(&w);
  saved_abandon(&w.save);
  saved_close(&w.saved);
  samples_close(&w.samples);
  reader_close(&w.base);
  reader_close(&w.model);
  passages_free(&w.passages);
  return code;
}
