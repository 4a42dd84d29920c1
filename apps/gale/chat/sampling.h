/* The sampling settings that a command line asks for. */
#ifndef GALE_CHAT_SAMPLING_H
#define GALE_CHAT_SAMPLING_H

#include "gale/cli/options.h"

typedef struct sampling {
  gale_sampler_options settings; /* all but the seed; its arrays are below */
  gale_logit_bias bias[MAX_STOPS];
  int32_t *breakers; /* owned */
} sampling;

/* n_drawable: of the model's gale_model_info. Returns 0, or an exit status after saying what is wrong; sampling_free()
 * follows in both cases. */
int sampling_read(sampling *s, const options *o, const gale_tokenizer *tokenizer, int32_t n_drawable);

void sampling_free(sampling *s);

#endif
