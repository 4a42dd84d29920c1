/* Files made at run time in a directory of the test's own, and what opening them must give. */
#ifndef TESTS_FORMAT_FILES_H
#define TESTS_FORMAT_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/checkpoint.h"

static char directory[64];

static inline int make_directory(void **state) {
  (void)state;
  strcpy(directory, "/tmp/gale-format-XXXXXX");
  return mkdtemp(directory) ? 0 : -1;
}

static inline int remove_directory(void **state) {
  (void)state;
  DIR *d = opendir(directory);
  if (!d) return -1;
  for (struct dirent *e; (e = readdir(d));)
    if (e->d_name[0] != '.' && unlinkat(dirfd(d), e->d_name, 0) != 0) unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
  closedir(d);
  return rmdir(directory);
}

/* The path of a name in the test's directory; valid until eight more were asked for. */
static inline const char *at(const char *name) {
  static char paths[8][512];
  static unsigned next;
  char *path = paths[next++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", directory, name);
  return path;
}

static inline const char *write_bytes(const char *name, const void *bytes, size_t n) {
  const char *path = at(name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  return path;
}

static inline const char *write_text(const char *name, const char *text) {
  return write_bytes(name, text, strlen(text));
}

static inline checkpoint *open_good(const char *path) {
  gale_error error = {0};
  checkpoint *c = NULL;
  gale_status status = checkpoint_open(path, &c, &error);
  if (status) fail_msg("%s", error.message);
  assert_non_null(c);
  return c;
}

/* What was refused has this status and a message that holds all the texts, which end with NULL. */
static inline void check_refusal(gale_status status, gale_status wanted, const gale_error *error, va_list texts) {
  for (const char *text; (text = va_arg(texts, const char *));)
    if (!strstr(error->message, text)) fail_msg("\"%s\" is not in: %s", text, error->message);
  if (status != wanted || error->code != wanted) fail_msg("status %d, not %d: %s", status, wanted, error->message);
}

/* Opening path must fail with a status and a message that holds all the texts, which end with NULL. */
static inline void refuse(const char *path, gale_status wanted, ...) {
  gale_error error = {0};
  checkpoint *c = NULL;
  gale_status status = checkpoint_open(path, &c, &error);
  if (status == GALE_OK) {
    checkpoint_close(&c);
    fail_msg("%s was opened", path);
  }
  assert_null(c);
  va_list texts;
  va_start(texts, wanted);
  check_refusal(status, wanted, &error, texts);
  va_end(texts);
}

/* Opens what may be bad; reads all of it if it isn't. */
static inline void try_open(const char *path) {
  gale_error error = {0};
  checkpoint *c = NULL;
  if (checkpoint_open(path, &c, &error)) {
    assert_int_not_equal(error.message[0], 0);
    return;
  }
  for (size_t i = 0; i < c->n_tensors; i++) {
    const tensor *t = &c->tensors[i];
    void *data = malloc(t->bytes);
    assert_non_null(data);
    assert_int_equal(checkpoint_read(c, t, 0, data, t->bytes, &error), GALE_OK);
    free(data);
    assert_ptr_equal(checkpoint_tensor(c, t->name), t);
  }
  for (size_t i = 0; i < c->n_settings; i++)
    assert_ptr_equal(checkpoint_setting(c, c->settings[i].key), &c->settings[i]);
  checkpoint_close(&c);
}

/* A generator for mutations; any fixed sequence will do. */
static inline uint32_t next_random(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33);
}

#endif
