/* A file of packed weights: what a model's memory holds after loading, and sums to check it by.
 *
 *   data      [data_bytes], and zeros up to a multiple of 4096
 *   sums      [n_sections] of checksum() over each PACKED_SECTION of the data
 *   texts     source and quantisation mix, for people
 *   footer    sizes, the key, and the sum over all that follows the data
 *
 * The data come first, so that they can be mapped in large pages; the footer comes last, so that a file that was cut
 * off has none. Numbers are in native byte order: such a file is not for other machines.
 *
 * A file is written under a temporary name and renamed when it is whole. It is not synced: after a crash of the system
 * it may have lost anything, which the sums show. Once it has its name it is never written again, only removed, and so
 * whoever has mapped it keeps it. */
#ifndef LOAD_PACKED_FILE_H
#define LOAD_PACKED_FILE_H

#include "base/checksum.h"
#include "base/file.h"
#include "base/fresh_file.h"

/* 2 MiB: a large page. */
enum { PACKED_SECTION = CHECKSUM_MOST };

/* What a file says of itself. */
typedef struct packed_about {
  digest key; /* names the source and everything else that the data depend on */
  uint64_t data_bytes;
  const char *source; /* path */
  const char *mix;    /* quantisation mix by name, as "Q4_K_M"; "": as stored */
} packed_about;

/* ---- Reading ---- */

typedef struct packed_file {
  file file;
  packed_about about;
  size_t n_sections;
  const uint64_t *sums; /* [n_sections] */
  void *meta;           /* holds sums and texts */
} packed_file;

/* Opens a file of the caller's own user, and checks all but the data. On failure p holds nothing. */
gale_status packed_open(packed_file *p, const char *path, gale_error *error);
void packed_close(packed_file *p);

/* Bytes of a section: PACKED_SECTION, or less in the last one. */
size_t packed_section_bytes(uint64_t data_bytes, size_t section);

/* True if bytes are what was written as this section. Thread-safe. */
bool packed_check(const packed_file *p, size_t section, const void *bytes);

/* ---- Writing ---- */

/* What the names of files that are being written begin with. */
#define PACKED_UNFINISHED "packing-"

typedef struct packed_writer {
  fresh_file file;
  uint64_t data_bytes;
  uint64_t *sums;
} packed_writer;

/* Begins a file in a directory, which must be there, and reserves the room. It is locked (flock) as long as it is
 * being written. On failure w holds nothing. */
gale_status packed_create(packed_writer *w, const char *directory, uint64_t data_bytes, gale_error *error);

/* Writes a section. Thread-safe. */
gale_status packed_put(packed_writer *w, size_t section, const void *bytes, gale_error *error);

/* Gives the file its name, once all sections are there. w is to be closed in any case. */
gale_status packed_commit(packed_writer *w, const packed_about *about, const char *path, gale_error *error);

/* Removes the file unless it was committed. */
void packed_writer_close(packed_writer *w);

/* ---- Mapping ---- */

/* Maps the data of a file for reading, at an address that allows for large pages. munmap(*mapping, *mapping_bytes)
 * ends it. NULL: the system refuses. */
const void *packed_map(int fd, uint64_t data_bytes, void **mapping, size_t *mapping_bytes);

/* True if the system maps the file in large pages, or has none for other memory either. Looks at a few sections, which
 * are read into memory for that. */
bool packed_in_large_pages(const void *data, uint64_t data_bytes);

#endif
