/* The embedding of one text, in a sequence of its own. */
#include "base/error.h"
#include "engine/pool.h"
#include "engine/session.h"

#include <stdlib.h>

/* The mean needs every row, the last hidden state only one. */
static gale_status add_text(gale_session *s, int32_t sequence, const int32_t *tokens, size_t n_tokens,
                            gale_pooling pooling, double *sum, gale_error *error) {
  size_t chunk = (size_t)s->options.chunk, dim = (size_t)s->model->config.dim;
  for (size_t done = 0; done < n_tokens;) {
    size_t n = n_tokens - done < chunk ? n_tokens - done : chunk;
    bool last = done + n == n_tokens;
    gale_input in = {.sequence = sequence, .tokens = tokens + done, .n_tokens = (int32_t)n};
    if (pooling == GALE_POOLING_MEAN)
      in.logits = GALE_HIDDEN_ALL;
    else if (last)
      in.logits = GALE_HIDDEN_LAST;
    gale_status status = gale_step(s, &in, 1, error);
    if (status) return status;
    size_t rows = gale_hidden_rows(s, sequence);
    if (rows) pool_add(pooling, gale_hidden(s, sequence, 0), rows, dim, sum);
    done += n;
  }
  return GALE_OK;
}

gale_status gale_embed(gale_session *session, const int32_t *tokens, size_t n_tokens, gale_pooling pooling,
                       float *embedding, gale_error *error) {
  if (pooling != GALE_POOLING_MEAN && pooling != GALE_POOLING_LAST)
    return error_set(error, GALE_E_ARGUMENT, "pooling is %d: GALE_POOLING_MEAN and _LAST are accepted", (int)pooling);
  if (n_tokens == 0) return error_set(error, GALE_E_ARGUMENT, "a text without tokens");
  if (n_tokens > (size_t)session->options.context)
    return error_set(error, GALE_E_CONTEXT, "%zu tokens exceed the context of %d", n_tokens, session->options.context);
  size_t dim = (size_t)session->model->config.dim;
  double *sum = calloc(dim, sizeof *sum);
  if (!sum) return error_memory(error, dim * sizeof *sum);
  int32_t sequence;
  gale_status status = gale_sequence_open(session, &sequence, error);
  if (!status) {
    status = add_text(session, sequence, tokens, n_tokens, pooling, sum, error);
    if (!status) status = pool_finish(sum, dim, embedding, error);
    gale_sequence_close(session, sequence, NULL);
  }
  free(sum);
  return status;
}
