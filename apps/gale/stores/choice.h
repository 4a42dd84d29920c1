/* Which files of a folder are a model, where there may be several. */
#ifndef GALE_STORES_CHOICE_H
#define GALE_STORES_CHOICE_H

#include "gale/stores/files.h"

/* Which files of a repository are the model that tag means by these rules: wanted[i] of files->items[i]. False if none
 * is. Files in folders of the repository are none. */
bool choose_wanted(const store_files *files, const char *tag, bool *wanted);

/* The GGUF file of a folder whose name holds tag, in any case; without a tag (NULL) the one of Q4_K_M, else of Q4_0,
 * else of Q8_0, else the smallest. Shards count as one, and are named by the first. Files that begin with mmproj are
 * none. finish: the command that fetches what is missing, for messages. */
store_status choose_gguf(const char *folder, const char *tag, const char *finish, store_model *m);

/* The same among the files whose names begin with prefix. */
store_status choose_prefixed(const char *folder, const char *prefix, const char *tag, store_model *m);

/* A model's folder in any form: params.json with consolidated weights (tag "native", or where there is no
 * config.json), config.json with safetensors, GGUF files. */
store_status choose_model(const char *folder, const char *tag, const char *finish, store_model *m);

/* Adds the names of all models of a folder: name, or name:TAG where there are several. */
void list_models(const char *folder, const char *name, store_names *names);
/* The same for its GGUF files alone. */
void list_gguf(const char *folder, const char *name, store_names *names);

#endif
