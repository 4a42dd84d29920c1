/* A session inside the library, for generation and for measuring. Its public functions are declared in gale.h.
 *
 * Whatever changes what a session holds is one of these calls: gale_sequence_open, _close, _fork, _truncate, gale_step
 * (gale_prefill is steps), and for drafts session_step and session_take_back. The same calls with the same arguments
 * give the same sequence ids, page tables and bytes, so that another process can follow a session by repeating them. */
#ifndef ENGINE_SESSION_H
#define ENGINE_SESSION_H

#include "engine/cache.h"
#include "engine/sampler.h"
#include "model/forward.h"

/* Rows of the last step that belong to a sequence. */
typedef struct session_rows {
  uint64_t step; /* the session's number of steps when they were computed; later they are gone */
  int32_t first, n;
} session_rows;

struct gale_session {
  const gale_model *model;
  gale_session_options options;
  be_context *context;
  cache cache;
  forward_state state;
  void *memory; /* of the device: activations and logits */
  size_t memory_bytes;
  int32_t *length;                          /* [max_sequences]: -1 where none is open */
  bool *in_step;                            /* [max_sequences] */
  cache_growth *growths;                    /* [max_sequences]: of a step */
  session_rows *own_rows;                   /* [max_sequences] */
  int32_t *token, *position, *table, *rows; /* [chunk]: the step's batch */
  int32_t n_rows, n_logits;                 /* of the batch; the first n_logits rows have logits */
  sampler_scratch *sampling;                /* of whoever chooses from a row */
  uint64_t tokens, steps;
};

/* GALE_E_ARGUMENT unless the sequence is open. */
gale_status session_check(const gale_session *s, int32_t sequence, gale_error *error);

/* gale_step() where the last drafts[i] tokens of inputs[i] are a draft, which session_take_back() must follow: windows
 * keep what the text without it needs. drafts NULL: there are none. */
gale_status session_step(gale_session *s, const gale_input *inputs, size_t n_inputs, const int32_t *drafts,
                         gale_error *error);

/* Takes the last n tokens, maybe 0, of the draft of a sequence's last step out of it again. Each had a row; rows of
 * other tokens stay. */
void session_take_back(gale_session *s, int32_t sequence, int32_t n);

/* GALE_E_CONTEXT, for a need of so many pages where too few are free. */
gale_status session_no_pages(const gale_session *s, int64_t needed, gale_error *error);

#endif
