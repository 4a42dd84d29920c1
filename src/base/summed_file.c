#include "base/summed_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Raised when this layout changes. */
enum { SUMMED_VERSION = 1 };

static const uint64_t file_magic = 0x31306D7553656C47; /* "GleSum01" on little-endian machines */

typedef struct footer {
  uint64_t magic, version, kind;
  uint64_t n_sections, about_bytes;
  digest key;
  uint64_t sum; /* of table and words, with this footer mixed in while `sum` is 0 */
} footer;

static size_t round_up(size_t n) {
  return (n + 7) / 8 * 8;
}

/* Sums stretches of CHECKSUM_MOST bytes, since checksum() takes no more. */
static uint64_t sum_all(const char *bytes, size_t n, footer f) {
  f.sum = 0;
  uint64_t sum = checksum(&f, sizeof f);
  for (size_t at = 0; at < n; at += CHECKSUM_MOST) {
    uint64_t both[2] = {sum, checksum(bytes + at, n - at < CHECKSUM_MOST ? n - at : CHECKSUM_MOST)};
    sum = checksum(both, sizeof both);
  }
  return sum;
}

/* ---- Writing ---- */

gale_status summed_create(summed_writer *w, const char *directory, const char *prefix, gale_error *error) {
  *w = (summed_writer){.file.fd = -1};
  return fresh_create(&w->file, directory, prefix, error);
}

static gale_status put_section(summed_writer *w, const void *bytes, size_t n, gale_error *error) {
  if (w->n_sections == w->room) {
    size_t room = 2 * w->room + 8;
    summed_section *more = realloc(w->sections, room * sizeof *more);
    if (!more) return error_memory(error, room * sizeof *more);
    w->sections = more;
    w->room = room;
  }
  w->sections[w->n_sections] = (summed_section){n, checksum(bytes, n)};
  gale_status status = fresh_write(&w->file, w->at, bytes, n, error);
  if (status) return status;
  w->n_sections++;
  w->at += n;
  return GALE_OK;
}

gale_status summed_put(summed_writer *w, const void *bytes, size_t n, gale_error *error) {
  gale_status status = GALE_OK;
  for (size_t at = 0; at < n && !status; at += CHECKSUM_MOST)
    status = put_section(w, (const char *)bytes + at, n - at < CHECKSUM_MOST ? n - at : CHECKSUM_MOST, error);
  return status;
}

gale_status summed_finish(summed_writer *w, uint64_t kind, const digest *key, const void *about, size_t about_bytes,
                          gale_error *error) {
  if (about_bytes > SUMMED_MOST_ABOUT)
    return error_set(error, GALE_E_ARGUMENT, "%s: %zu bytes about a file: at most %d are accepted", w->file.path,
                     about_bytes, SUMMED_MOST_ABOUT);
  size_t table = w->n_sections * sizeof *w->sections, n = table + round_up(about_bytes);
  footer foot = {.magic = file_magic,
                 .version = SUMMED_VERSION,
                 .kind = kind,
                 .n_sections = w->n_sections,
                 .about_bytes = about_bytes,
                 .key = *key};
  char *end = calloc(1, n + sizeof foot);
  if (!end) return error_memory(error, n + sizeof foot);
  if (table) memcpy(end, w->sections, table);
  if (about_bytes) memcpy(end + table, about, about_bytes);
  foot.sum = sum_all(end, n, foot);
  memcpy(end + n, &foot, sizeof foot);
  gale_status status = fresh_write(&w->file, w->at, end, n + sizeof foot, error);
  free(end);
  if (!status && ftruncate(w->file.fd, (off_t)(w->at + n + sizeof foot)) != 0)
    status = error_set(error, GALE_E_IO, "%s: %s", w->file.path, strerror(errno));
  return status;
}

void summed_writer_close(summed_writer *w) {
  fresh_close(&w->file);
  free(w->sections);
  *w = (summed_writer){.file.fd = -1};
}

/* ---- Reading ---- */

