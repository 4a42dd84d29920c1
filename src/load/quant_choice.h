/* Which storage type each tensor gets when a model is quantised to what users call a type (quant/mix.h): vectors and
 * the routers of experts are F32, with eight experts the small matrices of attention have better types, and so has what
 * does not fit the blocks of its type. */
#ifndef LOAD_QUANT_CHOICE_H
#define LOAD_QUANT_CHOICE_H

#include "model/weights.h"
#include "quant/mix.h"

/* Finds a row by its name (any case). The message of the error lists the names. */
gale_status quant_choice_find(const char *name, const quant_mix **r, gale_error *error);

/* The type of a target. *fell_back is set, and otherwise left, where its rows do not fit the blocks of the type meant
 * for it: Q4_K becomes Q5_0, Q5_K Q5_1, Q6_K Q8_0, and what does not fit blocks of 32 becomes F16. */
quant_type quant_choice_type(const quant_mix *r, const model_config *config, bool tied, const weight_target *target,
                             bool *fell_back);

#endif
