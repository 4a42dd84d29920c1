/* What a model is and what its KV cache takes: the figures of gale info. */
#ifndef GALE_FACTS_FACTS_H
#define GALE_FACTS_FACTS_H

#include "gale.h"

enum { MIN_CONTEXT = 1024, MAX_CONTEXT = 131072 };

/* A way to keep keys and values. Tables end with an entry without a key or name. */
typedef struct kv_variant {
  const char *key, *title;
  bool gqa, window;
} kv_variant;

typedef struct kv_type_name {
  const char *name;
  gale_kv_type type;
} kv_type_name;

extern const kv_variant kv_variants[];
extern const kv_type_name kv_types[];

/* False if this model has no window, or no grouped-query attention, to leave out. */
bool kv_variant_differs(const gale_model_info *info, const kv_variant *v);

/* Bytes of context positions in all layers, and in one layer that has the window. */
uint64_t kv_bytes(const gale_model *model, gale_kv_type type, int64_t context, const kv_variant *v);
uint64_t kv_layer_bytes(const gale_model *model, gale_kv_type type, int64_t context, const kv_variant *v);

/* Window x layers: how many positions back a position can depend on. 0 if a layer has no window. */
int64_t receptive_field(const gale_model_info *info);

/* All of it as an indented JSON object, to be freed. NULL: a name in the model's files is not valid UTF-8, or out of
 * memory. */
char *facts_json(const gale_model *model, const gale_model_info *info);

#endif
