/* Getting a model's weights into memory: read from its files and packed, or taken from the cache of packed weights. */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include "base/checksum.h"
#include "model/model.h"

typedef struct load_request {
  const checkpoint *checkpoint; /* in which the weights were found */
  const model_config *config;   /* and with which configuration */
  const be_device *device;
  int threads;
  gale_progress_fn progress; /* may be NULL */
  void *user;
  /* The cache: */
  const gale_model_options *options;
  const gale_model *model;       /* which is being loaded */
  const model_source *converted; /* what `checkpoint` converts when it is read; NULL: it reads files */
} load_request;

/* Fills in the data of what weights_find() found. */
gale_status weights_load(const load_request *r, model_weights *w, load_report *report, gale_error *error);

void weights_release(const be_device *device, model_weights *w);

/* ---- Inside ---- */

/* Names everything that the packed bytes depend on. False with *why set where there is no name that would surely change
 * with them. */
bool load_key(const load_request *r, const model_weights *w, digest *key, const char **why);

#endif
