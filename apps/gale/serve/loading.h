/* The model of a server with its engine, by the command line's options. */
#ifndef GALE_SERVE_LOADING_H
#define GALE_SERVE_LOADING_H

#include "gale/serve/answer.h"

typedef struct loaded {
  gale_model *model, *draft; /* draft NULL: none */
  gale_engine *engine;
  answering *answering;
} loaded;

/* Returns 0, or an exit status after saying what is wrong. The caller closes l in any case. */
int loaded_open(const options *o, loaded *l);
void loaded_close(loaded *l);

/* Has the endpoints of s use it; s->options and s->names are set already. */
void loaded_serve(const loaded *l, serving *s);

#endif
