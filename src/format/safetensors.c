/* Reads safetensors: eight bytes of header length, a JSON header, data. Source: the format's published
 * description. As its reference implementation does, this reader asks that the tensors' ranges cover
 * the data exactly, and that the header is at most 100 MB. */
#include "format/safetensors.h"
#include "format/fp8.h"
#include "format/json.h"
#include "format/reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX_BYTES = 8, NO_TYPE = -1, MAX_SHARDS = 99999 };

static const struct {
  const char *name;
  int bytes;
  int type; /* a quant_type, or NO_TYPE: a foreign tensor */
} dtypes[] = {
    {"F32", 4, QUANT_F32}, {"F16", 2, QUANT_F16},   {"BF16", 2, QUANT_BF16}, {"F64", 8, NO_TYPE},
    {"I64", 8, NO_TYPE},   {"U64", 8, NO_TYPE},     {"I32", 4, NO_TYPE},     {"U32", 4, NO_TYPE},
    {"I16", 2, NO_TYPE},   {"U16", 2, NO_TYPE},     {"I8", 1, NO_TYPE},      {"U8", 1, NO_TYPE},
    {"BOOL", 1, NO_TYPE},  {"F8_E4M3", 1, NO_TYPE}, {"F8_E5M2", 1, NO_TYPE}, {"F8_E8M0", 1, NO_TYPE},
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

/* A tensor as the header states it. */
typedef struct entry {
  tensor tensor;
  uint64_t begin, end; /* from the data's start */
  int element_bytes;
  const char *dtype; /* static text */
  bool foreign;      /* no quant_type is its dtype, or it has no elements */
} entry;

static gale_status bad(const file *f, const char *name, const char *field, const char *why, gale_error *error) {
  return error_set(error, GALE_E_FORMAT, "%s: %s of tensor \"%.80s\" (header at offset %d): %s", f->path, field, name,
                   PREFIX_BYTES, why);
}

/* ---- One tensor ---- */

static gale_status entry_dtype(const file *f, const value *v, entry *e, gale_error *error) {
  const char *name = e->tensor.name;
  const value *dtype = value_get(v, "dtype");
  if (!value_is(dtype, VALUE_STRING)) return bad(f, name, "dtype", "a string is accepted", error);
  for (int i = 0; i < N_DTYPES; i++) {
    if (!slice_is(dtype->text, dtypes[i].name)) continue;
    e->element_bytes = dtypes[i].bytes;
    e->dtype = dtypes[i].name;
    e->foreign = dtypes[i].type == NO_TYPE;
    if (!e->foreign) e->tensor.type = (quant_type)dtypes[i].type;
    return GALE_OK;
  }
  return error_set(error, GALE_E_UNSUPPORTED,
                   "%s: dtype of tensor \"%.80s\" (header at offset %d): \"%.*s\"; F32, F16, BF16, F8_E4M3 and "
                   "(unused) integers are accepted",
                   f->path, name, PREFIX_BYTES, (int)(dtype->text.n < 20 ? dtype->text.n : 20), dtype->text.s);
}

static gale_status entry_shape(const file *f, const value *v, entry *e, gale_error *error) {
  tensor *t = &e->tensor;
  const value *shape = value_get(v, "shape");
  if (!value_is(shape, VALUE_ARRAY) || shape->count > 4)
    return bad(f, t->name, "shape", "a list of up to 4 dimensions is accepted", error);
  int64_t elements = 1;
  t->n_dims = 0;
  for (const value *dimension = shape->first; dimension; dimension = dimension->next) {
    int64_t *size = &t->shape[t->n_dims++];
    if (!value_int64(dimension, size) || *size < 0)
      return bad(f, t->name, "shape", "dimensions of 0 and more are accepted", error);
    if (__builtin_mul_overflow(elements, *size, &elements) || elements > INT64_MAX / e->element_bytes)
      return bad(f, t->name, "shape", "the product of its dimensions is too large", error);
  }
  if (t->n_dims == 0) t->shape[t->n_dims++] = 1; /* a scalar */
  t->bytes = (uint64_t)(elements * e->element_bytes);
  e->foreign |= elements == 0;
  return GALE_OK;
}

static gale_status entry_range(const file *f, const value *v, entry *e, uint64_t data_bytes, gale_error *error) {
  const char *name = e->tensor.name;
  const value *range = value_get(v, "data_offsets");
  int64_t b, n;
  if (!value_is(range, VALUE_ARRAY) || range->count != 2 || !value_int64(range->first, &b) ||
      !value_int64(range->first->next, &n))
    return bad(f, name, "data_offsets", "a list of two integers is accepted", error);
  if (b < 0 || n < b || (uint64_t)n > data_bytes)
    return error_set(error, GALE_E_FORMAT,
                     "%s: data_offsets of tensor \"%.80s\" (header at offset %d): [%" PRId64 ", %" PRId64
                     "] is not a range inside the %" PRIu64 " bytes of data",
                     f->path, name, PREFIX_BYTES, b, n, data_bytes);
  if ((uint64_t)(n - b) != e->tensor.bytes)
    return error_set(error, GALE_E_FORMAT,
                     "%s: data_offsets of tensor \"%.80s\" (header at offset %d): %" PRId64
                     " bytes, but dtype and shape make %" PRIu64,
                     f->path, name, PREFIX_BYTES, n - b, e->tensor.bytes);
  e->begin = (uint64_t)b;
  e->end = (uint64_t)n;
  return GALE_OK;
}

/* name: of the tensor, in memory that stays. */
static gale_status read_entry(const file *f, const char *name, const value *v, uint64_t data_bytes, entry *e,
                              gale_error *error) {
  e->tensor.name = name;
  if (!*name) return bad(f, name, "name", "it is empty", error);
  if (v->kind != VALUE_OBJECT) return bad(f, name, "entry", "an object is accepted", error);
  gale_status status = entry_dtype(f, v, e, error);
  if (!status) status = entry_shape(f, v, e, error);
  if (!status) status = entry_range(f, v, e, data_bytes, error);
  return status;
}

/* ---- One file ---- */

/* A tensor without elements may lie anywhere, also where another begins. */
static int compare_ranges(const void *a, const void *b) {
  const entry *x = a, *y = b;
  return x->begin != y->begin ? (x->begin > y->begin) - (x->begin < y->begin) : (x->end > y->end) - (x->end < y->end);
}

/* Sorts the entries by their data and checks that they cover it. */
static gale_status check_cover(const file *f, entry *entries, size_t n, uint64_t data, uint64_t data_bytes,
                               gale_error *error) {
  uint64_t covered = 0;
  qsort(entries, n, sizeof *entries, compare_ranges);
  for (size_t i = 0; i < n; i++) {
    const entry *e = &entries[i];
    if (e->begin != covered)
      return error_set(error, GALE_E_FORMAT,
                       "%s: data_offsets of tensor \"%.80s\": %s at offset %" PRIu64
                       "; ranges that cover the data exactly are accepted",
                       f->path, e->tensor.name, e->begin < covered ? "an overlap" : "a gap",
                       data + (e->begin < covered ? e->begin : covered));
    covered = e->end;
  }
  if (covered != data_bytes)
    return error_set(error, GALE_E_FORMAT, "%s: data at offset %" PRIu64 ": %" PRIu64 " bytes belong to no tensor",
                     f->path, data + covered, data_bytes - covered);
  return GALE_OK;
}

static gale_status add_entries(checkpoint *c, uint32_t file_index, const entry *entries, size_t n, uint64_t data,
                               gale_error *error) {
  size_t n_foreign = 0;
  for (size_t i = 0; i < n; i++) n_foreign += entries[i].foreign;
  tensor *next = checkpoint_add_tensors(c, n - n_foreign);
  foreign_tensor *next_foreign = checkpoint_add_foreign(c, n_foreign);
  if (!next || !next_foreign) return error_memory(error, n * sizeof *next);
  for (size_t i = 0; i < n; i++) {
    const entry *e = &entries[i];
    tensor *t = e->foreign ? &next_foreign->tensor : next++;
    const char *dtype = e->begin == e->end ? arena_printf(&c->memory, "%s with 0 elements", e->dtype) : e->dtype;
    if (e->foreign) next_foreign++->dtype = dtype;
    *t = e->tensor;
    if (!dtype) return error_memory(error, sizeof *t);
    t->file = file_index;
    t->offset = data + e->begin;
  }
  return GALE_OK;
}

static gale_status read_header(checkpoint *c, uint32_t file_index, const value *root, uint64_t data,
                               gale_error *error) {
  const file *f = &c->files[file_index];
  entry *entries = calloc(root->count + 1, sizeof *entries);
  if (!entries) return error_memory(error, root->count * sizeof *entries);
  gale_status status = GALE_OK;
  size_t n = 0;
  for (const value *v = root->first; v && !status; v = v->next) {
    if (slice_is(v->key, "__metadata__")) continue;
    const char *name = arena_string(&c->memory, v->key.s, v->key.n);
    status = name ? read_entry(f, name, v, f->size - data, &entries[n++], error) : error_memory(error, v->key.n + 1);
  }
  if (!status) status = check_cover(f, entries, n, data, f->size - data, error);
  if (!status) status = add_entries(c, file_index, entries, n, data, error);
  free(entries);
  return status;
}

static gale_status load_header(const file *f, json_document *d, uint64_t *data, gale_error *error) {
  uint64_t n;
  gale_status status = file_read(f, 0, &n, sizeof n, error);
  if (status) return status;
  if (n > JSON_MAX_BYTES || n > f->size - PREFIX_BYTES)
    return error_set(error, GALE_E_FORMAT,
                     "%s: header length at offset 0: %" PRIu64 "; at most %u, inside the file's %" PRIu64
                     " bytes, is accepted",
                     f->path, n, JSON_MAX_BYTES, f->size);
  char *text = malloc((size_t)n + 1);
  if (!text) return error_memory(error, n + 1);
  status = file_read(f, PREFIX_BYTES, text, n, error);
  if (!status) status = json_parse(f->path, text, (size_t)n, PREFIX_BYTES, JSON_INTEGERS_EXACT, d, error);
  if (status)
    free(text);
  else
    d->text = text;
  *data = PREFIX_BYTES + n;
  return status;
}

gale_status safetensors_read_file(checkpoint *c, const char *path, gale_error *error) {
  uint32_t index = 0;
  json_document d;
  uint64_t data = 0;
  gale_status status = checkpoint_add_file(c, path, &index, error);
  if (!status) status = load_header(&c->files[index], &d, &data, error);
  if (status) return status;
  status = read_header(c, index, d.root, data, error);
  json_close(&d);
  return status;
}

/* ---- Several files ---- */

static bool is_plain_name(const char *name) {
  return *name && !strchr(name, '/') && !strstr(name, "..");
}

/* Index of the open file with a path, or n_files. */
static size_t find_file(const checkpoint *c, const char *path) {
  for (size_t i = c->n_files; i-- > 0;)
    if (strcmp(c->files[i].path, path) == 0) return i;
  return c->n_files;
}

/* What an index file says: which tensor lies in which file. */
typedef struct shard_entry {
  const char *name, *path;
} shard_entry;

static gale_status read_weight_map(arena *memory, const char *directory, const char *index, const value *map,
                                   shard_entry *entries, gale_error *error) {
  for (const value *v = map->first; v; v = v->next) {
    bool string = v->kind == VALUE_STRING;
    const char *name = arena_string(memory, v->key.s, v->key.n);
    const char *shard = string ? arena_string(memory, v->text.s, v->text.n) : "";
    if (!name || !shard) return error_memory(error, v->key.n + v->text.n);
    if (!is_plain_name(shard))
      return error_set(error, GALE_E_FORMAT,
                       "%s: weight_map entry \"%.80s\": \"%.80s\"; the plain name of a file in the same directory is "
                       "accepted",
                       index, name, string ? shard : "not a string");
    *entries = (shard_entry){name, arena_path(memory, directory, shard)};
    if (!entries++->path) return error_memory(error, strlen(directory) + v->text.n + 2);
  }
  return GALE_OK;
}

static gale_status read_shards(checkpoint *c, const shard_entry *entries, size_t n, gale_error *error) {
  gale_status status = GALE_OK;
  for (size_t i = 0; i < n && !status; i++)
    if (find_file(c, entries[i].path) == c->n_files) status = safetensors_read_file(c, entries[i].path, error);
  return status ? status : checkpoint_index(c, error);
}

/* Every tensor of the map lies in the shard that it names. */
static gale_status check_shards(const checkpoint *c, const char *index, const shard_entry *entries, size_t n,
                                gale_error *error) {
  for (size_t i = 0; i < n; i++) {
    const tensor *t = checkpoint_tensor(c, entries[i].name);
    const foreign_tensor *foreign = foreign_find(c, entries[i].name);
    if (foreign) t = &foreign->tensor;
    if (!t || strcmp(c->files[t->file].path, entries[i].path) != 0)
      return error_set(error, GALE_E_FORMAT, "%s: weight_map entry \"%.80s\": %s has no such tensor", index,
                       entries[i].name, entries[i].path);
  }
  return GALE_OK;
}

static gale_status read_index(checkpoint *c, const char *directory, const char *path, gale_error *error) {
  json_document d;
  gale_status status = json_parse_file(path, JSON_INTEGERS_EXACT, &d, error);
  if (status) return status;
  const value *map = value_get(d.root, "weight_map");
  size_t n = value_is(map, VALUE_OBJECT) ? map->count : 0;
  shard_entry *entries = arena_array(&d.memory, n, sizeof *entries);
  if (n == 0)
    status = error_set(error, GALE_E_FORMAT, "%s: key \"weight_map\": an object of tensors and their files is accepted",
                       path);
  else if (!entries)
    status = error_memory(error, n * sizeof *entries);
  if (!status) status = read_weight_map(&d.memory, directory, path, map, entries, error);
  if (!status) status = read_shards(c, entries, n, error);
  if (!status) status = check_shards(c, path, entries, n, error);
  json_close(&d);
  return status;
}

/* N of a name STEM-00001-of-0000N.safetensors, or 0 if it is another name. */
static unsigned long shard_count(const char *name, const char *stem) {
  const char *of = strstr(name + strlen(stem), "-of-");
  char *end = NULL;
  unsigned long count = of && of[4] >= '0' && of[4] <= '9' ? strtoul(of + 4, &end, 10) : 0;
  return count > 0 && count <= MAX_SHARDS && strcmp(end, ".safetensors") == 0 ? count : 0;
}

static gale_status read_numbered(checkpoint *c, const char *directory, const char *stem, unsigned long count,
                                 gale_error *error) {
  for (unsigned long i = 1; i <= count; i++) {
    char *path = arena_printf(&c->memory, "%s/%s-%05lu-of-%05lu.safetensors", directory, stem, i, count);
    if (!path) return error_memory(error, strlen(directory) + strlen(stem));
    gale_status status = safetensors_read_file(c, path, error);
    if (status) return status;
  }
  return checkpoint_index(c, error);
}

static gale_status read_single(checkpoint *c, const char *path, gale_error *error) {
  gale_status status = safetensors_read_file(c, path, error);
  return status ? status : checkpoint_index(c, error);
}

static gale_status read_directory(checkpoint *c, const char *directory, const char *stem, gale_error *error) {
  char *single = arena_printf(&c->memory, "%s.safetensors", stem);
  char *index = arena_printf(&c->memory, "%s.safetensors.index.json", stem);
  char *numbered = arena_printf(&c->memory, "%s-", stem);
  if (!single || !index || !numbered) return error_memory(error, strlen(stem));
  const char *path = NULL;
  gale_status status = directory_entry(&c->memory, directory, index, &path, error);
  if (!status && path) return read_index(c, directory, path, error);
  if (!status) status = directory_entry(&c->memory, directory, single, &path, error);
  if (!status && path) return read_single(c, path, error);
  if (status) return status;

  const char **names;
  size_t n;
  status = directory_scan(&c->memory, directory, numbered, ".safetensors", &names, &n, error);
  if (status) return status;
  unsigned long count = n > 0 ? shard_count(names[0], stem) : 0;
  if (count > 0) return read_numbered(c, directory, stem, count, error);
  status = directory_scan(&c->memory, directory, "", ".safetensors", &names, &n, error);
  if (status) return status;
  if (n != 1 || strncmp(names[0], "adapter_model", strlen("adapter_model")) == 0) {
    const char *instead = directory_instead(&c->memory, directory);
    return error_set(error, GALE_E_FORMAT,
                     "%s: %zu files *.safetensors%s; %s, %s, numbered shards or a single file are accepted", directory,
                     n, instead ? instead : "", index, single);
  }
  path = arena_path(&c->memory, directory, names[0]);
  return path ? read_single(c, path, error) : error_memory(error, strlen(directory));
}

gale_status safetensors_read_directory(checkpoint *c, const char *directory, const char *stem, gale_error *error) {
  c->read = fp8_read;
  gale_status status = read_directory(c, directory, stem, error);
  return status ? status : fp8_resolve(c, error);
}
