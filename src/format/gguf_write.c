/* Writes GGUF version 3. Numbers are written in the narrowest type that other engines expect and that
 * keeps their value: unsigned 32-bit for a single integer, signed 32-bit for lists of them, 32-bit for
 * floats, and 64-bit where those are too small. */
#include "format/gguf.h"
#include "format/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 3, BUFFER_BYTES = 1 << 20 };

/* ---- Bytes ---- */

typedef struct writer {
  FILE *f;
  const char *path; /* the final one, for messages */
  uint64_t at;
  bool failed; /* errno says why */
} writer;

static void put(writer *w, const void *bytes, size_t n) {
  if (!w->failed && fwrite(bytes, 1, n, w->f) != n) w->failed = true;
  w->at += n;
}

static void put_u32(writer *w, uint32_t value) {
  put(w, &value, sizeof value);
}
static void put_u64(writer *w, uint64_t value) {
  put(w, &value, sizeof value);
}

static void put_string(writer *w, const char *bytes, size_t n) {
  put_u64(w, n);
  put(w, bytes, n);
}

static uint64_t padding(uint64_t at) {
  return (GGUF_ALIGNMENT - at % GGUF_ALIGNMENT) % GGUF_ALIGNMENT;
}

static void put_padding(writer *w) {
  static const char zeros[GGUF_ALIGNMENT] = {0};
  put(w, zeros, padding(w->at));
}

static gale_status system_failure(const writer *w, const char *doing, gale_error *error) {
  return error_set(error, GALE_E_IO, "%s: %s: %s", w->path, doing, strerror(errno));
}

/* ---- Settings ---- */

/* The type for one value, among the types of its kind, which are ordered so that the larger holds the
 * smaller. */
static gguf_type scalar_type(const setting *s, bool single) {
  switch (s->type) {
  case SETTING_BOOL:
    return GGUF_BOOL;
  case SETTING_STRING:
    return GGUF_STRING;
  case SETTING_FLOAT:
    return (double)(float)s->number == s->number ? GGUF_F32 : GGUF_F64;
  default:
    break;
  }
  if (single && s->integer >= 0 && s->integer <= UINT32_MAX) return GGUF_U32;
  return s->integer >= INT32_MIN && s->integer <= INT32_MAX ? GGUF_I32 : GGUF_I64;
}

static void put_scalar(writer *w, const setting *s, gguf_type type) {
  uint8_t boolean = s->type == SETTING_BOOL && s->boolean;
  float narrow = s->type == SETTING_FLOAT ? (float)s->number : 0;
  switch (type) {
  case GGUF_BOOL:
    put(w, &boolean, sizeof boolean);
    break;
  case GGUF_STRING:
    put_string(w, s->string.bytes, s->string.length);
    break;
  case GGUF_F32:
    put(w, &narrow, sizeof narrow);
    break;
  case GGUF_U32:
  case GGUF_I32:
    put_u32(w, (uint32_t)s->integer);
    break;
  case GGUF_F64:
    put(w, &s->number, sizeof s->number);
    break;
  default:
    put_u64(w, (uint64_t)s->integer);
    break;
  }
}

static void put_setting(writer *w, const setting *s) {
  put_string(w, s->key, strlen(s->key));
  if (s->type != SETTING_ARRAY) {
    gguf_type type = scalar_type(s, true);
    put_u32(w, type);
    put_scalar(w, s, type);
    return;
  }
  gguf_type type = s->array.length ? scalar_type(&s->array.items[0], false) : GGUF_I32;
  for (size_t i = 1; i < s->array.length; i++) {
    gguf_type wanted = scalar_type(&s->array.items[i], false);
    if (wanted > type) type = wanted;
  }
  put_u32(w, GGUF_ARRAY);
  put_u32(w, type);
  put_u64(w, s->array.length);
  for (size_t i = 0; i < s->array.length; i++) put_scalar(w, &s->array.items[i], type);
}

/* Keys about how a file is laid out, which the writer decides anew. */
static bool is_layout(const char *key) {
  return strcmp(key, "general.alignment") == 0 || strncmp(key, "split.", 6) == 0;
}

/* GGUF has no null and no lists of mixed types. */
static bool can_write(const setting *s) {
  if (s->type != SETTING_ARRAY) return s->type != SETTING_NULL;
  for (size_t i = 0; i < s->array.length; i++) {
    setting_type type = s->array.items[i].type;
    if (type == SETTING_NULL || type == SETTING_ARRAY || type != s->array.items[0].type) return false;
  }
  return true;
}

static gale_status check_settings(const checkpoint *c, uint64_t *n_keys, gale_error *error) {
  if (c->kind != CHECKPOINT_GGUF)
    return error_set(error, GALE_E_ARGUMENT, "%s: a %s checkpoint; one with GGUF keys and names is accepted", c->path,
                     c->format);
  *n_keys = 0;
  for (size_t i = 0; i < c->n_settings; i++) {
    if (!can_write(&c->settings[i]))
      return error_set(error, GALE_E_ARGUMENT, "%s: key \"%s\" has a value that GGUF cannot hold", c->config_path,
                       c->settings[i].key);
    *n_keys += !is_layout(c->settings[i].key);
  }
  return GALE_OK;
}

