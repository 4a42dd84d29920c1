#include "load/load.h"

#include "base/team.h"
#include "load/memory_check.h"
#include "load/packed_cache.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- Reading rows ---- */

typedef struct rows_source {
  const checkpoint *c;
  const tensor *t;
  uint64_t row_bytes;
  int64_t first_row;
  int64_t head_dim; /* 0: rows as they are; else each head's pairs (2i, 2i + 1) become (i, i + head_dim / 2) */
} rows_source;

static gale_status read_rows(const rows_source *s, int64_t first, int64_t n, void *to, gale_error *error) {
  uint64_t bytes = s->row_bytes;
  if (s->head_dim == 0)
    return checkpoint_read(s->c, s->t, (uint64_t)(s->first_row + first) * bytes, to, (uint64_t)n * bytes, error);
  gale_status status = GALE_OK;
  for (int64_t i = 0; i < n && !status; i++) {
    int64_t row = first + i, in_head = row % s->head_dim, half = s->head_dim / 2;
    int64_t from = row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
    status = checkpoint_read(s->c, s->t, (uint64_t)from * bytes, (char *)to + (uint64_t)i * bytes, bytes, error);
  }
  return status;
}

/* ---- The job: all targets one after the other, in units of a panel or a vector ---- */

/* Bytes of memory that a worker takes at a time. When they are written to a file, panels that lie across two of these
 * are packed twice. */
enum { STRETCH_SECTIONS = 8 };
static const uint64_t stretch_bytes = (uint64_t)STRETCH_SECTIONS * PACKED_SECTION;

/* A target and where it lies in memory. */
typedef struct place {
  uint64_t at, bytes, unit; /* unit: bytes of a panel; of a vector, all of it */
} place;

typedef struct job {
  const load_request *request;
  model_weights *w;
  place *places;               /* [n_targets] */
  size_t most_unit, most_rows; /* bytes of the largest unit, and of the stored rows of one */
  team *workers;
  /* Weights are packed to memory, or packed to a file, or taken from a kept file; of these three two are NULL. */
  char *memory;
  packed_writer *writer;
  const packed_file *kept;
  const char *mapped; /* the kept file's mapped bytes; NULL: they are read to `copy` */
  char *copy;

  atomic_uint_fast64_t done; /* bytes */
  atomic_int failed;
  bool writer_failed;
  gale_status status; /* of the worker that failed first */
  gale_error error;
} job;

static void fail(job *j, gale_status status, const gale_error *error, bool writer) {
  if (atomic_exchange(&j->failed, 1)) return;
  j->status = status;
  j->error = *error;
  j->writer_failed = writer;
}

static bool stopped(job *j) {
  return atomic_load_explicit(&j->failed, memory_order_relaxed);
}

/* Worker 0, which is the caller's thread, reports the progress of all workers. */
static void report(job *j, int worker, uint64_t bytes) {
  uint64_t done = atomic_fetch_add(&j->done, bytes) + bytes;
  const load_request *r = j->request;
  if (worker != 0 || !r->progress) return;
  if (r->progress(r->user, (double)done / (double)j->w->memory_bytes, "loading")) return;
  gale_error error = {0};
  error_fill(&error, GALE_E_CANCELLED, "loading was cancelled");
  fail(j, GALE_E_CANCELLED, &error, false);
}

static gale_status load_vector(const job *j, const tensor *t, size_t bytes, void *stored, char *to, gale_error *error) {
  gale_status status = checkpoint_read(j->request->checkpoint, t, 0, stored, t->bytes, error);
  if (status) return status;
  const quant_info *q = quant_get(t->type);
  float *values = (float *)to;
  size_t n = (size_t)t->shape[0];
  q->dequantize(q, stored, values, n);
  for (size_t i = 0; i < n; i++) values[i] += j->request->config->norm_offset;
  memset(values + n, 0, bytes - n * sizeof *values);
  return GALE_OK;
}

static gale_status load_unit(const job *j, size_t target, uint64_t unit, void *stored, char *to, gale_error *error) {
  const load_request *r = j->request;
  const weight_target *i = &j->w->targets[target];
  const tensor *t = i->place.tensor;
  if (i->vector) return load_vector(j, t, (size_t)j->places[target].bytes, stored, to, error);
  bool pairs = r->config->interleaved && (i->role == WQ || i->role == WK);
  rows_source s = {.c = r->checkpoint,
                   .t = t,
                   .row_bytes = quant_bytes(t->type, (uint64_t)i->cols),
                   .first_row = i->place.first_row,
                   .head_dim = pairs ? r->config->head_dim : 0};
  int64_t first = (int64_t)unit * PANEL_ROWS, n = i->rows - first < PANEL_ROWS ? i->rows - first : PANEL_ROWS;
  gale_status status = read_rows(&s, first, n, stored, error);
  if (!status) r->device->ops->weight_pack(r->device, t->type, i->cols, stored, (int)n, to);
  return status;
}

