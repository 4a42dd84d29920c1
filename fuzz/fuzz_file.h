/* For fuzz targets of readers that open files by name. */
#ifndef FUZZ_FILE_H
#define FUZZ_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/checkpoint.h"

typedef struct memory_file {
  int fd;
  char path[32];
} memory_file;

/* A file of the given bytes that lives in memory only. */
static inline bool memory_file_open(memory_file *m, const uint8_t *data, size_t size) {
  m->fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (m->fd < 0) return false;
  snprintf(m->path, sizeof m->path, "/proc/self/fd/%d", m->fd);
  if (write(m->fd, data, size) == (ssize_t)size) return true;
  close(m->fd);
  return false;
}

static inline void memory_file_close(memory_file *m) {
  close(m->fd);
}

/* Whatever opened must keep what checkpoint.h promises. */
static inline void fuzz_walk(const checkpoint *c) {
  uint8_t block[256];
  for (size_t i = 0; i < c->n_settings; i++)
    if (checkpoint_setting(c, c->settings[i].key) != &c->settings[i]) abort();
  for (size_t i = 0; i < c->n_tensors; i++) {
    const tensor *t = &c->tensors[i];
    uint64_t unit = (uint64_t)quant_get(t->type)->block_bytes;
    if (checkpoint_tensor(c, t->name) != t || t->bytes % unit || unit > sizeof block) abort();
    if (checkpoint_read(c, t, 0, block, unit, NULL) != GALE_OK) abort();
    if (checkpoint_read(c, t, t->bytes - unit, block, unit, NULL) != GALE_OK) abort();
  }
}

#endif
