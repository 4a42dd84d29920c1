/* Reads GGUF, versions 2 and 3, little-endian: a header of typed keys and values, a list of tensors,
 * and their aligned data. Source: the GGUF specification of the ggml project. Where it leaves room,
 * this reader asks for:
 *   general.alignment  a 32-bit unsigned power of two from 8 to 65536 (the specification wants a
 *                      multiple of 8, ggml a power of two)
 *   names and keys     1 to 65535 printable ASCII characters
 *   values             finite numbers that fit int64_t or double; booleans 0 or 1; no arrays of arrays
 *   tensors            aligned, inside the file, and not overlapping; gaps are allowed
 * Models split into shards name themselves STEM-00001-of-0000N.gguf; the first one's keys count. */
#include "format/gguf.h"
#include "format/reader.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  WINDOW = 16 * 1024,
  MAX_NAME = 65535,
  MAX_ENTRIES = 1 << 22, /* tensors, keys, or array elements in a file: each takes up to 90 bytes of memory */
  MAX_SHARDS = 99999,
};

/* A walk from the front of a file to its back through a small window. `what`, `name` and `field` say
 * what is being read, for messages. After a failure `status` is set and nothing more may be read. */
typedef struct cursor {
  const file *f;
  gale_error *error;
  gale_status status;
  uint64_t at;           /* offset of the next byte */
  const char *what;      /* "value of key" */
  const char *name;      /* of the key or tensor; NULL: none */
  uint64_t field;        /* offset where the field begins */
  uint64_t entries_left; /* array elements that may still come */
  uint64_t held_from;    /* the window holds n_held bytes from this offset */
  size_t n_held;
  unsigned char held[WINDOW];
} cursor;

static void begin(cursor *cur, const char *what, const char *name) {
  cur->what = what;
  cur->name = name;
  cur->field = cur->at;
}

