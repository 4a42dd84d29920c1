/* Which tensor of a checkpoint plays which role. */
#ifndef MODEL_TENSORS_H
#define MODEL_TENSORS_H

#include "model/config.h"

typedef enum tensor_role {
  TOK_EMBEDDINGS,
  OUTPUT,
  NORM,
  ATTENTION_NORM,
  WQ,
  WK,
  WV,
  WO,
  Q_NORM,
  K_NORM,
  ATTENTION_POST_NORM,
  FFN_NORM,
  GATE,
  W1,
  W2,
  W3,
  FFN_POST_NORM,
} tensor_role;

/* How an expert's matrix lies in the tensor. */
typedef enum tensor_slice {
  SLICE_NONE,  /* it is the tensor */
  SLICE_STACK, /* [n_experts][rows][cols] */
  SLICE_UPPER, /* [n_experts][2 rows][cols], the first half of each */
  SLICE_LOWER, /* the second half */
} tensor_slice;

/* One way to call a tensor. A role may have several; the first that is there counts. The first %d is the layer, the
 * second the expert. */
typedef struct tensor_name {
  tensor_role role;
  checkpoint_kind kind;
  const char *pattern; /* NULL ends a table */
  tensor_slice slice;
} tensor_name;

/* A matrix [rows, cols], or with rows 0 a vector, and where it lies. */
typedef struct tensor_place {
  const tensor *tensor; /* NULL: there is none */
  int64_t first_row;    /* of the matrix, among the rows of the tensor */
} tensor_place;

/* Finds a tensor and checks its shape. layer and expert are -1 where they do not apply. A missing one is not an error:
 * place->tensor is then NULL. */
gale_status tensor_find(const checkpoint *c, const model_config *config, tensor_role role, int layer, int expert,
                        int64_t rows, int64_t cols, tensor_place *place, gale_error *error);

/* A tensor by its name, also where a multimodal checkpoint puts its text model; NULL if there is none. */
const tensor *tensor_lookup(const checkpoint *c, const char *name);

/* The usual name of a role, for the message that it is missing. */
void tensor_usual_name(const checkpoint *c, tensor_role role, int layer, int expert, char name[160]);

/* What a multimodal model has besides its text model. */
enum { MODALITY_VISION = 1, MODALITY_AUDIO = 2, MODALITY_OTHER = 4 };

/* True for tensors that hold nothing the text model needs: tables that the configuration gives as well, and the models
 * of other modalities (whose bit is then set in *found). */
bool tensor_ignorable(checkpoint_kind kind, const char *name, int *found);

#endif
