/* Synthetic models: a published shape with random weights. */
#include "format/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

gale_status gale_synth(const char *shape, const char *type, const char *path, gale_progress_fn progress, void *user,
                       gale_error *error) {
  size_t n = strlen("shape:") + strlen(shape) + strlen("@") + (type ? strlen(type) : 0) + 1;
  char *source = malloc(n);
  if (!source) return error_memory(error, n);
  snprintf(source, n, "shape:%s%s%s", shape, type ? "@" : "", type ? type : "");
  checkpoint *c = NULL;
  gale_status status = checkpoint_open(source, &c, error);
  if (!status) status = gguf_write(c, path, progress, user, error);
  checkpoint_close(&c);
  free(source);
  return status;
}

const char *const *gale_shapes(void) {
  return shape_names();
}