__attribute__((format(printf, 3, 4))) static bool fail(cursor *cur, gale_status code, const char *format, ...) {
  char text[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  const char *quote = cur->name ? "\"" : "";
  cur->status = error_set(cur->error, code, "%s: %s%s%s%.80s%s at offset %" PRIu64 ": %s", cur->f->path, cur->what,
                          cur->name ? " " : "", quote, cur->name ? cur->name : "", quote, cur->field, text);
  return false;
}

static bool fail_memory(cursor *cur, uint64_t n) {
  cur->status = error_memory(cur->error, n);
  return false;
}

static uint64_t bytes_left(const cursor *cur) {
  return cur->f->size - cur->at;
}

/* Copies the next n bytes. */
static bool take(cursor *cur, void *to, uint64_t n) {
  if (n > bytes_left(cur))
    return fail(cur, GALE_E_FORMAT, "truncated: %" PRIu64 " bytes are wanted and the file ends at %" PRIu64, n,
                cur->f->size);
  if (n == 0) return true;
  if (n > WINDOW) {
    cur->status = file_read(cur->f, cur->at, to, n, cur->error);
    cur->at += n;
    return !cur->status;
  }
  if (cur->at < cur->held_from || cur->at + n > cur->held_from + cur->n_held) {
    uint64_t more = bytes_left(cur) < WINDOW ? bytes_left(cur) : WINDOW;
    cur->status = file_read(cur->f, cur->at, cur->held, more, cur->error);
    if (cur->status) return false;
    cur->held_from = cur->at;
    cur->n_held = (size_t)more;
  }
  memcpy(to, cur->held + (cur->at - cur->held_from), (size_t)n);
  cur->at += n;
  return true;
}

static bool take_u32(cursor *cur, uint32_t *to) {
  return take(cur, to, sizeof *to);
}
static bool take_u64(cursor *cur, uint64_t *to) {
  return take(cur, to, sizeof *to);
}

/* A number of entries that take at least `smallest` bytes each. */
static bool take_count(cursor *cur, uint64_t smallest, uint64_t *count) {
  if (!take_u64(cur, count)) return false;
  if (*count > MAX_ENTRIES || *count > bytes_left(cur) / smallest)
    return fail(cur, GALE_E_FORMAT,
                "%" PRIu64 " entries; the rest of the file has room for %" PRIu64 ", and at most %d are accepted",
                *count, bytes_left(cur) / smallest, MAX_ENTRIES);
  return true;
}

static bool take_string(cursor *cur, arena *memory, const char **bytes, size_t *length) {
  uint64_t n = 0;
  if (!take_u64(cur, &n)) return false;
  if (n > bytes_left(cur))
    return fail(cur, GALE_E_FORMAT, "a string of %" PRIu64 " bytes; %" PRIu64 " are left in the file", n,
                bytes_left(cur));
  char *copy = arena_alloc(memory, (size_t)n + 1);
  if (!copy) return fail_memory(cur, n + 1);
  *bytes = copy;
  *length = (size_t)n;
  return take(cur, copy, n);
}

static bool take_name(cursor *cur, arena *memory, const char **name) {
  size_t n = 0;
  const char *bytes = NULL;
  if (!take_string(cur, memory, &bytes, &n)) return false;
  if (n < 1 || n > MAX_NAME)
    return fail(cur, GALE_E_FORMAT, "a name of %zu characters; 1 to %d are accepted", n, MAX_NAME);
  for (size_t i = 0; i < n; i++)
    if (bytes[i] < 0x20 || bytes[i] > 0x7E)
      return fail(cur, GALE_E_FORMAT, "byte 0x%02x in a name; printable ASCII is accepted", (unsigned char)bytes[i]);
  *name = bytes;
  return true;
}

/* ---- Values ---- */

typedef enum value_class { UNSIGNED, SIGNED, REAL, BOOLEAN, TEXT, LIST } value_class;

static const struct {
  value_class class;
  uint8_t bytes; /* the least a value takes */
} value_types[GGUF_TYPES] = {
    [GGUF_U8] = {UNSIGNED, 1},  [GGUF_I8] = {SIGNED, 1},   [GGUF_U16] = {UNSIGNED, 2}, [GGUF_I16] = {SIGNED, 2},
    [GGUF_U32] = {UNSIGNED, 4}, [GGUF_I32] = {SIGNED, 4},  [GGUF_F32] = {REAL, 4},     [GGUF_BOOL] = {BOOLEAN, 1},
    [GGUF_STRING] = {TEXT, 8},  [GGUF_ARRAY] = {LIST, 12}, [GGUF_U64] = {UNSIGNED, 8}, [GGUF_I64] = {SIGNED, 8},
    [GGUF_F64] = {REAL, 8},
};

static bool set_unsigned(cursor *cur, uint64_t raw, setting *s) {
  if (raw > INT64_MAX) return fail(cur, GALE_E_FORMAT, "%" PRIu64 " is more than 2^63 - 1", raw);
  s->type = SETTING_INT;
  s->integer = (int64_t)raw;
  return true;
}

static bool set_signed(uint64_t raw, int bytes, setting *s) {
  int unused = 64 - 8 * bytes;
  s->type = SETTING_INT;
  s->integer = (int64_t)(raw << unused) >> unused;
  return true;
}

static bool set_real(cursor *cur, uint64_t raw, int bytes, setting *s) {
  float narrow;
  memcpy(&narrow, &raw, sizeof narrow);
  s->type = SETTING_FLOAT;
  if (bytes == sizeof narrow)
    s->number = narrow;
  else
    memcpy(&s->number, &raw, sizeof s->number);
  return isfinite(s->number) || fail(cur, GALE_E_FORMAT, "a number that is not finite");
}

static bool set_boolean(cursor *cur, uint64_t raw, setting *s) {
  if (raw > 1) return fail(cur, GALE_E_FORMAT, "a boolean of %" PRIu64 "; 0 and 1 are accepted", raw);
  s->type = SETTING_BOOL;
  s->boolean = raw;
  return true;
}

static bool take_scalar(cursor *cur, arena *memory, uint32_t type, setting *s) {
  uint64_t raw = 0;
  int bytes = value_types[type].bytes;
  value_class class = value_types[type].class;
  s->offset = cur->at;
  if (class == TEXT) {
    s->type = SETTING_STRING;
    return take_string(cur, memory, &s->string.bytes, &s->string.length);
  }
  if (!take(cur, &raw, (uint64_t)bytes)) return false;
  switch (class) {
  case UNSIGNED:
    return set_unsigned(cur, raw, s);
  case SIGNED:
    return set_signed(raw, bytes, s);
  case REAL:
    return set_real(cur, raw, bytes, s);
  default:
    return set_boolean(cur, raw, s);
  }
}

static bool take_array(cursor *cur, arena *memory, setting *s) {
  uint32_t type = 0;
  uint64_t n = 0;
  s->offset = cur->at;
  if (!take_u32(cur, &type)) return false;
  if (type >= GGUF_TYPES || type == GGUF_ARRAY)
    return fail(cur, GALE_E_FORMAT, "an array of value type %" PRIu32 "; 0 to %d but %d (array) are accepted", type,
                GGUF_TYPES - 1, GGUF_ARRAY);
  if (!take_count(cur, value_types[type].bytes, &n)) return false;
  if (n > cur->entries_left) return fail(cur, GALE_E_FORMAT, "arrays of more than %d elements in all", MAX_ENTRIES);
  cur->entries_left -= n;
  setting *items = arena_array(memory, (size_t)n, sizeof *items);
  if (!items) return fail_memory(cur, n * sizeof *items);
  s->type = SETTING_ARRAY;
  s->array.items = items;
  s->array.length = (size_t)n;
  for (uint64_t i = 0; i < n; i++)
    if (!take_scalar(cur, memory, type, &items[i])) return false;
  return true;
}

static bool take_alignment(cursor *cur, uint32_t type, const setting *s, uint64_t *alignment) {
  if (type != GGUF_U32 || s->integer < 8 || s->integer > 65536 || (s->integer & (s->integer - 1)))
    return fail(cur, GALE_E_FORMAT, "a 32-bit unsigned power of two from 8 to 65536 is accepted");
  *alignment = (uint64_t)s->integer;
  return true;
}

static bool take_setting(cursor *cur, arena *memory, setting *s, uint64_t *alignment) {
  uint32_t type = 0;
  begin(cur, "key", NULL);
  if (!take_name(cur, memory, &s->key)) return false;
  begin(cur, "value of key", s->key);
  if (!take_u32(cur, &type)) return false;
  if (type >= GGUF_TYPES)
    return fail(cur, GALE_E_FORMAT, "value type %" PRIu32 "; 0 to %d are accepted", type, GGUF_TYPES - 1);
  if (!(type == GGUF_ARRAY ? take_array(cur, memory, s) : take_scalar(cur, memory, type, s))) return false;
  return strcmp(s->key, "general.alignment") != 0 || take_alignment(cur, type, s, alignment);
}

/* ---- Tensors ---- */

static bool take_shape(cursor *cur, tensor *t) {
  uint32_t n_dims = 0;
  if (!take_u32(cur, &n_dims)) return false;
  if (n_dims < 1 || n_dims > 4) return fail(cur, GALE_E_FORMAT, "%" PRIu32 " dimensions; 1 to 4 are accepted", n_dims);
  t->n_dims = (int)n_dims;
  for (int i = t->n_dims - 1; i >= 0; i--) /* the file's first dimension is the innermost */
    if (!take(cur, &t->shape[i], sizeof t->shape[i])) return false;
  return true;
}

static bool take_tensor(cursor *cur, arena *memory, tensor *t) {
  uint32_t type = 0;
  const char *why;
  begin(cur, "tensor name", NULL);
  if (!take_name(cur, memory, &t->name)) return false;
  begin(cur, "shape of tensor", t->name);
  if (!take_shape(cur, t)) return false;
  uint64_t shape_field = cur->field;
  begin(cur, "type of tensor", t->name);
  if (!take_u32(cur, &type)) return false;
  if (!quant_from_gguf(type, &t->type)) {
    const char *name = quant_ggml_name(type);
    return fail(cur, GALE_E_UNSUPPORTED, "%s%s%" PRIu32 "%s is not supported; %s are accepted", name ? name : "number ",
                name ? " (" : "", type, name ? ")" : "", types_dividing(0).text);
  }
  cur->what = "shape of tensor";
  cur->field = shape_field;
  if (!tensor_measure(t, &why)) return fail(cur, GALE_E_FORMAT, "%s (%s)", why, quant_get(t->type)->name);
  begin(cur, "offset of tensor", t->name);
  return take_u64(cur, &t->offset);
}

static int compare_offsets(const void *a, const void *b) {
  const tensor *x = *(const tensor *const *)a, *y = *(const tensor *const *)b;
  return (x->offset > y->offset) - (x->offset < y->offset);
}

static bool check_overlap(cursor *cur, const tensor *tensors, size_t n) {
  const tensor **sorted = calloc(n + 1, sizeof *sorted);
  if (!sorted) return fail_memory(cur, n * sizeof *sorted);
  for (size_t i = 0; i < n; i++) sorted[i] = &tensors[i];
  qsort(sorted, n, sizeof *sorted, compare_offsets);
  bool apart = true;
  for (size_t i = 1; apart && i < n; i++) {
    const tensor *a = sorted[i - 1], *b = sorted[i];
    if (b->offset - a->offset >= a->bytes) continue;
    begin(cur, "data of tensor", b->name);
    cur->field = b->offset;
    apart = fail(cur, GALE_E_FORMAT, "overlaps tensor \"%.80s\", which has %" PRIu64 " bytes at %" PRIu64, a->name,
                 a->bytes, a->offset);
  }
  free(sorted);
  return apart;
}

/* Turns the tensors' offsets, which count from the data section's start, into offsets in the file. */
static bool place_tensors(cursor *cur, tensor *tensors, size_t n, uint64_t alignment) {
  uint64_t start = (cur->at + alignment - 1) / alignment * alignment;
  uint64_t room = start < cur->f->size ? cur->f->size - start : 0;
  for (size_t i = 0; i < n; i++) {
    tensor *t = &tensors[i];
    begin(cur, "data of tensor", t->name);
    cur->field = t->offset > UINT64_MAX - start ? t->offset : start + t->offset;
    if (t->offset % alignment)
      return fail(cur, GALE_E_FORMAT, "%" PRIu64 " from the data's start, not a multiple of the alignment %" PRIu64,
                  t->offset, alignment);
    if (t->offset > room || t->bytes > room - t->offset)
      return fail(cur, GALE_E_FORMAT, "%" PRIu64 " bytes go past the end of the file, which has %" PRIu64, t->bytes,
                  cur->f->size);
    t->offset += start;
  }
  return check_overlap(cur, tensors, n);
}

/* ---- Files ---- */

/* The name of another format of model files, recognised by its first bytes; NULL: none is known. */
static const char *other_format(const unsigned char *start, size_t n) {
  static const struct {
    const char *magic, *what;
  } formats[] = {
      {"lmgg", "a GGML file from before GGUF: convert the model anew"},
      {"fmgg", "a GGML file from before GGUF: convert the model anew"},
      {"tjgg", "a GGML file from before GGUF: convert the model anew"},
      {"algg", "an adapter (LoRA): merge it into its model"},
      {"PK\x03\x04", "a PyTorch checkpoint: convert it to safetensors"},
      {"\x80\x02", "a pickled checkpoint: convert it to safetensors"},
      {"<!", "a web page, perhaps of a failed download"},
      {"<htm", "a web page, perhaps of a failed download"},
      {"version https://git-lfs", "a Git LFS pointer: fetch the file that it stands for"},
  };
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    size_t length = strlen(formats[i].magic);
    if (length <= n && memcmp(start, formats[i].magic, length) == 0) return formats[i].what;
  }
  if (n > 8 && start[7] == 0 && start[6] == 0 && start[8] == '{')
    return "a safetensors file: name the directory that holds it and its config.json";
  return NULL;
}

