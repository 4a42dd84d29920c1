#include "load/packed_file.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, MOST_TEXT = 1 << 16 };

/* Raised when this layout of files changes; changes of the data are in the key, by PACKED_VERSION. */
enum { FILE_VERSION = 1 };

static const uint64_t file_magic = 0x31306B6361506C47; /* "GlPack01" on little-endian machines */

typedef struct footer {
  uint64_t magic, version;
  uint64_t data_bytes, source_bytes, mix_bytes; /* texts without NUL */
  digest key;
  uint64_t sum; /* of sums and texts, with this footer mixed in while `sum` is 0 */
} footer;

/* What comes after the data: sums, then both texts with a NUL each, up to a multiple of 8, then the footer. */
typedef struct layout {
  uint64_t data_end; /* a multiple of PAGE */
  size_t n_sections, source_at, mix_at, meta_bytes;
} layout;

static layout layout_of(uint64_t data_bytes, uint64_t source_bytes, uint64_t mix_bytes) {
  layout l = {.data_end = (data_bytes + PAGE - 1) / PAGE * PAGE};
  l.n_sections = (size_t)((data_bytes + PACKED_SECTION - 1) / PACKED_SECTION);
  l.source_at = l.n_sections * sizeof(uint64_t);
  l.mix_at = l.source_at + (size_t)source_bytes + 1;
  l.meta_bytes = (l.mix_at + (size_t)mix_bytes + 1 + 7) / 8 * 8;
  return l;
}

/* Sums stretches of CHECKSUM_MOST bytes, since checksum() takes no more. */
static uint64_t meta_sum(const void *meta, size_t n, footer f) {
  f.sum = 0;
  uint64_t sum = checksum(&f, sizeof f);
  for (size_t at = 0; at < n; at += CHECKSUM_MOST) {
    uint64_t both[2] = {sum, checksum((const char *)meta + at, n - at < CHECKSUM_MOST ? n - at : CHECKSUM_MOST)};
    sum = checksum(both, sizeof both);
  }
  return sum;
}

size_t packed_section_bytes(uint64_t data_bytes, size_t section) {
  uint64_t left = data_bytes - (uint64_t)section * PACKED_SECTION;
  return left < PACKED_SECTION ? (size_t)left : PACKED_SECTION;
}

/* ---- Reading ---- */

static gale_status read_footer(const file *f, footer *foot, layout *l, gale_error *error) {
  static const char refused[] = "%s: not a whole file of packed weights of this version";
  if (f->size < sizeof *foot) return error_set(error, GALE_E_FORMAT, refused, f->path);
  gale_status status = file_read(f, f->size - sizeof *foot, foot, sizeof *foot, error);
  if (status) return status;
  if (foot->magic != file_magic || foot->version != FILE_VERSION || foot->data_bytes == 0 ||
      foot->data_bytes > f->size || foot->source_bytes > MOST_TEXT || foot->mix_bytes > MOST_TEXT)
    return error_set(error, GALE_E_FORMAT, refused, f->path);
  *l = layout_of(foot->data_bytes, foot->source_bytes, foot->mix_bytes);
  if (l->data_end + l->meta_bytes + sizeof *foot != f->size) return error_set(error, GALE_E_FORMAT, refused, f->path);
  return GALE_OK;
}

static gale_status read_meta(packed_file *p, gale_error *error) {
  footer foot;
  layout l;
  gale_status status = read_footer(&p->file, &foot, &l, error);
  if (status) return status;
  char *meta = p->meta = malloc(l.meta_bytes);
  if (!meta) return error_memory(error, l.meta_bytes);
  status = file_read(&p->file, l.data_end, meta, l.meta_bytes, error);
  if (status) return status;
  if (meta_sum(meta, l.meta_bytes, foot) != foot.sum || meta[l.mix_at - 1] || meta[l.meta_bytes - 1])
    return error_set(error, GALE_E_FORMAT, "%s: damaged", p->file.path);
  p->n_sections = l.n_sections;
  p->sums = p->meta;
  p->about = (packed_about){
      .key = foot.key, .data_bytes = foot.data_bytes, .source = meta + l.source_at, .mix = meta + l.mix_at};
  return GALE_OK;
}

gale_status packed_open(packed_file *p, const char *path, gale_error *error) {
  *p = (packed_file){.file.fd = -1};
  gale_status status = file_open_own(&p->file, path, error);
  if (!status) status = read_meta(p, error);
  if (status) packed_close(p);
  return status;
}

void packed_close(packed_file *p) {
  file_close(&p->file);
  free(p->meta);
  *p = (packed_file){.file.fd = -1};
}

bool packed_check(const packed_file *p, size_t section, const void *bytes) {
  return checksum(bytes, packed_section_bytes(p->about.data_bytes, section)) == p->sums[section];
}

/* ---- Writing ---- */

