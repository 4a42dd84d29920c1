#include "gale/quality/saved_logits.h"

#include "gale/cli/console.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char own_magic[8] = {'G', 'A', 'L', 'E', 'D', 'I', 'S', 'T'};
static const char foreign_magic[8] = {'_', 'l', 'o', 'g', 'i', 't', 's', '_'};

enum { VERSION = 1, MAGIC = 8, CHECK = 4, OWN_FIELDS = 6, FOREIGN_FIELDS = 3, LEVELS = 65535 };

/* llama.cpp's files raise the logits to no less than 16 below the largest, whose log p is 0 at most: what has a log p
 * up to -16 may have been raised. */
static const double foreign_floor = -16;

static uint32_t get_u32(const unsigned char *b) {
  return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}
static int32_t get_i32(const unsigned char *b) {
  uint32_t u = get_u32(b);
  return u <= INT32_MAX ? (int32_t)u : -(int32_t)(UINT32_MAX - u) - 1;
}
static float get_float(const unsigned char *b) {
  uint32_t u = get_u32(b);
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}
static uint16_t get_u16(const unsigned char *b) {
  return (uint16_t)(b[0] | b[1] << 8);
}
static void put_u32(unsigned char *b, uint32_t u) {
  for (int i = 0; i < 4; i++) b[i] = (unsigned char)(u >> 8 * i);
}
static void put_u16(unsigned char *b, uint16_t u) {
  b[0] = (unsigned char)u;
  b[1] = (unsigned char)(u >> 8);
}

/* FNV-1a. */
static uint32_t checksum(const unsigned char *bytes, size_t n) {
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < n; i++) h = (h ^ bytes[i]) * 16777619u;
  return h;
}

/* Room for n items of size bytes and for more bytes behind them, or NULL after saying so. */
static unsigned char *room_for(size_t n, size_t size, size_t more) {
  size_t bytes;
  bool fits = !__builtin_mul_overflow(n, size, &bytes) && !__builtin_add_overflow(bytes, more, &bytes);
  unsigned char *room = fits ? malloc(bytes) : NULL;
  if (!room) fail_memory();
  return room;
}

/* ---- Writing ---- */

static int write_record(saved_writer *w, unsigned char *record, size_t size) {
  put_u32(record + size, checksum(record, size));
  return atomic_write(&w->file, record, size + CHECK);
}

static int write_ids(saved_writer *w, const passages *p) {
  size_t n = (size_t)passages_reach(p, p->count);
  unsigned char *record = room_for(n, 4, CHECK);
  if (!record) return EXIT_INPUT;
  for (size_t i = 0; i < n; i++) put_u32(record + 4 * i, (uint32_t)p->ids[i]);
  int code = write_record(w, record, 4 * n);
  free(record);
  return code;
}

int saved_create(saved_writer *w, const char *path, const passages *p, int32_t vocab_size) {
  *w = (saved_writer){.vocab_size = vocab_size, .record = room_for((size_t)vocab_size, 2, 4 + CHECK)};
  if (!w->record) return EXIT_INPUT;
  int code = atomic_open(&w->file, path);
  unsigned char header[MAGIC + 4 * OWN_FIELDS + CHECK];
  memcpy(header, own_magic, MAGIC);
  const int32_t fields[OWN_FIELDS] = {VERSION, vocab_size, p->length, passages_stride(p), p->count, p->bos};
  for (size_t i = 0; i < OWN_FIELDS; i++) put_u32(header + MAGIC + 4 * i, (uint32_t)fields[i]);
  if (!code) code = write_record(w, header, MAGIC + 4 * OWN_FIELDS);
  if (!code) code = write_ids(w, p);
  return code;
}

int saved_write(saved_writer *w, const distribution *d) {
  float top = d->logits[d->top], lowest = top;
  for (int32_t i = 0; i < w->vocab_size; i++) lowest = d->logits[i] < lowest ? d->logits[i] : lowest;
  float range = (float)((double)top - lowest);
  if (!isfinite(range)) return fail("%s: the logits span more than a float holds", w->file.path);
  uint32_t bits;
  memcpy(&bits, &range, sizeof bits);
  put_u32(w->record, bits);
  double scale = range > 0 ? 1.0 / range : 0;
  for (int32_t i = 0; i < w->vocab_size; i++) {
    double level = (double)LEVELS * sqrt(((double)top - d->logits[i]) * scale) + 0.5;
    put_u16(w->record + 4 + 2 * (size_t)i, (uint16_t)fmin(level, (double)LEVELS));
  }
  return write_record(w, w->record, 4 + 2 * (size_t)w->vocab_size);
}