static gale_status read_footer(const file *f, uint64_t kind, footer *foot, size_t *n, gale_error *error) {
  static const char refused[] = "%s: not a whole file of this kind and version of gale";
  if (f->size < sizeof *foot) return error_set(error, GALE_E_FORMAT, refused, f->path);
  gale_status status = file_read(f, f->size - sizeof *foot, foot, sizeof *foot, error);
  if (status) return status;
  if (foot->magic != file_magic || foot->version != SUMMED_VERSION || foot->kind != kind ||
      foot->about_bytes > SUMMED_MOST_ABOUT || foot->n_sections > f->size / sizeof(summed_section))
    return error_set(error, GALE_E_FORMAT, refused, f->path);
  *n = (size_t)foot->n_sections * sizeof(summed_section) + round_up((size_t)foot->about_bytes);
  if (*n > f->size - sizeof *foot) return error_set(error, GALE_E_FORMAT, refused, f->path);
  return GALE_OK;
}

static gale_status place_sections(summed_file *f, uint64_t end, gale_error *error) {
  uint64_t at = 0;
  f->at = malloc((f->n_sections + 1) * sizeof *f->at);
  if (!f->at) return error_memory(error, (f->n_sections + 1) * sizeof *f->at);
  for (size_t i = 0; i < f->n_sections; i++) {
    uint64_t n = f->sections[i].bytes;
    f->at[i] = at;
    if (n == 0 || n > CHECKSUM_MOST || n > end - at)
      return error_set(error, GALE_E_FORMAT, "%s: damaged: the size of section %zu", f->file.path, i);
    at += n;
  }
  return at == end ? GALE_OK : error_set(error, GALE_E_FORMAT, "%s: damaged: its size", f->file.path);
}

static gale_status read_end(summed_file *f, uint64_t kind, gale_error *error) {
  footer foot;
  size_t n = 0;
  gale_status status = read_footer(&f->file, kind, &foot, &n, error);
  if (status) return status;
  char *end = malloc(n + 1);
  if (!end) return error_memory(error, n + 1);
  f->sections = (summed_section *)end;
  uint64_t begin = f->file.size - sizeof foot - n;
  status = file_read(&f->file, begin, end, n, error);
  if (status) return status;
  if (sum_all(end, n, foot) != foot.sum)
    return error_set(error, GALE_E_FORMAT, "%s: damaged: what follows its data at offset %llu", f->file.path,
                     (unsigned long long)begin);
  f->n_sections = (size_t)foot.n_sections;
  f->key = foot.key;
  f->about = end + f->n_sections * sizeof *f->sections;
  f->about_bytes = (size_t)foot.about_bytes;
  end[f->n_sections * sizeof *f->sections + f->about_bytes] = 0;
  return place_sections(f, begin, error);
}

gale_status summed_open(summed_file *f, const char *path, bool own, uint64_t kind, gale_error *error) {
  *f = (summed_file){.file.fd = -1};
  gale_status status = own ? file_open_own(&f->file, path, error) : file_open(&f->file, path, error);
  if (!status) status = read_end(f, kind, error);
  if (status) summed_close(f);
  return status;
}

void summed_close(summed_file *f) {
  file_close(&f->file);
  free(f->sections);
  free(f->at);
  *f = (summed_file){.file.fd = -1};
}

gale_status summed_read(const summed_file *f, size_t section, void *to, gale_error *error) {
  const summed_section *s = &f->sections[section];
  gale_status status = file_read(&f->file, f->at[section], to, s->bytes, error);
  if (status || checksum(to, (size_t)s->bytes) == s->sum) return status;
  return error_set(error, GALE_E_FORMAT, "%s: damaged: the %llu bytes at offset %llu", f->file.path,
                   (unsigned long long)s->bytes, (unsigned long long)f->at[section]);
}

gale_status summed_take(const summed_file *f, size_t *section, void *to, size_t n, gale_error *error) {
  for (size_t at = 0; at < n; (*section)++) {
    bool there = *section < f->n_sections && f->sections[*section].bytes <= n - at;
    if (!there) return error_set(error, GALE_E_FORMAT, "%s: not the sections that it should have", f->file.path);
    gale_status status = summed_read(f, *section, (char *)to + at, error);
    if (status) return status;
    at += (size_t)f->sections[*section].bytes;
  }
  return GALE_OK;
}
