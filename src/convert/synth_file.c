/* Synthetic models: a published shape with random weights. */
#include "format/checkpoint.h"
#include "gale_tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

gale_status gale_synth(const char *shape, const char *type, const char *path, gale_progress_fn progress, void *user,
                       gale_error *error) {
  static const char prefix[] = "shape:";
  if (strncmp(shape, prefix, sizeof prefix - 1) == 0) shape += sizeof prefix - 1;
  size_t n = strlen(prefix) + strlen(shape) + strlen("@") + (type ? strlen(type) : 0) + 1;
  char *source = malloc(n);
  if (!source) return error_memory(error, n);
  snprintf(source, n, "%s%s%s%s", prefix, shape, type ? "@" : "", type ? type : "");
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
