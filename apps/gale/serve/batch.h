/* gale batch: the lines of a file as requests, answered by the endpoints of the server without a client. */
#ifndef GALE_SERVE_BATCH_H
#define GALE_SERVE_BATCH_H

#include "gale/cli/options.h"

int batch_run(const options *o);

#endif
