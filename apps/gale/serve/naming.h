/* Under which names the model may be asked for. */
#ifndef GALE_SERVE_NAMING_H
#define GALE_SERVE_NAMING_H

#include "gale/serve/serve.h"

/* MODEL as it was given, its last part without .gguf, the name in the file, each of them with :latest, and the aliases.
 * Returns 0 or an exit status. */
int names_make(serving *s, const gale_model *model);
void names_free(serving *s);

#endif
