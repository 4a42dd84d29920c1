/* A model's hyperparameters, in Mistral's words, however its files spell them. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include "base/arena.h"
#include "format/checkpoint.h"

typedef struct model_config {
  const char *name;   /* as the files state it, else the last part of the path */
  const char *family; /* family.name */
  int32_t dim, n_layers, head_dim, hidden_dim, n_heads, n_kv_heads, vocab_size;
  int32_t context; /* positions the model was made for */
  float norm_eps;
  double rope_theta;
  const int32_t *window;   /* [n_layers]: positions a layer sees, itself included; 0: all */
  const double *frequency; /* [head_dim / 2] rotary frequencies, scaling included */
  bool interleaved;        /* the files' wq and wk pair dimensions (2i, 2i+1) instead of (i, i + head_dim / 2) */
  const char *note;        /* something the user should know, or NULL */
} model_config;

/* Finds the family of a checkpoint and lets it fill in the configuration, checked: every number is in a
 * range in which no product of them overflows int64_t. Strings and arrays live in `memory`. */
gale_status model_configure(const checkpoint *c, arena *memory, model_config *config, gale_error *error);

/* ---- Families: one file and one row of the table in config.c each ---- */

typedef struct family {
  const char *name;
  const char *const *gguf; /* values of general.architecture, ended by NULL */
  const char *const *hf;   /* values of architectures[0], ended by NULL */
  bool native;             /* Mistral directories */
  gale_status (*configure)(const checkpoint *c, arena *memory, model_config *config, gale_error *error);
} family;

extern const family family_llama, family_mistral;

/* ---- What families are made of ---- */

/* A hyperparameter's key in each kind of file; NULL where it has none. GGUF keys follow the architecture's
 * name and a dot. */
typedef struct config_key {
  const char *gguf, *hf, *mistral;
} config_key;

/* The setting under a key, or NULL. JSON null counts as absent. */
const setting *config_find(const checkpoint *c, config_key key);

/* Reads a number into *value, which keeps its content where the setting is absent, unless it is required
 * (then *value < low means that there is no default). Errors name file, key, value and range. */
gale_status config_int(const checkpoint *c, config_key key, int64_t low, int64_t high, int32_t *value,
                       gale_error *error);
gale_status config_number(const checkpoint *c, config_key key, double low, double high, double *value,
                          gale_error *error);

/* Everything that the Llama block has: sizes, theta, scaling, context. Leaves config->window NULL. */
gale_status config_base(const checkpoint *c, arena *memory, model_config *config, gale_error *error);

/* The same window for all layers. */
gale_status config_windows(arena *memory, model_config *config, int32_t window, gale_error *error);

/* Refuses a checkpoint in which a setting asks for something this block does not have. */
gale_status config_refuse(const checkpoint *c, config_key key, const char *what, gale_error *error);

#endif
