/* A model inside the library. Its public functions are declared in gale.h. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "model/config.h"
#include "model/load.h"

struct gale_model {
  checkpoint *checkpoint; /* names and settings stay; the files are only read while loading */
  checkpoint *quantized;  /* what the weights are loaded from instead, where they are quantised at load, or NULL */
  convert_source source;  /* of that */
  load_report load;
  model_config config;
  model_weights weights;
  be_device *device;
  gale_tokenizer *tokenizer; /* NULL: none */
  const char *types;         /* storage types by share */
  bool loaded;               /* not metadata_only */
  arena memory;
};

#endif