int saved_commit(saved_writer *w) {
  return atomic_commit(&w->file);
}

void saved_abandon(saved_writer *w) {
  atomic_abandon(&w->file);
  free(w->record);
  w->record = NULL;
}

/* ---- Reading ---- */

static int read_bytes(saved_reader *r, void *to, size_t n) {
  errno = 0;
  if (fread(to, 1, n, r->stream) == n) {
    r->offset += n;
    return 0;
  }
  return fail("%s: %s", r->path, errno ? strerror(errno) : "the file became shorter while it was read");
}

/* n bytes, and in gale's own files the checksum behind them. */
static int read_record(saved_reader *r, unsigned char *record, size_t n) {
  uint64_t begin = r->offset;
  int code = read_bytes(r, record, n + (r->foreign ? 0 : CHECK));
  if (code || r->foreign || checksum(record, n) == get_u32(record + n)) return code;
  return fail("%s: the bytes from %llu on are damaged (their checksum differs)", r->path, (unsigned long long)begin);
}

/* The size a file must have. False if there is no such size. */
static bool wanted_size(const saved_reader *r, const passages *p, uint64_t header, uint64_t *size) {
  uint64_t ids, rows;
  return !__builtin_mul_overflow(passages_reach(p, p->count), (uint64_t)4, &ids) &&
         !__builtin_mul_overflow(passages_total(p), (uint64_t)r->record_size, &rows) &&
         !__builtin_add_overflow(ids, rows, size) &&
         !__builtin_add_overflow(*size, header + (r->foreign ? 0 : CHECK), size);
}

/* What the fields of a header say; refused are those that contradict each other or the file's size. */
static int check_header(saved_reader *r, passages *p, int32_t length, int32_t stride, uint64_t header) {
  if (r->vocab_size < 1) return fail("%s: vocabulary of %d ids; at least 1 is wanted", r->path, r->vocab_size);
  if (!passages_lay_out(p, length, stride))
    return fail("%s: passages of %d ids with stride %d; at least %d ids and a smaller stride are wanted", r->path,
                length, stride, PASSAGE_LEAST);
  if (p->count < 1) return fail("%s: %d passages; at least 1 is wanted", r->path, p->count);
  if (p->bos < -1 || p->bos >= r->vocab_size)
    return fail("%s: BOS is %d; -1 to %d is wanted", r->path, p->bos, r->vocab_size - 1);
  size_t levels = (size_t)r->vocab_size;
  r->record_size = r->foreign ? 8 + 2 * (levels + levels % 2) : 4 + 2 * levels + CHECK;
  struct stat about;
  if (fstat(fileno(r->stream), &about)) return fail("%s: %s", r->path, strerror(errno));
  uint64_t size;
  if (!S_ISREG(about.st_mode)) return fail("%s: not a regular file", r->path);
  if (!wanted_size(r, p, header, &size) || size != (uint64_t)about.st_size)
    return fail("%s: %lld bytes, but %d passages of %d ids over a vocabulary of %d take another size", r->path,
                (long long)about.st_size, p->count, p->length, r->vocab_size);
  r->rows_left = passages_total(p);
  return 0;
}

static int read_header(saved_reader *r, passages *p) {
  unsigned char header[MAGIC + 4 * OWN_FIELDS + CHECK];
  int32_t fields[OWN_FIELDS];
  size_t n = r->foreign ? FOREIGN_FIELDS : OWN_FIELDS, size = MAGIC + 4 * n;
  int code = read_record(r, header, size);
  if (code) return code;
  for (size_t i = 0; i < n; i++) fields[i] = get_i32(header + MAGIC + 4 * i);
  *p = (passages){.bos = -1};
  if (r->foreign) {
    r->vocab_size = fields[1];
    p->count = fields[2];
    return check_header(r, p, fields[0], 0, size);
  }
  if (fields[0] != VERSION) return fail("%s: version %d; gale reads version %d", r->path, fields[0], VERSION);
  r->vocab_size = fields[1];
  p->count = fields[4];
  p->bos = fields[5];
  return check_header(r, p, fields[2], fields[3], size + CHECK);
}

