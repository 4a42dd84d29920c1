/* What users call the type of a quantised model: a storage type for most matrices and better ones for those that are
 * known to suffer more, the output, and wv and w2 of some layers. One row for each name. The choices are those that
 * llama.cpp published for the same names, so that files and their sizes compare. */
#ifndef QUANT_MIX_H
#define QUANT_MIX_H

#include "quant/quant.h"

typedef struct quant_mix {
  const char *name;
  quant_type type;
  quant_type output;
  quant_type better; /* of wv and w2 in the layers that the next two pick; NULL: in no layer */
  bool (*better_wv)(int32_t layer, int32_t n_layers);
  bool (*better_w2)(int32_t layer, int32_t n_layers);
  int file_type; /* general.file_type of GGUF files */
} quant_mix;

/* The row of a name (any case), or row i from 0 on; NULL: there is none. */
const quant_mix *quant_mix_find(const char *name);
const quant_mix *quant_mix_at(int i);

/* The type of wv and of w2 in a layer. */
quant_type quant_mix_wv(const quant_mix *m, int32_t layer, int32_t n_layers);
quant_type quant_mix_w2(const quant_mix *m, int32_t layer, int32_t n_layers);

#endif
