/* What MODEL on the command line stands for. */
#ifndef GALE_CLI_MODELS_H
#define GALE_CLI_MODELS_H

#include "gale/cli/options.h"
#include "gale/stores/store.h"

/* Where packed weights are kept, ${XDG_CACHE_HOME:-~/.cache}/gale/packed, for the caller to free; NULL without a home.
 */
char *models_packed_folder(void);

/* A path, shape:..., or a name in a store (PATH of the result is then where it lies). Says on standard error in which
 * store a bare name was found. Returns 0, or an exit status after saying what is wrong. The caller frees *m. */
int models_resolve(const options *o, const char *model, store_model *m);

#endif
