/* A directory of packed weights: one file for each source, quantisation mix and version of gale. Other files in it are
 * left alone. */
#ifndef LOAD_PACKED_CACHE_H
#define LOAD_PACKED_CACHE_H

#include "load/packed_file.h"

/* The path of the file with a key, for the caller to free; NULL when out of memory. */
char *packed_cache_path(const char *directory, const digest *key);

/* Makes room for a file of about->data_bytes: removes what unfinished writers left, files of the same source and mix
 * with another key, which are out of date, and then those that were not used for longest, until no more than `limit`
 * bytes (0: half of what the file system would have free without them, up to 64 GiB) are taken. Fails, and removes
 * nothing that could be of use, where the file alone would be more. */
gale_status packed_cache_make_room(const char *directory, const packed_about *about, uint64_t limit, gale_error *error);

/* Notes that a file is in use now. */
void packed_cache_touch(const packed_file *p);

#endif
