/* gale logits: the logits of given ids, as a NumPy file. */
#include "gale/cli/atomic.h"
#include "gale/cli/console.h"
#include "gale/cli/input.h"
#include "gale/cli/opening.h"
#include "gale/commands/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The header of a two-dimensional float32 array in NumPy's format 1.0: magic, length, a Python
 * dictionary, and blanks up to a multiple of 64 bytes, the last of them a newline. */
static int write_header(atomic_file *f, size_t rows, size_t columns) {
  char header[128];
  memset(header, ' ', sizeof header);
  memcpy(header, "\x93NUMPY\x01\x00", 8);
  header[8] = sizeof header - 10;
  header[9] = 0;
  const uint16_t one = 1;
  char order = *(const char *)&one ? '<' : '>';
  int n = snprintf(header + 10, sizeof header - 10, "{'descr': '%cf4', 'fortran_order': False, 'shape': (%zu, %zu), }",
                   order, rows, columns);
  header[10 + n] = ' '; /* snprintf's NUL */
  header[sizeof header - 1] = '\n';
  return atomic_write(f, header, sizeof header);
}

typedef struct work {
  gale_session *session;
  int32_t sequence;
  const int32_t *ids;
  size_t n_ids, vocab_size;
  atomic_file *file;
  progress *progress;
} work;

static int write_row(const work *w, size_t row) {
  const float *logits = gale_logits(w->session, w->sequence, row);
  if (!logits) return fail("the step left no logits in row %zu", row);
  return atomic_write(w->file, logits, w->vocab_size * sizeof *logits);
}

static int last_row(const work *w) {
  gale_error error = {0};
  if (gale_prefill(w->session, w->sequence, w->ids, w->n_ids, progress_step, w->progress, &error))
    return fail_with(&error);
  return write_row(w, 0);
}

/* A chunk's rows are written before the next chunk is computed, so that memory is that of one chunk. */
static int all_rows(const work *w) {
  gale_session_options settings;
  gale_session_get_options(w->session, &settings);
  size_t chunk = (size_t)settings.chunk;
  int code = 0;
  for (size_t at = 0; !code && at < w->n_ids; at += chunk) {
    size_t n = w->n_ids - at < chunk ? w->n_ids - at : chunk;
    gale_input input = {w->sequence, w->ids + at, (int32_t)n, GALE_LOGITS_ALL};
    gale_error error = {0};
    if (!progress_step(w->progress, (double)at / (double)w->n_ids, "computing")) return signals_exit_status();
    if (gale_step(w->session, &input, 1, &error)) return fail_with(&error);
    for (size_t row = 0; !code && row < n; row++) code = write_row(w, row);
  }
  return code;
}

static int compute(const options *o, gale_model *model, const int32_t *ids, size_t n_ids) {
  gale_model_info info;
  gale_model_get_info(model, &info);
  progress p;
  progress_start(&p, o);
  atomic_file file = {0};
  work w = {.ids = ids, .n_ids = n_ids, .vocab_size = (size_t)info.vocab_size, .file = &file, .progress = &p};
  int code = open_session(o, model, n_ids, &w.session);
  gale_error error = {0};
  if (!code && gale_sequence_open(w.session, &w.sequence, &error)) code = fail_with(&error);
  if (!code) code = atomic_open(&file, o->out);
  if (!code) code = write_header(&file, o->last ? 1 : n_ids, w.vocab_size);
  if (!code) code = o->last ? last_row(&w) : all_rows(&w);
  progress_end(&p);
  if (!code) code = atomic_commit(&file);
  atomic_abandon(&file);
  gale_session_close(&w.session);
  return code;
}

int logits_main(const options *o) {
  if (!o->ids) return usage_error(o, "--ids FILE is missing");
  if (!o->out) return usage_error(o, "--out OUT.npy is missing");
  gale_model *model = NULL;
  int code = open_model(o, false, &model);
  if (code) return code;
  gale_model_info info;
  gale_model_get_info(model, &info);
  text t = {0};
  int32_t *ids = NULL;
  size_t n_ids = 0;
  code = input_read(o->ids, &t);
  if (!code) code = input_ids(input_name(o->ids), t.bytes, t.length, info.vocab_size, &ids, &n_ids);
  if (!code && n_ids == 0) code = fail("%s: no token ids", input_name(o->ids));
  if (!code) code = compute(o, model, ids, n_ids);
  free(ids);
  free(t.bytes);
  gale_model_close(&model);
  return code;
}
