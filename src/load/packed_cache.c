#include "load/packed_cache.h"
#include "gale_tools.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { NANOSECONDS = 1000000000 };

static const char suffix[] = ".packed";

char *packed_cache_path(const char *directory, const digest *key) {
  char name[64];
  snprintf(name, sizeof name, "%016" PRIx64 "%016" PRIx64 "%s", key->half[0], key->half[1], suffix);
  return path_join(directory, name);
}

void packed_cache_touch(const packed_file *p) {
  /* Times of access are not kept on many systems. Where this fails, the file only counts as not used for longer than it
   * was. */
  const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
  (void)!futimens(p->file.fd, now);
}

/* ---- What is there ---- */

typedef struct entry {
  char *path;
  char *source, *mix; /* "" where the file is damaged */
  digest key;
  uint64_t bytes;
  int64_t used; /* nanoseconds since 1970 */
  bool sound;   /* all but the data was checked */
} entry;

typedef struct entries {
  entry *items;
  size_t length;
} entries;

static void free_entry(entry *e) {
  free(e->path);
  free(e->source);
  free(e->mix);
}

static void free_entries(entries *list) {
  for (size_t i = 0; i < list->length; i++) free_entry(&list->items[i]);
  free(list->items);
  *list = (entries){0};
}

static bool is_packed(const char *name) {
  return strlen(name) == 32 + sizeof suffix - 1 && strspn(name, "0123456789abcdef") == 32 &&
         strcmp(name + 32, suffix) == 0;
}

/* Fills in an entry. False: out of memory. */
static bool describe(entry *e, const char *directory, const char *name) {
  *e = (entry){.path = path_join(directory, name)};
  if (!e->path) return false;
  struct stat st;
  if (lstat(e->path, &st) == 0) {
    e->bytes = (uint64_t)st.st_size;
    e->used = st.st_mtim.tv_sec * NANOSECONDS + st.st_mtim.tv_nsec;
  }
  packed_file p;
  e->sound = packed_open(&p, e->path, NULL) == GALE_OK;
  e->source = strdup(e->sound ? p.about.source : "");
  e->mix = strdup(e->sound ? p.about.mix : "");
  if (e->sound) {
    e->key = p.about.key;
    packed_close(&p);
  }
  return e->source && e->mix;
}

static int latest_first(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->used != y->used) return x->used < y->used ? 1 : -1;
  return strcmp(x->path, y->path);
}

/* A directory that is not there has no entries. */
static gale_status read_entries(const char *directory, entries *list, gale_error *error) {
  *list = (entries){0};
  DIR *d = opendir(directory);
  if (!d && errno == ENOENT) return GALE_OK;
  if (!d) return error_set(error, GALE_E_IO, "%s: %s", directory, strerror(errno));
  gale_status status = GALE_OK;
  for (struct dirent *e; !status && (e = readdir(d));) {
    if (!is_packed(e->d_name)) continue;
    entry *more = realloc(list->items, (list->length + 1) * sizeof *more);
    if (more) list->items = more;
    if (!more || !describe(&more[list->length++], directory, e->d_name)) status = error_memory(error, sizeof *more);
  }
  closedir(d);
  if (status)
    free_entries(list);
  else if (list->length)
    qsort(list->items, list->length, sizeof *list->items, latest_first);
  return status;
}

/* ---- Removing ---- */

/* Removes an entry from the list and its file from the directory. Returns 0 or errno. */
static int remove_entry(entries *list, size_t i) {
  entry gone = list->items[i];
  int reason = unlink(gone.path) == 0 || errno == ENOENT ? 0 : errno;
  memmove(&list->items[i], &list->items[i + 1], (--list->length - i) * sizeof *list->items);
  free_entry(&gone);
  return reason;
}

static uint64_t bytes_of(const entries *list) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < list->length; i++) bytes += list->items[i].bytes;
  return bytes;
}

static uint64_t usual_limit(const char *directory, uint64_t taken) {
  const uint64_t most = (uint64_t)64 << 30;
  struct statvfs v;
  if (statvfs(directory, &v) != 0) return most;
  uint64_t half = ((uint64_t)v.f_bavail * v.f_frsize + taken) / 2;
  return half < most ? half : most;
}

gale_status packed_cache_make_room(const char *directory, const packed_about *about, uint64_t limit,
                                   gale_error *error) {
  fresh_remove_left(directory, PACKED_UNFINISHED);
  entries list;
  gale_status status = read_entries(directory, &list, error);
  if (status) return status;
  if (limit == 0) limit = usual_limit(directory, bytes_of(&list));
  if (about->data_bytes > limit) {
    free_entries(&list);
    return error_set(error, GALE_E_IO, "%s: %" PRIu64 " bytes are more than the %" PRIu64 " that it may take",
                     directory, about->data_bytes, limit);
  }
  for (size_t i = list.length; i-- > 0;) {
    const entry *e = &list.items[i];
    bool same = strcmp(e->source, about->source) == 0 && strcmp(e->mix, about->mix) == 0;
    if (!e->sound || same) remove_entry(&list, i);
  }
  while (list.length && bytes_of(&list) > limit - about->data_bytes) remove_entry(&list, list.length - 1);
  free_entries(&list);
  return GALE_OK;
}

/* ---- The public functions ---- */

/* The entries and their texts in one allocation. */
static gale_cache_entry *copy_entries(const entries *list) {
  size_t n = (list->length + 1) * sizeof(gale_cache_entry);
  for (size_t i = 0; i < list->length; i++)
    n += strlen(list->items[i].source) + strlen(list->items[i].mix) + strlen(list->items[i].path) + 3;
  gale_cache_entry *to = malloc(n);
  if (!to) return NULL;
  char *text = (char *)(to + list->length + 1);
  for (size_t i = 0; i < list->length; i++) {
    const entry *e = &list->items[i];
    to[i] = (gale_cache_entry){.bytes = e->bytes, .used = e->used / NANOSECONDS, .sound = e->sound};
    const char *const texts[] = {e->path, e->source, e->mix};
    const char **const fields[] = {&to[i].path, &to[i].source, &to[i].quantize};
    for (int j = 0; j < 3; j++) {
      *fields[j] = text;
      text = stpcpy(text, texts[j]) + 1;
    }
  }
  return to;
}

gale_status gale_cache_list(const char *directory, gale_cache_entry **out, size_t *n, gale_error *error) {
  entries list;
  gale_status status = read_entries(directory, &list, error);
  if (status) return status;
  gale_cache_entry *copy = copy_entries(&list);
  size_t length = list.length;
  free_entries(&list);
  if (!copy) return error_memory(error, length * sizeof *copy);
  *out = copy;
  *n = length;
  return GALE_OK;
}

gale_status gale_cache_prune(const char *directory, uint64_t keep, uint64_t *removed, gale_error *error) {
  fresh_remove_left(directory, PACKED_UNFINISHED);
  entries list;
  gale_status status = read_entries(directory, &list, error);
  if (status) return status;
  uint64_t bytes = bytes_of(&list);
  int reason = 0;
  while (list.length && bytes_of(&list) > keep && !reason) reason = remove_entry(&list, list.length - 1);
  if (reason) status = error_set(error, GALE_E_IO, "%s: %s", directory, strerror(reason));
  bytes -= bytes_of(&list);
  free_entries(&list);
  if (!status && removed) *removed = bytes;
  return status;
}
