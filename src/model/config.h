/* A model's hyperparameters, in Mistral's words, however its files spell them. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include "backend/backend.h"
#include "base/arena.h"
#include "format/checkpoint.h"

typedef struct model_config model_config;

/* A family: one file and one row of the table in family.c. The lists of names end with NULL. */
typedef struct family {
  const char *name;
  const char *const *gguf;     /* values of general.architecture */
  const char *const *hf;       /* of architectures[0] */
  const char *const *hf_types; /* of model_type */
  bool native;                 /* Mistral directories */
  gale_status (*configure)(const checkpoint *c, arena *memory, model_config *config, gale_error *error);
  const struct tensor_name *names; /* names of tensors that are not the usual ones (tensors.h); NULL: none */
} family;

/* Rotary embedding of some layers. */
typedef struct rope_config {
  double theta;
  const double *frequency; /* [head_dim / 2], scaling included */
  double magnitude;        /* of the rotated vectors: YaRN's attention factor, 1 otherwise */
} rope_config;

/* What may differ from layer to layer. */
typedef struct layer_config {
  int32_t window; /* positions a layer sees, itself included; 0: all */
  int32_t rope;   /* index into model_config.rope */
} layer_config;

enum { MAX_ROPES = 2 };

struct model_config {
  const char *name; /* as the files state it, else the last part of the path */
  const family *family;
  const char *note; /* something the user should know, or NULL */
  int32_t dim, n_layers, head_dim, hidden_dim, n_heads, n_kv_heads, vocab_size;
  int32_t context;      /* positions the model was made for */
  int32_t most_context; /* positions from here on would have to be rotated otherwise; 0: none */
  float norm_eps;
  const layer_config *layers; /* [n_layers] */
  int32_t n_ropes;
  rope_config rope[MAX_ROPES];

  /* Mixture of experts: 0 and 0 where there is none. */
  int32_t n_experts, n_experts_per_tok;

  /* What some families add to the block; a zero leaves it out. */
  float embedding_scale;                          /* embeddings are multiplied by it; 1: as they are */
  float attention_scale;                          /* of scores: usually head_dim^-0.5 */
  float attention_softcap;                        /* scores become cap * tanh(score / cap) */
  float logit_softcap;                            /* logits likewise */
  float norm_offset;                              /* added to the norm weights of this file */
  bool post_norms;                                /* norms on what attention and feed-forward add */
  bool qk_norms;                                  /* norms on each head of q and k, before rotation */
  be_activation activation;                       /* of the feed-forward gate */
  be_attention_temperature attention_temperature; /* queries grow with the position */

  /* How the files are laid out. */
  bool interleaved; /* wq and wk pair dimensions (2i, 2i + 1) instead of (i, i + head_dim / 2) */
};

/* Finds the family of a checkpoint and lets it fill in the configuration, checked: every number is in a
 * range in which no product of them overflows int64_t. Strings and arrays live in `memory`. */
gale_status model_configure(const checkpoint *c, arena *memory, model_config *config, gale_error *error);

extern const family family_llama, family_mistral, family_mixtral, family_gemma, family_gemma2, family_gemma3;

/* Whether a GGUF file of Gemma 3 with so many layers has the rotary scaling of its release unless it states one. */
bool gemma3_is_stretched(int32_t n_layers);

/* ---- What families are made of ---- */

/* A hyperparameter's key in each kind of file; NULL where it has none. GGUF keys follow the architecture's name and
 * a dot. Several spellings are divided by bars, the usual one first. */
typedef struct config_key {
  const char *gguf, *hf, *mistral;
} config_key;

/* The setting under a key, or NULL. In a multimodal HF checkpoint those of text_config come first; of several spellings
 * the first with a value counts. */
const setting *config_stated(const checkpoint *c, config_key key);

/* general.architecture of a GGUF file; "" where it states none. */
const char *config_architecture(const checkpoint *c);

/* Whether this is a multimodal HF checkpoint, whose text_config leaves out what transformers' class for the text model
 * has as default. */
bool config_is_nested(const checkpoint *c);

/* The same, but JSON null counts as absent. */
const setting *config_find(const checkpoint *c, config_key key);

/* Reads a number into *value, which keeps its content where the setting is absent; it is required where *value is
 * below low. Errors name file, key, value and range. */
gale_status config_int(const checkpoint *c, config_key key, int64_t low, int64_t high, int32_t *value,
                       gale_error *error);
gale_status config_number(const checkpoint *c, config_key key, double low, double high, double *value,
                          gale_error *error);

/* Text of a setting, or "" where it is absent or of another type. */
const char *config_text(const checkpoint *c, config_key key);

/* Everything that the Llama block has: sizes, heads, theta, rope[0], context; and layers without a window. */
gale_status config_base(const checkpoint *c, arena *memory, model_config *config, gale_error *error);

/* The layers, for families that change them. */
static inline layer_config *config_layers(model_config *config) {
  return (layer_config *)config->layers;
}

/* The same window for all layers. */
void config_windows(model_config *config, int32_t window);

/* HF's layer_types, a list of sliding_attention and full_attention: layers of full attention lose their window.
 * *found: there is such a list. */
gale_status config_layer_types(const checkpoint *c, model_config *config, bool *found, gale_error *error);

/* Layers of full attention lose their window: as the file lists them, a boolean for each layer, else every period-th
 * one, counted from 1; the file's own period comes first. period 0: none. */
gale_status config_window_pattern(const checkpoint *c, model_config *config, int32_t period, gale_error *error);

/* Number of experts and how many of them a token goes to. */
gale_status config_experts(const checkpoint *c, model_config *config, gale_error *error);

/* Refuses a checkpoint in which a setting asks for something this block does not have. */
gale_status config_refuse(const checkpoint *c, config_key key, const char *what, gale_error *error);

/* config_rope.c: fills in config->rope[index] for a theta, scaled as the files say; `hf_prefixes` are the JSON objects
 * to look in, ended by NULL. NULL: not scaled. */
gale_status config_rope(const checkpoint *c, arena *memory, model_config *config, int index, double theta,
                        const char *const *hf_prefixes, gale_error *error);

#endif
