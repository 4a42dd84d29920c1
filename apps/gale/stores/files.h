/* Looking into other tools' folders. Whatever is returned is the caller's to free; NULL where it is not there. */
#ifndef GALE_STORES_FILES_H
#define GALE_STORES_FILES_H

#include "gale/stores/store.h"

char *text_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A variable of the environment with a leading ~ and $VAR or ${VAR} inside replaced; NULL if it is not set or empty. */
char *environment_path(const char *variable);
/* A folder below the home directory. */
char *home_path(const char *below);
/* A folder below XDG_CACHE_HOME, else below ~/.cache. */
char *cache_path(const char *below);

bool is_directory(const char *path);
/* Size of a regular file, through links; -1 if there is none. */
int64_t file_size(const char *path);
int64_t change_time(const char *path);

/* The content of a file of at most `most` bytes, ended by NUL. */
char *read_small(const char *path, size_t most, size_t *length);

/* Names in a folder that do not begin with a dot, sorted. */
store_names folder_names(const char *folder);

typedef struct store_file {
  char *name;
  int64_t bytes; /* -1: not there, or no regular file */
} store_file;

typedef struct store_files {
  store_file *items;
  size_t length;
  bool failed; /* without memory */
} store_files;

/* The files of a folder whose names begin with prefix and not with a dot, sorted. */
store_files folder_files(const char *folder, const char *prefix);
void store_files_add(store_files *to, const char *name, int64_t bytes);
void store_files_free(store_files *files);

/* The entry of a folder with this name: as it is, else the first that differs by case alone. */
char *folder_entry(const char *folder, const char *name);

#endif