/* ---- Packing to memory ---- */

/* Packs the units that begin in [from, to). */
static gale_status pack_stretch(const job *j, uint64_t from, uint64_t to, void *stored, gale_error *error) {
  for (size_t i = 0; i < j->w->n_targets; i++) {
    const place *p = &j->places[i];
    if (p->at + p->bytes <= from || p->at >= to) continue;
    uint64_t unit = from > p->at ? (from - p->at + p->unit - 1) / p->unit : 0;
    for (uint64_t at = p->at + unit * p->unit; at < p->at + p->bytes && at < to; unit++, at += p->unit) {
      gale_status status = load_unit(j, i, unit, stored, j->memory + at, error);
      if (status) return status;
    }
  }
  return GALE_OK;
}

/* ---- Packing to a file ---- */

/* What a worker has packed and not yet written: bytes from offset `at` on. */
typedef struct buffer {
  char *bytes;
  uint64_t at, length;
} buffer;

/* Writes the sections from *next on that the buffer holds whole. */
static gale_status flush(job *j, buffer *b, uint64_t *next, uint64_t end, gale_error *error) {
  for (; *next < end; *next += PACKED_SECTION) {
    uint64_t n = end - *next < PACKED_SECTION ? end - *next : PACKED_SECTION;
    if (b->at + b->length < *next + n) break;
    gale_status status = packed_put(j->writer, (size_t)(*next / PACKED_SECTION), b->bytes + (*next - b->at), error);
    if (status) {
      fail(j, status, error, true);
      return status;
    }
  }
  uint64_t written = *next < b->at + b->length ? *next : b->at + b->length;
  if (written > b->at) {
    b->length -= written - b->at;
    memmove(b->bytes, b->bytes + (written - b->at), (size_t)b->length);
    b->at = written;
  }
  return GALE_OK;
}

/* Writes the sections of [from, to), and for that packs all units that reach into it. */
static gale_status write_stretch(job *j, uint64_t from, uint64_t to, void *stored, char *bytes, gale_error *error) {
  uint64_t next = from;
  buffer b = {.at = from};
  b.bytes = bytes;
  for (size_t i = 0; i < j->w->n_targets; i++) {
    const place *p = &j->places[i];
    if (p->at + p->bytes <= from || p->at >= to) continue;
    uint64_t unit = from > p->at ? (from - p->at) / p->unit : 0;
    for (uint64_t at = p->at + unit * p->unit; at < p->at + p->bytes && at < to; unit++, at += p->unit) {
      if (b.length == 0) b.at = at;
      gale_status status = load_unit(j, i, unit, stored, b.bytes + b.length, error);
      if (status) return status;
      b.length += p->unit;
      status = flush(j, &b, &next, to, error);
      if (status) return status;
    }
  }
  return GALE_OK;
}

/* ---- Taking what was kept ---- */

static gale_status check_stretch(job *j, uint64_t from, uint64_t to, gale_error *error) {
  for (uint64_t at = from; at < to; at += PACKED_SECTION) {
    size_t section = (size_t)(at / PACKED_SECTION);
    const char *bytes = j->mapped ? j->mapped + at : j->copy + at;
    gale_status status = GALE_OK;
    if (!j->mapped)
      status = file_read(&j->kept->file, at, j->copy + at, packed_section_bytes(j->w->memory_bytes, section), error);
    if (status) return status;
    if (!packed_check(j->kept, section, bytes))
      return error_set(error, GALE_E_FORMAT, "%s: damaged", j->kept->file.path);
  }
  return GALE_OK;
}

/* ---- All workers ---- */

static void work(void *argument, team_worker *workers) {
  job *j = argument;
  gale_error error = {0};
  uint64_t all = j->w->memory_bytes;
  int64_t n_stretches = (int64_t)((all + stretch_bytes - 1) / stretch_bytes);
  size_t stored_bytes = j->kept ? 0 : j->most_rows, buffer_bytes = j->writer ? PACKED_SECTION + 2 * j->most_unit : 0;
  char *stored = malloc(stored_bytes + 1), *bytes = NULL;
  if (!stored || posix_memalign((void **)&bytes, PANEL_ALIGN, buffer_bytes + 1) != 0) {
    bytes = NULL;
    fail(j, error_memory(&error, stored_bytes + buffer_bytes), &error, false);
  }
  while (!stopped(j)) {
    int64_t stretch = team_take(workers, 1);
    if (stretch >= n_stretches) break;
    uint64_t from = (uint64_t)stretch * stretch_bytes;
    uint64_t to = all - from < stretch_bytes ? all : from + stretch_bytes;
    gale_status status = j->kept     ? check_stretch(j, from, to, &error)
                         : j->writer ? write_stretch(j, from, to, stored, bytes, &error)
                                     : pack_stretch(j, from, to, stored, &error);
    if (status)
      fail(j, status, &error, false);
    else
      report(j, team_index(workers), to - from);
  }
  free(stored);
  free(bytes);
}