static bool take_preamble(cursor *cur) {
  char magic[4] = {0};
  uint32_t version = 0;
  begin(cur, "magic", NULL);
  if (!take(cur, magic, sizeof magic)) return false;
  if (memcmp(magic, GGUF_MAGIC, sizeof magic) != 0) {
    const char *what = other_format(cur->held, cur->n_held);
    return fail(cur, GALE_E_FORMAT,
                "not a GGUF file%s%s; a GGUF file, or a directory in the form of Hugging Face or "
                "Mistral, is accepted",
                what ? " but " : "", what ? what : "");
  }
  begin(cur, "version", NULL);
  if (!take_u32(cur, &version)) return false;
  if (version == __builtin_bswap32(2) || version == __builtin_bswap32(3))
    return fail(cur, GALE_E_UNSUPPORTED, "a big-endian file; little-endian ones are accepted");
  if (version != 2 && version != 3) return fail(cur, GALE_E_UNSUPPORTED, "%" PRIu32 "; 2 and 3 are accepted", version);
  return true;
}

typedef struct header {
  setting *settings;
  size_t n_settings;
} header;

static bool take_file(cursor *cur, checkpoint *c, uint32_t file_index, header *h) {
  enum { TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, SETTING_BYTES = 8 + 1 + 4 + 1 };
  uint64_t n_tensors = 0, n_settings = 0, alignment = GGUF_ALIGNMENT;
  if (!take_preamble(cur)) return false;
  begin(cur, "tensor count", NULL);
  if (!take_count(cur, TENSOR_BYTES, &n_tensors)) return false;
  begin(cur, "key count", NULL);
  if (!take_count(cur, SETTING_BYTES, &n_settings)) return false;
  h->n_settings = (size_t)n_settings;
  h->settings = arena_array(&c->memory, h->n_settings, sizeof *h->settings);
  if (!h->settings) return fail_memory(cur, n_settings * sizeof *h->settings);
  for (size_t i = 0; i < h->n_settings; i++)
    if (!take_setting(cur, &c->memory, &h->settings[i], &alignment)) return false;
  tensor *tensors = checkpoint_add_tensors(c, (size_t)n_tensors);
  if (!tensors) return fail_memory(cur, n_tensors * sizeof *tensors);
  for (uint64_t i = 0; i < n_tensors; i++) {
    tensors[i].file = file_index;
    if (!take_tensor(cur, &c->memory, &tensors[i])) return false;
  }
  return place_tensors(cur, tensors, (size_t)n_tensors, alignment);
}