gale_status packed_create(packed_writer *w, const char *directory, uint64_t data_bytes, gale_error *error) {
  *w = (packed_writer){.file.fd = -1, .data_bytes = data_bytes};
  layout l = layout_of(data_bytes, 0, 0);
  w->sums = calloc(l.n_sections, sizeof *w->sums);
  gale_status status = w->sums ? GALE_OK : error_memory(error, l.n_sections * sizeof *w->sums);
  if (!status) status = fresh_create(&w->file, directory, PACKED_UNFINISHED, error);
  if (!status) status = fresh_reserve(&w->file, l.data_end, error);
  if (status) packed_writer_close(w);
  return status;
}

gale_status packed_put(packed_writer *w, size_t section, const void *bytes, gale_error *error) {
  size_t n = packed_section_bytes(w->data_bytes, section);
  w->sums[section] = checksum(bytes, n);
  return fresh_write(&w->file, (uint64_t)section * PACKED_SECTION, bytes, n, error);
}

gale_status packed_commit(packed_writer *w, const packed_about *about, const char *path, gale_error *error) {
  size_t source_bytes = strlen(about->source), mix_bytes = strlen(about->mix);
  if (source_bytes > MOST_TEXT || mix_bytes > MOST_TEXT)
    return error_set(error, GALE_E_ARGUMENT, "%s: the source's path is too long", path);
  layout l = layout_of(w->data_bytes, source_bytes, mix_bytes);
  footer foot = {.magic = file_magic,
                 .version = FILE_VERSION,
                 .data_bytes = w->data_bytes,
                 .source_bytes = source_bytes,
                 .mix_bytes = mix_bytes,
                 .key = about->key};
  char *meta = calloc(1, l.meta_bytes);
  if (!meta) return error_memory(error, l.meta_bytes);
  memcpy(meta, w->sums, l.n_sections * sizeof *w->sums);
  memcpy(meta + l.source_at, about->source, source_bytes);
  memcpy(meta + l.mix_at, about->mix, mix_bytes);
  foot.sum = meta_sum(meta, l.meta_bytes, foot);
  gale_status status = fresh_write(&w->file, l.data_end, meta, l.meta_bytes, error);
  if (!status) status = fresh_write(&w->file, l.data_end + l.meta_bytes, &foot, sizeof foot, error);
  free(meta);
  return status ? status : fresh_commit(&w->file, path, error);
}

void packed_writer_close(packed_writer *w) {
  fresh_close(&w->file);
  free(w->sums);
  *w = (packed_writer){.file.fd = -1};
}

/* ---- Mapping ---- */

const void *packed_map(int fd, uint64_t data_bytes, void **mapping, size_t *mapping_bytes) {
  if (data_bytes > SIZE_MAX - PACKED_SECTION) return NULL;
  size_t n = (size_t)data_bytes + PACKED_SECTION;
  char *room = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return NULL;
  char *data = room + (PACKED_SECTION - (uintptr_t)room % PACKED_SECTION) % PACKED_SECTION;
  if (mmap(data, (size_t)data_bytes, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED) {
    munmap(room, n);
    return NULL;
  }
  madvise(data, (size_t)data_bytes, MADV_HUGEPAGE);
  *mapping = room;
  *mapping_bytes = n;
  return data;
}

static bool has_large_pages(void) {
  char text[64] = "";
  FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
  bool has = f && fgets(text, sizeof text, f) && !strstr(text, "[never]");
  if (f) fclose(f);
  return has;
}

/* Kilobytes of the mapping at `data` that are mapped in large pages, by Linux's account. */
static long large_kilobytes(const void *data) {
  FILE *f = fopen("/proc/self/smaps", "r");
  if (!f) return 0;
  static const char size[] = "FilePmdMapped:";
  char line[512], *rest;
  long kilobytes = 0;
  bool inside = false;
  while (fgets(line, sizeof line, f)) {
    unsigned long start = strtoul(line, &rest, 16);
    if (*rest == '-') inside = start <= (uintptr_t)data && (uintptr_t)data < strtoul(rest + 1, NULL, 16);
    if (inside && strncmp(line, size, sizeof size - 1) == 0) {
      kilobytes = strtol(line + sizeof size - 1, NULL, 10);
      break;
    }
  }
  fclose(f);
  return kilobytes;
}

bool packed_in_large_pages(const void *data, uint64_t data_bytes) {
  enum { PROBES = 16, SECTION_KB = PACKED_SECTION / 1024 };
  size_t whole = (size_t)(data_bytes / PACKED_SECTION), probes = whole < PROBES ? whole : PROBES;
  if (probes == 0 || !has_large_pages()) return true;
  for (size_t i = 0; i < probes; i++) (void)((const volatile char *)data)[whole * i / probes * PACKED_SECTION];
  return large_kilobytes(data) >= (long)probes * SECTION_KB / 2;
}
