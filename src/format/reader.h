/* What the readers of the several formats share while they fill a checkpoint. */
#ifndef FORMAT_READER_H
#define FORMAT_READER_H

#include "format/checkpoint.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are read as little-endian memory");

/* Opens a file and appends it to c->files; *index is its place there. */
gale_status checkpoint_add_file(checkpoint *c, const char *path, uint32_t *index, gale_error *error);

/* Append n zeroed tensors or settings and return the first; earlier pointers into the array become
 * stale. NULL when out of memory. */
tensor *checkpoint_add_tensors(checkpoint *c, size_t n);
setting *checkpoint_add_settings(checkpoint *c, size_t n);
foreign_tensor *checkpoint_add_foreign(checkpoint *c, size_t n);

/* Sorts names and keys for look-up; the last step of every reader. A name or key that appears twice is
 * an error that names it. */
gale_status checkpoint_index(checkpoint *c, gale_error *error);

/* After checkpoint_index(); NULL if there is none. */
const foreign_tensor *foreign_find(const checkpoint *c, const char *name);

/* checkpoint.read for tensors that lie in c->files. */
gale_status checkpoint_read_file(const checkpoint *c, const tensor *t, uint64_t offset, void *to, uint64_t n,
                                 gale_error *error);

/* Checks t's shape against its type and sets t->bytes: every dimension at least 1, rows of whole
 * blocks, no overflow. *why becomes what is wrong with it (static text). */
bool tensor_measure(tensor *t, const char **why);

/* Names of the types whose blocks divide a row of so many columns (0: of all types): "F32, F16". */
typedef struct type_list {
  char text[256];
} type_list;
type_list types_dividing(int64_t columns);

/* directory/name, allocated in memory; NULL when out of memory. */
char *arena_path(arena *memory, const char *directory, const char *name);

/* Text about what a directory without a model holds instead, to be put behind its path: "; pytorch_model.bin is not
 * read: ..." or "". NULL when out of memory. */
const char *directory_instead(arena *memory, const char *directory);

/* *path becomes arena_path() if something of that name exists, else NULL. */
gale_status directory_entry(arena *memory, const char *directory, const char *name, const char **path,
                            gale_error *error);

/* The tokenizer's file among those of a directory, or NULL: tokenizer.json, tokenizer.model or one of Mistral's,
 * tekken.json or NAME.model.vN; with mistral these first. Of several versions the latest counts. */
gale_status directory_tokenizer(arena *memory, const char *directory, bool mistral, const char **path,
                                gale_error *error);

/* Names in a directory that begin with prefix and end with suffix, by version order ("v2" before
 * "v11"), allocated in memory. */
gale_status directory_scan(arena *memory, const char *directory, const char *prefix, const char *suffix,
                           const char ***names, size_t *n, gale_error *error);

#endif