static gale_status read_file(checkpoint *c, const char *path, header *h, gale_error *error) {
  uint32_t index;
  gale_status status = checkpoint_add_file(c, path, &index, error);
  if (status) return status;
  cursor cur;
  cur.f = &c->files[index];
  cur.error = error;
  cur.status = GALE_OK;
  cur.at = cur.held_from = 0;
  cur.n_held = 0;
  cur.entries_left = MAX_ENTRIES;
  take_file(&cur, c, index, h);
  return cur.status;
}

/* ---- Shards ---- */

/* The integer under key, or otherwise where there is none. */
static gale_status header_integer(const header *h, const char *path, const char *key, int64_t otherwise, int64_t *value,
                                  gale_error *error) {
  *value = otherwise;
  for (size_t i = 0; i < h->n_settings; i++) {
    const setting *s = &h->settings[i];
    if (strcmp(s->key, key) != 0) continue;
    if (s->type != SETTING_INT)
      return error_set(error, GALE_E_FORMAT, "%s: key \"%s\" at offset %" PRIu64 ": an integer is accepted", path, key,
                       s->offset);
    *value = s->integer;
    return GALE_OK;
  }
  return GALE_OK;
}

typedef struct split {
  int64_t number, count;
  int64_t n_tensors; /* of all shards; INT64_MIN: not stated */
} split;

