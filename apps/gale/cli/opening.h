/* Opening what a command works on, by the command line's options. Each function returns 0, or an exit
 * status after saying what is wrong. */
#ifndef GALE_CLI_OPENING_H
#define GALE_CLI_OPENING_H

#include "gale/cli/options.h"

/* The first argument as a model. */
int open_model(const options *o, bool metadata_only, gale_model **model);

/* The first argument as a tokenizer: of a model, or a tokenizer's file alone. */
int open_tokenizer(const options *o, gale_tokenizer **tokenizer);

/* What the options say about a session for one sequence. */
void open_settings(const options *o, gale_session_options *settings);

/* A session for one sequence. least is a context that must do even if the model was made for less
 * (0: any), unless -c is given. */
int open_session(const options *o, const gale_model *model, size_t least, gale_session **session);

#endif
