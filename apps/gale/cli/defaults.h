/* What a model's files propose for options that the command line leaves out: sampling settings in a Hugging Face
 * model's generation_config.json, and what an Ollama model states beside its weights. */
#ifndef GALE_CLI_DEFAULTS_H
#define GALE_CLI_DEFAULTS_H

#include "gale/cli/options.h"

/* Sets the options that were not given and that the command has. What is out of an option's range is left out, with a
 * remark; what is wrong with the model is left to whoever opens it. The texts stay in memory until the next call. */
void defaults_apply(options *o);

/* "temperature 0.6, top_p 0.9 (generation_config.json)", for the caller to free; NULL if the files propose nothing. */
char *defaults_text(const options *o);

#endif