static gale_status run(job *j, gale_error *error) {
  atomic_init(&j->done, 0);
  atomic_init(&j->failed, 0);
  j->status = GALE_OK;
  j->writer_failed = false;
  team_run(j->workers, work, j);
  if (!atomic_load(&j->failed)) return GALE_OK;
  if (error) *error = j->error;
  return j->status;
}

static bool lay_out(job *j) {
  const load_request *r = j->request;
  model_weights *w = j->w;
  const be_ops *ops = r->device->ops;
  j->places = calloc(w->n_targets + 1, sizeof *j->places);
  if (!j->places) return false;
  for (size_t n = 0; n < w->n_targets; n++) {
    const weight_target *i = &w->targets[n];
    uint64_t rows = i->place.tensor->bytes;
    place *p = &j->places[n];
    p->at = w->memory_bytes;
    if (i->matrix) {
      p->bytes = ops->weight_bytes(r->device, i->matrix->type, i->rows, i->cols);
      p->unit = ops->weight_bytes(r->device, i->matrix->type, PANEL_ROWS, i->cols);
      rows = PANEL_ROWS * quant_bytes(i->matrix->type, (uint64_t)i->cols);
    } else {
      p->bytes = p->unit = ((uint64_t)i->cols * sizeof(float) + PANEL_ALIGN - 1) / PANEL_ALIGN * PANEL_ALIGN;
    }
    if (p->unit > j->most_unit) j->most_unit = (size_t)p->unit;
    if (rows > j->most_rows) j->most_rows = (size_t)rows;
    w->memory_bytes += (size_t)p->bytes;
  }
  return true;
}

static void place_all(const job *j, const char *memory) {
  model_weights *w = j->w;
  w->memory = (void *)memory;
  for (size_t n = 0; n < w->n_targets; n++) {
    const weight_target *i = &w->targets[n];
    if (i->vector)
      *i->vector = (const float *)(memory + j->places[n].at);
    else
      i->matrix->data = (char *)w->memory + j->places[n].at;
  }
  if (w->tied) w->output = w->tok_embeddings;
}

/* ---- With the cache ---- */

static void note_sums(load_report *report, const uint64_t *sums, size_t n) {
  report->summed = true;
  for (size_t i = 0; i < n; i++) digest_number(&report->sums, sums[i]);
}

/* False: nothing usable was kept. Mapped pages are shared by all processes, need not be copied, and are large where the
 * file system's are; elsewhere a copy in large pages is worth its time, for every token reads all of it. */
static bool take_kept(job *j, const char *path, const digest *key, load_report *report) {
  model_weights *w = j->w;
  const be_device *device = j->request->device;
  packed_file kept;
  if (packed_open(&kept, path, NULL)) return false;
  bool good = memcmp(&kept.about.key, key, sizeof *key) == 0 && kept.about.data_bytes == w->memory_bytes;
  if (good) {
    j->kept = &kept;
    j->mapped = packed_map(kept.file.fd, w->memory_bytes, &w->mapping, &w->mapping_bytes);
    if (j->mapped && !packed_in_large_pages(j->mapped, w->memory_bytes)) {
      munmap(w->mapping, w->mapping_bytes);
      w->mapping = NULL;
      j->mapped = NULL;
    }
    if (!j->mapped) j->copy = device->ops->alloc(device, w->memory_bytes, true, NULL);
    good = (j->mapped || j->copy) && run(j, NULL) == GALE_OK;
  }
  if (good) {
    place_all(j, j->mapped ? j->mapped : j->copy);
    packed_cache_touch(&kept);
    note_sums(report, kept.sums, kept.n_sections);
  } else {
    if (w->mapping) munmap(w->mapping, w->mapping_bytes);
    if (j->copy) device->ops->release(device, j->copy, w->memory_bytes);
    w->mapping = NULL;
  }
  j->kept = NULL;
  j->mapped = j->copy = NULL;
  packed_close(&kept);
  return good;
}

static bool files_unchanged(const load_request *r) {
  const checkpoint *c = r->converted ? r->converted->checkpoint : r->checkpoint;
  for (size_t i = 0; i < c->n_files; i++)
    if (!file_unchanged(&c->files[i])) return false;
  return true;
}