static gale_status header_split(const header *h, const char *path, split *s, gale_error *error) {
  gale_status status = header_integer(h, path, "split.no", 0, &s->number, error);
  if (!status) status = header_integer(h, path, "split.count", 1, &s->count, error);
  if (!status) status = header_integer(h, path, "split.tensors.count", INT64_MIN, &s->n_tensors, error);
  if (status) return status;
  if (s->count == 0) s->count = 1; /* how a file that was merged from shards says that it is whole */
  if (s->count < 1 || s->count > MAX_SHARDS || s->number < 0 || s->number >= s->count)
    return error_set(error, GALE_E_FORMAT,
                     "%s: split.no %" PRId64 " with split.count %" PRId64
                     "; a number below a count of 1 to %d is accepted",
                     path, s->number, s->count, MAX_SHARDS);
  return GALE_OK;
}

/* The name of shard `number` (from 0), given that of another one; NULL if the name is not a shard's or
 * memory ran out. */
static char *shard_path(arena *memory, const char *path, const split *own, int64_t number) {
  char suffix[40];
  int n = snprintf(suffix, sizeof suffix, "-%05d-of-%05d.gguf", (int)own->number + 1, (int)own->count);
  size_t length = strlen(path);
  if (length < (size_t)n || strcmp(path + length - (size_t)n, suffix) != 0) return NULL;
  return arena_printf(memory, "%.*s-%05d-of-%05d.gguf", (int)(length - (size_t)n), path, (int)number + 1,
                      (int)own->count);
}

