/* A file of sections, each with a sum to check it by, and of words about them.
 *
 *   sections  of 1 to CHECKSUM_MOST bytes, one after the other
 *   table     [n_sections]: bytes and sum of each
 *   about     [about_bytes], whatever the writer says
 *   footer    sizes, the key, and the sum over the three that follow the sections
 *
 * The footer comes last, so that a file that was cut off has none. Numbers are in native byte order: such a file is not
 * for other machines. A file is written under a temporary name and has its own once it is whole. */
#ifndef BASE_SUMMED_FILE_H
#define BASE_SUMMED_FILE_H

#include "base/checksum.h"
#include "base/file.h"
#include "base/fresh_file.h"

/* At most so many bytes of words. */
enum { SUMMED_MOST_ABOUT = 1 << 28 };

/* ---- Writing ---- */

typedef struct summed_section {
  uint64_t bytes, sum;
} summed_section;

typedef struct summed_writer {
  fresh_file file;
  uint64_t at; /* where the next section goes */
  summed_section *sections;
  size_t n_sections, room;
} summed_writer;

/* Begins a file in a directory as fresh_create() does. On failure w holds nothing. */
gale_status summed_create(summed_writer *w, const char *directory, const char *prefix, gale_error *error);

/* Appends n bytes, at least 1, in as many sections as they take. */
gale_status summed_put(summed_writer *w, const void *bytes, size_t n, gale_error *error);

/* Appends what follows the sections, and cuts off what fresh_reserve() took too much; kind tells files of different
 * purposes apart. fresh_commit() of w->file is left to do. */
gale_status summed_finish(summed_writer *w, uint64_t kind, const digest *key, const void *about, size_t about_bytes,
                          gale_error *error);
void summed_writer_close(summed_writer *w);

/* ---- Reading ---- */

typedef struct summed_file {
  file file;
  digest key;
  summed_section *sections;
  uint64_t *at; /* [n_sections] */
  size_t n_sections;
  const char *about; /* with a NUL behind */
  size_t about_bytes;
} summed_file;

/* Opens a file, where `own` only one that file_open_own() takes, and checks all but the sections. GALE_E_FORMAT where
 * it is no such file, cut off or damaged. On failure f holds nothing. */
gale_status summed_open(summed_file *f, const char *path, bool own, uint64_t kind, gale_error *error);
void summed_close(summed_file *f);

/* Reads a section and checks it. GALE_E_FORMAT where it is damaged. Thread-safe. */
gale_status summed_read(const summed_file *f, size_t section, void *to, gale_error *error);

/* Reads n bytes of sections from *section on, which were put at once, and moves *section behind them. GALE_E_FORMAT
 * also where they do not have so many bytes. */
gale_status summed_take(const summed_file *f, size_t *section, void *to, size_t n, gale_error *error);

#endif