static int read_ids(saved_reader *r, passages *p) {
  size_t n = (size_t)passages_reach(p, p->count);
  unsigned char *record = room_for(n, 4, CHECK);
  if (!record) return EXIT_INPUT;
  int32_t *ids = (int32_t *)(void *)room_for(n, sizeof *ids, 0);
  int code = ids ? read_record(r, record, 4 * n) : EXIT_INPUT;
  for (size_t i = 0; !code && i < n; i++) {
    ids[i] = get_i32(record + 4 * i);
    if (ids[i] < 0 || ids[i] >= r->vocab_size)
      code = fail("%s: id %d at index %zu; 0 to %d is wanted", r->path, ids[i], i, r->vocab_size - 1);
  }
  free(record);
  p->ids = ids;
  p->n_ids = n;
  if (code) passages_free(p);
  return code;
}

int saved_open(saved_reader *r, const char *path, passages *p, bool *known) {
  *known = false;
  *r = (saved_reader){.path = path};
  struct stat about;
  /* Opening a pipe would wait; a directory is a model. */
  if (stat(path, &about) || !S_ISREG(about.st_mode)) return 0;
  char magic[MAGIC];
  r->stream = fopen(path, "rb");
  if (!r->stream) return fail("%s: %s", path, strerror(errno));
  bool whole = fread(magic, 1, MAGIC, r->stream) == MAGIC;
  r->foreign = whole && memcmp(magic, foreign_magic, MAGIC) == 0;
  *known = r->foreign || (whole && memcmp(magic, own_magic, MAGIC) == 0);
  if (!*known) {
    saved_close(r);
    return 0;
  }
  rewind(r->stream);
  size_t header = MAGIC + (r->foreign ? 4 * FOREIGN_FIELDS : 4 * OWN_FIELDS + CHECK);
  int code = about.st_size < (off_t)header ? fail("%s: ends in its header", path) : read_header(r, p);
  if (!code) code = read_ids(r, p);
  if (!code && !(r->record = room_for(r->record_size, 1, 0))) code = EXIT_INPUT;
  if (!code && !(r->row = (float *)(void *)room_for((size_t)r->vocab_size, sizeof *r->row, 0))) code = EXIT_INPUT;
  if (code) {
    passages_free(p);
    saved_close(r);
  }
  return code;
}

static int own_row(saved_reader *r, distribution *d) {
  double range = get_float(r->record);
  if (!(range >= 0) || !isfinite(range)) return fail("%s: a row's range is not a positive number", r->path);
  for (int32_t i = 0; i < r->vocab_size; i++) {
    double fraction = get_u16(r->record + 4 + 2 * (size_t)i) / (double)LEVELS;
    r->row[i] = (float)(-range * fraction * fraction);
  }
  return distribution_of(r->row, r->vocab_size, d) ? 0 : fail("%s: a row is no distribution", r->path);
}

static int foreign_row(saved_reader *r, distribution *d) {
  float scale = get_float(r->record), lowest = get_float(r->record + 4);
  if (!(scale >= 0) || !isfinite(scale) || !(lowest <= 0) || !isfinite(lowest))
    return fail("%s: a row's scale and lowest value are not numbers from 0 on and up to 0", r->path);
  for (int32_t i = 0; i < r->vocab_size; i++)
    r->row[i] = scale * (float)get_u16(r->record + 8 + 2 * (size_t)i) + lowest;
  *d = (distribution){r->row, 0, foreign_floor, distribution_top(r->row, r->vocab_size)};
  return 0;
}

int saved_read(saved_reader *r, distribution *d) {
  if (!r->rows_left) return fail("%s: no rows are left", r->path);
  r->rows_left--;
  int code = read_record(r, r->record, r->record_size - (r->foreign ? 0 : CHECK));
  if (code) return code;
  return r->foreign ? foreign_row(r, d) : own_row(r, d);
}

void saved_close(saved_reader *r) {
  if (r->stream) fclose(r->stream);
  r->stream = NULL;
  free(r->record);
  free(r->row);
  r->record = NULL;
  r->row = NULL;
}