static gale_status read_shard(checkpoint *c, const char *path, const split *first, int64_t number, gale_error *error) {
  char *shard = shard_path(&c->memory, path, first, number);
  if (!shard)
    return error_set(error, GALE_E_FORMAT,
                     "%s: split.count is %" PRId64 ", so the file's name must end in -00001-of-%05" PRId64 ".gguf",
                     path, first->count, first->count);
  header h = {0};
  split own = {0};
  gale_status status = read_file(c, shard, &h, error);
  if (!status) status = header_split(&h, shard, &own, error);
  if (status) return status;
  if (own.number != number || own.count != first->count)
    return error_set(error, GALE_E_FORMAT,
                     "%s: split.no %" PRId64 " of split.count %" PRId64 "; %" PRId64 " of %" PRId64 " is wanted", shard,
                     own.number, own.count, number, first->count);
  return GALE_OK;
}

static gale_status read_shards(checkpoint *c, const char *path, const split *first, gale_error *error) {
  if (first->number != 0) {
    const char *wanted = shard_path(&c->memory, path, first, 0);
    return error_set(error, GALE_E_FORMAT, "%s: shard %" PRId64 " of %" PRId64 " (split.no); open the first one, %s",
                     path, first->number + 1, first->count, wanted ? wanted : "*-00001-of-*.gguf");
  }
  for (int64_t i = 1; i < first->count; i++) {
    gale_status status = read_shard(c, path, first, i, error);
    if (status) return status;
  }
  if (first->n_tensors != INT64_MIN && (uint64_t)first->n_tensors != c->n_tensors)
    return error_set(error, GALE_E_FORMAT, "%s: split.tensors.count is %" PRId64 ", but there are %zu tensors", path,
                     first->n_tensors, c->n_tensors);
  return GALE_OK;
}

gale_status gguf_read(checkpoint *c, const char *path, gale_error *error) {
  header h = {0};
  split s = {0};
  c->kind = CHECKPOINT_GGUF;
  c->format = "GGUF";
  c->config_path = c->path;
  c->read = checkpoint_read_file;
  gale_status status = read_file(c, path, &h, error);
  if (!status) status = header_split(&h, path, &s, error);
  if (!status) status = read_shards(c, path, &s, error);
  if (status) return status;
  c->settings = h.settings;
  c->n_settings = h.n_settings;
  return checkpoint_index(c, error);
}
