/* Which storage type each tensor gets when a model is quantised to what users call a type: one row for each name.
 *
 * Vectors and the routers of experts are F32. Matrices have the row's type, but for those that are known to suffer
 * more: the output (or the embedding that serves as one), in the mixes wv and w2 of some layers, and with eight experts
 * the small matrices of attention. The choices are those that llama.cpp published for the same names, so that files and
 * their sizes compare. */
#ifndef MODEL_RECIPE_H
#define MODEL_RECIPE_H

#include "model/weights.h"

typedef struct recipe recipe;
struct recipe {
  const char *name;
  quant_type type;
  quant_type output;
  quant_type better; /* of the layers that these pick; NULL: none */
  bool (*better_wv)(int32_t layer, int32_t n_layers);
  bool (*better_w2)(int32_t layer, int32_t n_layers);
  int file_type; /* general.file_type */
};

/* Finds a row by its name (any case). The message of the error lists the names. */
gale_status recipe_find(const char *name, const recipe **r, gale_error *error);

/* The type of an item. *fell_back is set, and otherwise left, where its rows do not fit the blocks of the type meant
 * for it: Q4_K becomes Q5_0, Q5_K Q5_1, Q6_K Q8_0, and what does not fit blocks of 32 becomes F16. */
quant_type recipe_type(const recipe *r, const model_config *config, bool tied, const weight_item *item,
                       bool *fell_back);

#endif
