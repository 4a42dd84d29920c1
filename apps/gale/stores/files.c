#include "gale/stores/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

char *text_printf(const char *format, ...) {
  char *text = NULL;
  va_list arguments;
  va_start(arguments, format);
  int n = vasprintf(&text, format, arguments);
  va_end(arguments);
  return n < 0 ? NULL : text;
}

/* ---- Paths ---- */

static bool is_word(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* The value of the variable that begins behind a dollar sign, and how many characters name it; NULL if none does. */
static const char *variable_at(const char *s, size_t *length) {
  bool braces = *s == '{';
  const char *name = s + braces;
  size_t n = 0;
  while (is_word(name[n])) n++;
  if (n == 0 || n >= 128 || (braces && name[n] != '}')) return NULL;
  char copy[128];
  memcpy(copy, name, n);
  copy[n] = 0;
  const char *value = getenv(copy);
  *length = n + 2 * (size_t)braces;
  return value ? value : "";
}

static char *append(char *to, const char *from, size_t n) {
  char *grown = text_printf("%s%.*s", to ? to : "", (int)n, from);
  free(to);
  return grown;
}

static char *expand(const char *path) {
  char *out = NULL;
  const char *home = getenv("HOME");
  if (*path == '~' && (path[1] == '/' || !path[1]) && home) {
    out = append(out, home, strlen(home));
    path++;
  }
  while (*path) {
    size_t n = strcspn(path, "$"), named = 0;
    if (n) out = append(out, path, n);
    path += n;
    if (!*path) break;
    const char *value = variable_at(path + 1, &named);
    out = value ? append(out, value, strlen(value)) : append(out, "$", 1);
    path += 1 + named;
  }
  return out;
}

char *environment_path(const char *variable) {
  const char *value = getenv(variable);
  return value && *value ? expand(value) : NULL;
}

char *home_path(const char *below) {
  const char *home = getenv("HOME");
  return home && *home ? text_printf("%s/%s", home, below) : NULL;
}

char *cache_path(const char *below) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (cache && *cache) return text_printf("%s/%s", cache, below);
  return home && *home ? text_printf("%s/.cache/%s", home, below) : NULL;
}

/* ---- Files ---- */

bool is_directory(const char *path) {
  struct stat s;
  return path && stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

int64_t file_size(const char *path) {
  struct stat s;
  return path && stat(path, &s) == 0 && S_ISREG(s.st_mode) ? (int64_t)s.st_size : -1;
}

int64_t change_time(const char *path) {
  struct stat s;
  return stat(path, &s) == 0 ? (int64_t)s.st_mtime : -1;
}

char *read_small(const char *path, size_t most, size_t *length) {
  int64_t size = file_size(path);
  if (size < 0 || (uint64_t)size > most) return NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  char *bytes = fd >= 0 ? malloc((size_t)size + 1) : NULL;
  size_t n = 0;
  for (ssize_t got = 1; bytes && n < (size_t)size && got > 0; n += got > 0 ? (size_t)got : 0)
    got = read(fd, bytes + n, (size_t)size - n);
  if (fd >= 0) close(fd);
  if (bytes) bytes[n] = 0;
  if (bytes && length) *length = n;
  return bytes;
}

/* ---- Folders ---- */

void store_names_add(store_names *to, const char *format, ...) {
  char *name = NULL;
  va_list arguments;
  va_start(arguments, format);
  if (vasprintf(&name, format, arguments) < 0) name = NULL;
  va_end(arguments);
  char **grown = name ? realloc(to->items, (to->length + 1) * sizeof *grown) : NULL;
  if (grown) {
    to->items = grown;
    to->items[to->length++] = name;
  } else {
    free(name);
    to->failed = true;
  }
}

void store_names_free(store_names *names) {
  for (size_t i = 0; i < names->length; i++) free(names->items[i]);
  free(names->items);
  *names = (store_names){0};
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

store_names folder_names(const char *folder) {
  store_names names = {0};
  DIR *d = folder ? opendir(folder) : NULL;
  if (!d) return names;
  for (struct dirent *e; (e = readdir(d));)
    if (e->d_name[0] != '.') store_names_add(&names, "%s", e->d_name);
  closedir(d);
  if (names.length) qsort(names.items, names.length, sizeof *names.items, by_name);
  return names;
}

void store_files_add(store_files *to, const char *name, int64_t bytes) {
  char *copy = strdup(name);
  store_file *grown = copy ? realloc(to->items, (to->length + 1) * sizeof *grown) : NULL;
  if (!grown) {
    free(copy);
    to->failed = true;
    return;
  }
  to->items = grown;
  to->items[to->length++] = (store_file){copy, bytes};
}

void store_files_free(store_files *files) {
  for (size_t i = 0; i < files->length; i++) free(files->items[i].name);
  free(files->items);
  *files = (store_files){0};
}

store_files folder_files(const char *folder, const char *prefix) {
  store_names names = folder_names(folder);
  store_files files = {.failed = names.failed};
  for (size_t i = 0; i < names.length; i++) {
    if (strncmp(names.items[i], prefix, strlen(prefix)) != 0) continue;
    char *path = text_printf("%s/%s", folder, names.items[i]);
    store_files_add(&files, names.items[i], file_size(path));
    free(path);
  }
  store_names_free(&names);
  return files;
}

char *folder_entry(const char *folder, const char *name) {
  char *exact = text_printf("%s/%s", folder, name);
  struct stat s;
  bool there = exact && lstat(exact, &s) == 0;
  free(exact);
  if (there) return strdup(name);
  store_names names = folder_names(folder);
  char *found = NULL;
  for (size_t i = 0; i < names.length && !found; i++)
    if (strcasecmp(names.items[i], name) == 0) found = strdup(names.items[i]);
  store_names_free(&names);
  return found;
}