/* Packs to a file and maps that: its pages are in memory anyway until the system has written them, and so nothing is
 * there twice. False: the cache is of no use, and *why says so. Otherwise *status is that of loading. */
static bool pack_to_file(job *j, const packed_about *about, const char *path, gale_status *status, load_report *report,
                         gale_error *error) {
  const load_request *r = j->request;
  model_weights *w = j->w;
  gale_error why = {0};
  packed_writer writer;
  if (directory_make(r->options->cache, &why) ||
      packed_cache_make_room(r->options->cache, about, r->options->cache_limit, &why) ||
      packed_create(&writer, r->options->cache, w->memory_bytes, &why)) {
    error_fill(&report->note, GALE_OK, "not kept: %s", why.message);
    return false;
  }
  j->writer = &writer;
  *status = run(j, error);
  j->writer = NULL;
  bool useful = !j->writer_failed;
  if (useful && *status == GALE_OK) {
    const char *mapped = packed_map(writer.file.fd, w->memory_bytes, &w->mapping, &w->mapping_bytes);
    useful = mapped != NULL;
    if (useful) {
      place_all(j, mapped);
      note_sums(report, writer.sums, (size_t)((w->memory_bytes + PACKED_SECTION - 1) / PACKED_SECTION));
    }
  }
  if (!useful) {
    error_fill(&report->note, GALE_OK, "not kept: %s", j->writer_failed ? j->error.message : "no mapping");
  } else if (*status == GALE_OK) {
    if (!files_unchanged(r))
      error_fill(&report->note, GALE_OK, "not kept: the model's files were changed meanwhile");
    else if (packed_commit(&writer, about, path, &why))
      error_fill(&report->note, GALE_OK, "not kept: %s", why.message);
    else
      report->kept = true;
    if (report->kept) error_fill(&report->note, GALE_OK, "kept for the next start");
  }
  packed_writer_close(&writer);
  return useful;
}

/* False: the weights are to be loaded without the cache. */
static bool load_with_cache(job *j, gale_status *status, load_report *report, gale_error *error) {
  const load_request *r = j->request;
  const char *why = "the model is small", *source = r->converted ? r->converted->checkpoint->path : r->checkpoint->path;
  packed_about about = {.data_bytes = j->w->memory_bytes, .mix = r->options->quantize ? r->options->quantize : ""};
  if (about.data_bytes < r->options->cache_least || about.data_bytes == 0 || !load_key(r, j->w, &about.key, &why)) {
    error_fill(&report->note, GALE_OK, "not kept: %s", why);
    return false;
  }
  char *whole = realpath(source, NULL), *path = packed_cache_path(r->options->cache, &about.key);
  about.source = whole ? whole : source;
  bool loaded = false;
  if (path && take_kept(j, path, &about.key, report)) {
    report->kept = report->from_cache = loaded = true;
    *status = GALE_OK;
    error_fill(&report->note, GALE_OK, "packed weights were kept in %s", path);
  } else if (path) {
    loaded = pack_to_file(j, &about, path, status, report, error);
  }
  free(path);
  free(whole);
  return loaded;
}

static gale_status load_to_memory(job *j, gale_error *error) {
  const be_device *device = j->request->device;
  j->memory = device->ops->alloc(device, j->w->memory_bytes, true, error);
  if (!j->memory) return GALE_E_MEMORY;
  place_all(j, j->memory); /* also after a failure, for weights_release() */
  return run(j, error);
}

gale_status weights_load(const load_request *r, model_weights *w, load_report *report, gale_error *error) {
  job j = {.request = r, .w = w};
  *report = (load_report){0};
  w->memory_bytes = 0;
  gale_status status = lay_out(&j) ? GALE_OK : error_memory(error, w->n_targets);
  if (!status && !r->options->no_memory_check)
    status = memory_check_model("", r->model, w->memory_bytes, r->options->session, error);
  if (!status) status = team_open(r->threads, true, &j.workers, error);
  if (!status && r->progress && !r->progress(r->user, 0, "loading"))
    status = error_set(error, GALE_E_CANCELLED, "loading was cancelled");
  if (!status && !(r->options->cache && load_with_cache(&j, &status, report, error)))
    status = load_to_memory(&j, error);
  if (!status && r->progress) r->progress(r->user, 1, "loading");
  if (j.workers) team_close(&j.workers);
  free(j.places);
  return status;
}

void weights_release(const be_device *device, model_weights *w) {
  if (w->mapping)
    munmap(w->mapping, w->mapping_bytes);
  else if (w->memory)
    device->ops->release(device, w->memory, w->memory_bytes);
  w->memory = w->mapping = NULL;
}