/* ---- The file ---- */

static void put_header(writer *w, const checkpoint *c, uint64_t n_keys) {
  put(w, GGUF_MAGIC, 4);
  put_u32(w, VERSION);
  put_u64(w, c->n_tensors);
  put_u64(w, n_keys);
  for (size_t i = 0; i < c->n_settings; i++)
    if (!is_layout(c->settings[i].key)) put_setting(w, &c->settings[i]);
  uint64_t offset = 0;
  for (size_t i = 0; i < c->n_tensors; i++) {
    const tensor *t = &c->tensors[i];
    put_string(w, t->name, strlen(t->name));
    put_u32(w, (uint32_t)t->n_dims);
    for (int d = t->n_dims - 1; d >= 0; d--) put_u64(w, (uint64_t)t->shape[d]);
    put_u32(w, quant_get(t->type)->gguf_id);
    put_u64(w, offset);
    offset += t->bytes + padding(t->bytes);
  }
  put_padding(w);
}

typedef struct tally {
  gale_progress_fn progress;
  void *user;
  uint64_t done, all; /* bytes of tensors */
} tally;

static bool go_on(const tally *t) {
  return !t->progress || t->progress(t->user, t->all ? (double)t->done / (double)t->all : 1, "writing");
}

static gale_status put_tensor(writer *w, const checkpoint *c, const tensor *t, void *buffer, tally *done,
                              gale_error *error) {
  uint64_t unit = (uint64_t)quant_get(t->type)->block_bytes, most = BUFFER_BYTES / unit * unit;
  for (uint64_t from = 0; from < t->bytes; from += most) {
    uint64_t n = t->bytes - from < most ? t->bytes - from : most;
    gale_status status = checkpoint_read(c, t, from, buffer, n, error);
    if (status) return status;
    put(w, buffer, (size_t)n);
    if (w->failed) return system_failure(w, "writing", error);
    done->done += n;
    if (!go_on(done)) return error_set(error, GALE_E_CANCELLED, "%s: writing was stopped", w->path);
  }
  put_padding(w);
  return GALE_OK;
}

static gale_status put_checkpoint(writer *w, const checkpoint *c, uint64_t n_keys, tally *done, gale_error *error) {
  void *buffer = malloc(BUFFER_BYTES);
  if (!buffer) return error_memory(error, BUFFER_BYTES);
  gale_status status = GALE_OK;
  put_header(w, c, n_keys);
  for (size_t i = 0; i < c->n_tensors && !status; i++) status = put_tensor(w, c, &c->tensors[i], buffer, done, error);
  free(buffer);
  if (status) return status;
  if (w->failed || fflush(w->f) != 0 || fsync(fileno(w->f)) != 0) return system_failure(w, "writing", error);
  return GALE_OK;
}

/* ---- Names ---- */

/* Opens w->f on a new file beside w->path. Returns its name, to be freed by the caller; NULL if there is
 * none, and *status says why. */
static char *create_temporary(writer *w, gale_status *status, gale_error *error) {
  size_t n = strlen(w->path) + 16;
  char *name = malloc(n);
  if (!name) {
    *status = error_memory(error, n);
    return NULL;
  }
  int fd = -1;
  for (int i = 0; i < 1000 && fd < 0; i++) {
    snprintf(name, n, "%s.tmp%d", w->path, i);
    fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST) break;
  }
  w->f = fd < 0 ? NULL : fdopen(fd, "wb");
  if (w->f) return name;
  *status = system_failure(w, "creating a temporary file beside it", error);
  if (fd >= 0) {
    close(fd);
    unlink(name);
  }
  free(name);
  return NULL;
}

/* Makes a rename outlive a crash. Some file systems refuse to sync directories; the data is safe then. */
static void sync_directory(const char *path) {
  const char *slash = strrchr(path, '/');
  char *directory = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
  int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  if (fd >= 0) {
    fsync(fd);
    close(fd);
  }
  free(directory);
}

static uint64_t total_bytes(const checkpoint *c) {
  uint64_t n = 0;
  for (size_t i = 0; i < c->n_tensors; i++) n += c->tensors[i].bytes;
  return n;
}

gale_status gguf_write(const checkpoint *c, const char *path, gale_progress_fn progress, void *user,
                       gale_error *error) {
  uint64_t n_keys = 0;
  struct stat st;
  writer w = {.path = path};
  tally done = {progress, user, 0, total_bytes(c)};
  gale_status status = check_settings(c, &n_keys, error);
  if (status) return status;
  if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
    return error_set(error, GALE_E_IO, "%s: not a regular file; it is not replaced", path);
  char *temporary = create_temporary(&w, &status, error);
  if (!temporary) return status;
  status = put_checkpoint(&w, c, n_keys, &done, error);
  if (fclose(w.f) != 0 && !status) status = system_failure(&w, "writing", error);
  if (!status && rename(temporary, path) != 0) status = system_failure(&w, "renaming the temporary file", error);
  if (status)
    unlink(temporary);
  else
    sync_directory(path);
  free(temporary);
  return status;
}
