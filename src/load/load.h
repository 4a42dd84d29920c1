/* Getting a model's weights into memory: read and packed, or as an earlier time left them. */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include "base/checksum.h"
#include "model/model.h"

typedef struct load_request {
  const checkpoint *checkpoint; /* that the weights were found in */
  const model_config *config;   /* by which */
  const be_device *device;
  int threads;
  gale_progress_fn progress; /* may be NULL */
  void *user;
  /* The cache: */
  const gale_model_options *options;
  const gale_model *model;       /* that is loaded */
  const model_source *converted; /* what the checkpoint is made of, or NULL: it is of files */
} load_request;

/* Fills in the data of what weights_find() found. */
gale_status weights_load(const load_request *r, model_weights *w, load_report *report, gale_error *error);

void weights_release(const be_device *device, model_weights *w);

/* ---- Inside ---- */

/* Names everything that the packed bytes depend on. False with *why set: no name can be given, or it may not hold. */
bool load_key(const load_request *r, const model_weights *w, digest *key, const char **why);

#endif
