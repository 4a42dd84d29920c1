#include "schedule/page_store.h"

#include "base/checksum.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NANOSECONDS = 1000000000 };

/* Raised when the names of files, or what they stand for, change. */
enum { STORE_VERSION = 1 };

static const uint64_t store_magic = 0x3130736567506C47; /* "GlPges01" on little-endian machines */

static const char key_file[] = "pages.key", suffix[] = ".page";

/* What is in key_file. */
typedef struct store_state {
  uint64_t magic, version;
  hash_key keys[2];
  uint64_t sum; /* of what is before it */
  uint64_t bytes;
} store_state;

/* ---- The count ---- */

static bool lock(const page_store *s) {
  while (flock(s->lock_fd, LOCK_EX) != 0)
    if (errno != EINTR) return false;
  return true;
}

static void unlock(const page_store *s) {
  flock(s->lock_fd, LOCK_UN);
}

static bool put_bytes(page_store *s, uint64_t bytes) {
  atomic_store(&s->bytes, bytes);
  return pwrite(s->lock_fd, &bytes, sizeof bytes, offsetof(store_state, bytes)) == (ssize_t)sizeof bytes;
}

static bool get_bytes(const page_store *s, uint64_t *bytes) {
  return pread(s->lock_fd, bytes, sizeof *bytes, offsetof(store_state, bytes)) == (ssize_t)sizeof *bytes;
}

/* ---- What is there ---- */

typedef struct stored {
  char name[PAGE_NAME];
  uint64_t bytes;
  int64_t used;
} stored;

typedef struct stored_list {
  stored *items;
  size_t length, room;
  uint64_t bytes;
} stored_list;

static bool is_page(const char *name) {
  size_t n = strlen(name);
  return n < PAGE_NAME && n > 33 + sizeof suffix - 1 && strspn(name, "0123456789abcdef") == 32 && name[32] == '-' &&
         strcmp(name + n - (sizeof suffix - 1), suffix) == 0;
}

static bool add_stored(stored_list *list, int directory, const char *name) {
  struct stat st;
  if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return true;
  list->bytes += (uint64_t)st.st_size;
  if (!is_page(name)) return true; /* somebody is writing it */
  if (list->length == list->room) {
    size_t room = 2 * list->room + 64;
    stored *more = realloc(list->items, room * sizeof *more);
    if (!more) return false;
    list->items = more;
    list->room = room;
  }
  stored *item = &list->items[list->length++];
  memcpy(item->name, name, strlen(name) + 1); /* is_page() has looked at its length */
  item->bytes = (uint64_t)st.st_size;
  item->used = st.st_mtim.tv_sec * NANOSECONDS + st.st_mtim.tv_nsec;
  return true;
}

static bool list_files(const page_store *s, stored_list *list) {
  *list = (stored_list){0};
  DIR *d = opendir(s->directory);
  bool whole = d != NULL;
  for (struct dirent *e; whole && (e = readdir(d));) {
    bool ours = is_page(e->d_name) || strncmp(e->d_name, PAGE_UNFINISHED, sizeof PAGE_UNFINISHED - 1) == 0;
    if (ours) whole = add_stored(list, s->fd, e->d_name);
  }
  if (d) closedir(d);
  return whole;
}

static int oldest_first(const void *a, const void *b) {
  const stored *x = a, *y = b;
  if (x->used != y->used) return x->used < y->used ? -1 : 1;
  return strcmp(x->name, y->name);
}

/* Counts all files and removes the oldest until at most so many bytes are taken. Under the lock. */
static bool count(page_store *s, uint64_t most) {
  stored_list list;
  fresh_remove_left(s->directory, PAGE_UNFINISHED);
  bool whole = list_files(s, &list);
  if (whole && list.bytes > most && list.length) qsort(list.items, list.length, sizeof *list.items, oldest_first);
  for (size_t i = 0; i < list.length && whole && list.bytes > most; i++) {
    if (unlinkat(s->fd, list.items[i].name, 0) != 0 && errno != ENOENT) continue;
    list.bytes -= list.items[i].bytes;
    atomic_fetch_add(&s->removed, 1);
  }
  free(list.items);
  return whole && put_bytes(s, list.bytes);
}

/* ---- Opening ---- */

static uint64_t state_sum(const store_state *state) {
  return checksum(state, offsetof(store_state, sum));
}

