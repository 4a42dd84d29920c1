/* Whether what is about to be taken fits into memory, asked before any of it is taken. */
#ifndef LOAD_MEMORY_CHECK_H
#define LOAD_MEMORY_CHECK_H

#include "base/error.h"
#include "model/model.h"

/* Bytes of a session's cache and scratch, by arithmetic alone. The cache counts by options->kv_bytes; else, where
 * options->context is given, by what that many positions of all sequences take; else not, since the default takes no
 * more than what is left. */
typedef struct session_need {
  uint64_t cache, scratch;
} session_need;

session_need memory_session_need(const gale_model *m, const gale_session_options *options);

/* GALE_E_MEMORY if packed weights and a session (NULL: none) take more than is available (limits.h; root as there). The
 * message names the sizes and the type to quantise to, or the context, with which both would fit. */
gale_status memory_check_model(const char *root, const gale_model *m, uint64_t packed,
                               const gale_session_options *session, gale_error *error);

/* The same for the cache and the scratch of a session on a model that is loaded. */
gale_status memory_check_session(const char *root, const session_need *need, gale_error *error);

#endif
