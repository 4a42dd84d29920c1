/* The name of packed weights, which tells whether kept ones are those that packing would give.
 *
 * Packing is a function of the tensors' bytes, of the plan by which targets are laid out, and of this program. Plan and
 * program are named exactly. To read all bytes would cost what the cache is to save, so they are named by what the
 * system knows of each file: its size, the time when its content was changed, and the time when anything about it was
 * (ctime), in nanoseconds. The last cannot be set by programs: writing, truncating, replacing by another file, also one
 * with the same size and date, all change it. What is left are file systems that keep no such time, or answer with a
 * stale one, and clocks that are set back; against those there are samples of the content.
 *
 * A file that changes twice within a tick of its file system's clock has the same times before and after the second
 * change. So a file that was changed less than SETTLED seconds before it was opened gets no name.
 *
 * Paths, inodes and devices are left out on purpose: they say nothing that ctime does not, and some systems give other
 * ones after each start. */
#include "load/load.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Raised whenever the same files and options give other packed bytes: layouts of panels, encoders, the order of
 * targets. A test compares with the bytes of this version. */
enum { PACKED_VERSION = 1 };

enum { SETTLED = 2, SAMPLES = 32, SAMPLE_BYTES = 4096 };

static bool settled(const struct timespec *t) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return t->tv_sec < now.tv_sec - SETTLED;
}

static void add_time(digest *d, struct timespec t) {
  digest_number(d, (uint64_t)t.tv_sec);
  digest_number(d, (uint64_t)t.tv_nsec);
}

static bool add_file(digest *d, const file *f) {
  digest_number(d, f->size);
  add_time(d, f->modified);
  add_time(d, f->changed);
  char sample[SAMPLE_BYTES];
  uint64_t n = f->size < SAMPLE_BYTES ? f->size : SAMPLE_BYTES;
  for (uint64_t i = 0; i < SAMPLES; i++) {
    if (file_read(f, (f->size - n) / (SAMPLES - 1) * i, sample, n, NULL)) return false;
    digest_add(d, sample, (size_t)n);
  }
  return true;
}

/* Numbers of the configuration that reading and packing look at. */
static void add_config(digest *d, const model_config *c) {
  uint32_t offset;
  memcpy(&offset, &c->norm_offset, sizeof offset);
  const uint64_t numbers[] = {(uint64_t)c->n_layers,
                              (uint64_t)c->n_experts,
                              (uint64_t)c->n_heads,
                              (uint64_t)c->n_kv_heads,
                              (uint64_t)c->head_dim,
                              c->interleaved,
                              offset};
  digest_add(d, numbers, sizeof numbers);
  digest_add(d, c->family->name, strlen(c->family->name));
}

static void add_targets(digest *d, const checkpoint *c, const model_weights *w) {
  for (size_t i = 0; i < w->n_targets; i++) {
    const weight_target *target = &w->targets[i];
    const tensor *t = target->place.tensor;
    const uint64_t numbers[] = {target->role,
                                (uint64_t)target->layer,
                                (uint64_t)target->expert,
                                (uint64_t)target->rows,
                                (uint64_t)target->cols,
                                (uint64_t)target->place.first_row,
                                (uint64_t)(t - c->tensors),
                                t->type,
                                t->file,
                                t->offset,
                                t->bytes,
                                t->fp8 != NULL};
    digest_add(d, numbers, sizeof numbers);
  }
}

bool load_key(const load_request *r, const model_weights *w, digest *key, const char **why) {
  const checkpoint *base = r->converted ? r->converted->checkpoint : r->checkpoint;
  *key = (digest){0};
  *why = "these weights are not in files";
  if (base->n_files == 0) return false;
  digest_add(key, gale_version(), strlen(gale_version()));
  digest_number(key, PACKED_VERSION);
  digest_number(key, GALE_NUMERICS_VERSION);
  for (size_t i = 0; i < base->n_files; i++) {
    *why = "the model's files were changed just now";
    if (!settled(&base->files[i].changed)) return false;
    *why = "the model's files cannot be read";
    if (!add_file(key, &base->files[i])) return false;
  }
  if (r->converted) {
    add_config(key, r->converted->config);
    add_targets(key, base, r->converted->weights);
  }
  add_config(key, r->config);
  add_targets(key, r->checkpoint, w);
  return true;
}