/* Reads the key, or makes one where there is none that can be used. Under the lock. */
static gale_status read_key(page_store *s, gale_error *error) {
  store_state state;
  struct stat st;
  if (fstat(s->lock_fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
    return error_set(error, GALE_E_IO, "%s/%s: belongs to another user, or others may write it", s->directory,
                     key_file);
  bool whole = pread(s->lock_fd, &state, sizeof state, 0) == (ssize_t)sizeof state;
  if (!whole || state.magic != store_magic || state.version != STORE_VERSION || state.sum != state_sum(&state)) {
    state = (store_state){.magic = store_magic, .version = STORE_VERSION};
    for (int i = 0; i < 2; i++) state.keys[i] = hash_key_random();
    state.sum = state_sum(&state);
    if (pwrite(s->lock_fd, &state, sizeof state, 0) != (ssize_t)sizeof state)
      return error_set(error, GALE_E_IO, "%s/%s: %s", s->directory, key_file, strerror(errno));
  }
  memcpy(s->keys, state.keys, sizeof s->keys);
  return GALE_OK;
}

gale_status page_store_open(page_store *s, const char *directory, uint64_t limit, gale_error *error) {
  *s = (page_store){.fd = -1, .lock_fd = -1, .limit = limit};
  atomic_init(&s->bytes, 0);
  atomic_init(&s->removed, 0);
  gale_status status = directory_make(directory, error);
  if (!status && !(s->directory = strdup(directory))) status = error_memory(error, strlen(directory) + 1);
  if (!status) s->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (s->fd >= 0) s->lock_fd = openat(s->fd, key_file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (!status && (s->lock_fd < 0 || !lock(s)))
    status = error_set(error, GALE_E_IO, "%s: %s", directory, strerror(errno));
  if (!status) {
    status = read_key(s, error);
    if (!status && !count(s, limit)) status = error_set(error, GALE_E_IO, "%s: its files cannot be counted", directory);
    unlock(s);
  }
  if (status) page_store_close(s);
  return status;
}

void page_store_close(page_store *s) {
  if (s->fd >= 0) close(s->fd);
  if (s->lock_fd >= 0) close(s->lock_fd);
  free(s->directory);
  s->directory = NULL;
  s->fd = s->lock_fd = -1;
}

/* ---- Names ---- */

typedef struct hashed_text {
  page_hash before;
  char bytes[512];
} hashed_text;

page_hash page_store_hash(const page_store *s, const page_hash *before, const void *bytes, size_t n) {
  hashed_text text = {.before = *before};
  size_t at = 0;
  do {
    size_t part = n - at < sizeof text.bytes ? n - at : sizeof text.bytes;
    memcpy(text.bytes, (const char *)bytes + at, part);
    page_hash hash;
    for (int i = 0; i < 2; i++)
      hash.half[i] = keyed_hash(&s->keys[i], (const char *)&text, offsetof(hashed_text, bytes) + part);
    text.before = hash;
    at += part;
  } while (at < n);
  return text.before;
}

void page_store_name(char name[PAGE_NAME], const page_hash *hash, int32_t window) {
  snprintf(name, PAGE_NAME, "%016" PRIx64 "%016" PRIx64 "-%" PRIx32 "%s", hash->half[0], hash->half[1],
           (uint32_t)window, suffix);
}

/* ---- Files ---- */

bool page_store_touch(const page_store *s, const char *name, int64_t when) {
  const struct timespec time = {.tv_sec = when / NANOSECONDS, .tv_nsec = when % NANOSECONDS}, both[2] = {time, time};
  return utimensat(s->fd, name, both, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* Under the lock. A sixteenth of the limit is made free at a time, since looking at all files takes a while. */
static gale_status take_room(page_store *s, uint64_t bytes, gale_error *error) {
  uint64_t taken = 0;
  bool known = get_bytes(s, &taken);
  if (!known || taken > s->limit || bytes > s->limit - taken) {
    uint64_t most = s->limit - bytes, spare = s->limit / 16;
    if (!count(s, most > spare ? most - spare : 0))
      return error_set(error, GALE_E_IO, "%s: its files cannot be counted", s->directory);
    taken = atomic_load(&s->bytes);
  }
  if (taken > s->limit || bytes > s->limit - taken)
    return error_set(error, GALE_E_IO, "%s: there is no room", s->directory);
  return put_bytes(s, taken + bytes) ? GALE_OK : error_set(error, GALE_E_IO, "%s: %s", s->directory, strerror(errno));
}

gale_status page_store_create(page_store *s, fresh_file *f, uint64_t bytes, gale_error *error) {
  *f = (fresh_file){.fd = -1};
  if (bytes > s->limit)
    return error_set(error, GALE_E_IO, "%s: %" PRIu64 " bytes are more than the %" PRIu64 " that it may take",
                     s->directory, bytes, s->limit);
  if (!lock(s)) return error_set(error, GALE_E_IO, "%s: %s", s->directory, strerror(errno));
  gale_status status = take_room(s, bytes, error);
  if (!status) status = fresh_create(f, s->directory, PAGE_UNFINISHED, error);
  if (!status) status = fresh_reserve(f, bytes, error);
  unlock(s);
  if (status) fresh_close(f);
  return status;
}

gale_status page_store_commit(page_store *s, fresh_file *f, const char *name, int64_t when, gale_error *error) {
  const struct timespec time = {.tv_sec = when / NANOSECONDS, .tv_nsec = when % NANOSECONDS}, both[2] = {time, time};
  char *path = path_join(s->directory, name);
  if (!path) return error_memory(error, strlen(name));
  futimens(f->fd, both);
  gale_status status = fresh_commit(f, path, error);
  free(path);
  return status;
}

void page_store_remove(page_store *s, const char *name) {
  struct stat st;
  bool there = fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (!there || unlinkat(s->fd, name, 0) != 0 || !lock(s)) return;
  uint64_t taken;
  if (get_bytes(s, &taken)) put_bytes(s, taken > (uint64_t)st.st_size ? taken - (uint64_t)st.st_size : 0);
  unlock(s);
}
