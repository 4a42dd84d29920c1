/* Fetched models: folders under ${XDG_CACHE_HOME:-~/.cache}/gale/models, each a GGUF file or a model
 * directory. */
#ifndef GALE_CLI_MODELS_H
#define GALE_CLI_MODELS_H

#include <stddef.h>

typedef struct model_list {
  char **names; /* sorted */
  size_t length;
} model_list;

/* Returns 0 or an exit status. A folder that does not exist is an empty list. */
int models_find(model_list *list);
void models_free(model_list *list);

/* Where packed weights are kept, ${XDG_CACHE_HOME:-~/.cache}/gale/packed, for the caller to free; NULL without a home.
 */
char *models_packed_folder(void);

/* The path of a fetched model, for the caller to free. NULL if there is none, or none that can be told
 * apart. */
char *models_path(const char *name);

/* What MODEL on the command line stands for, as gale_model_open() takes it; the caller frees *path.
 * Returns 0 or an exit status. */
int models_resolve(const char *model, char **path);

#endif
