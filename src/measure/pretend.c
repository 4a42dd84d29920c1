/* Sequences with positions that were never computed, for measuring. */
#include "engine/session.h"
#include "gale_tools.h"

#include <inttypes.h>

gale_status gale_sequence_pretend(gale_session *session, int32_t sequence, int32_t n_positions, gale_error *error) {
  enum { BYTE = 0x1C }; /* repeated, a small positive number in every type of cache */
  gale_status status = session_check(session, sequence, error);
  if (status) return status;
  if (session->length[sequence] != 0 || n_positions < 0)
    return error_set(error, GALE_E_ARGUMENT,
                     "sequence %d has %d positions and is to pretend %d: an empty one and at "
                     "least 0 are accepted",
                     sequence, session->length[sequence], n_positions);
  if (n_positions > session->options.context)
    return error_set(error, GALE_E_CONTEXT, "%d positions exceed the context of %d", n_positions,
                     session->options.context);
  if (!cache_fill(&session->cache, sequence, n_positions, session->options.chunk, BYTE))
    return error_set(error, GALE_E_CONTEXT, "%d positions exceed the cache's %" PRIu64 " bytes (kv_bytes)", n_positions,
                     session->options.kv_bytes);
  session->length[sequence] = n_positions;
  return GALE_OK;
}
