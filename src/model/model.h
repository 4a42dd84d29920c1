/* A model inside the library. Its public functions are declared in gale.h. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "base/checksum.h"
#include "model/config.h"
#include "model/weights.h"

/* A model as it is found in files; all of it must outlive what is made of it. */
typedef struct model_source {
  const checkpoint *checkpoint;
  const model_config *config;
  const model_weights *weights; /* as weights_find() leaves them */
} model_source;

/* What became of the cache of packed weights when the model was loaded. */
typedef struct load_report {
  bool kept, from_cache; /* the cache has the packed weights, and had them before */
  gale_error note;       /* its message is for people; "": no cache was asked for */
  bool summed;           /* the sums of all sections of the packed weights are known: */
  digest sums;           /* digest_number() of each */
} load_report;

struct gale_model {
  checkpoint *checkpoint; /* names and settings stay; the files are only read while loading */
  checkpoint *quantized;  /* what the weights are loaded from instead, where they are quantised at load, or NULL */
  model_source source;    /* of that */
  load_report load;
  model_config config;
  model_weights weights;
  be_device *device;
  gale_tokenizer *tokenizer; /* NULL: none */
  const char *types;         /* storage types by share */
  bool loaded;               /* not metadata_only */
  arena memory;
};

/* Ids below it have a row of logits and a token of the tokenizer (NULL: rows alone count). Those of padding rows and of
 * tokens without a row are never drawn. */
int32_t model_drawable(const gale_model *m, const gale_tokenizer *tokenizer);

#endif
