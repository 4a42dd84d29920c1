/* For fuzz targets of constraints: compiles a text and walks along what it accepts. */
#ifndef FUZZ_CONSTRAINT_H
#define FUZZ_CONSTRAINT_H

#include "fuzz_bytes.h"

#include "base/random.h"
#include "gale_constraint.h"

static inline const gale_mask_table *fuzz_table(void) {
  static gale_mask_table *table;
  if (!table && gale_mask_table_open(fuzz_bytes(), &table, NULL)) abort();
  return table;
}

static inline bool fuzz_allowed(const uint32_t *mask, int32_t id) {
  return mask[id / 32] >> (id % 32) & 1;
}

/* Tokens are single bytes: a mask says of each what taking it says, and end tokens come where the text is complete. */
static inline void fuzz_check_mask(const gale_constraint_state *state, const uint32_t *mask) {
  bool complete = gale_constraint_complete(state);
  for (int32_t id = 0; id < FUZZ_CONTROL; id++)
    if (fuzz_allowed(mask, id) != (complete && gale_tokenizer_is_end(fuzz_bytes(), id))) abort();
  for (int32_t id = FUZZ_CONTROL; id < FUZZ_CONTROL + 256; id++) {
    gale_constraint_state *fork;
    if (gale_constraint_fork(state, &fork, NULL)) return;
    gale_status status = gale_constraint_accept(fork, id, NULL);
    if ((status == GALE_OK) != fuzz_allowed(mask, id) && status != GALE_E_UNSUPPORTED) abort();
    gale_constraint_end(&fork);
  }
}

/* What is forced fits, and nothing else does. */
static inline void fuzz_check_forced(gale_constraint_state *state, const uint32_t *mask) {
  const char *text;
  size_t n, taken;
  if (gale_constraint_forced(state, &text, &n, NULL)) return;
  if (n == 0) return;
  if (gale_constraint_complete(state)) abort();
  for (int32_t id = FUZZ_CONTROL; id < FUZZ_CONTROL + 256; id++)
    if (fuzz_allowed(mask, id) != (id - FUZZ_CONTROL == (uint8_t)*text)) abort();
  gale_constraint_state *fork;
  if (gale_constraint_fork(state, &fork, NULL)) return;
  if (gale_constraint_accept_bytes(fork, text, n, &taken, NULL) == GALE_OK && taken != n) abort();
  gale_constraint_end(&fork);
}

/* A random text of the constraint's, whose choices come from seed. */
static inline void fuzz_walk(const gale_constraint *constraint, uint64_t seed) {
  enum { STEPS = 48 };
  gale_constraint_state *state;
  uint32_t mask[(FUZZ_CONTROL + 256 + 31) / 32];
  if (gale_constraint_begin(constraint, &state, NULL)) return;
  for (uint64_t i = 0; i < STEPS; i++) {
    if (gale_constraint_mask(state, mask, NULL)) break;
    fuzz_check_mask(state, mask);
    fuzz_check_forced(state, mask);
    int32_t ids[256];
    uint64_t n = 0;
    for (int32_t id = FUZZ_CONTROL; id < FUZZ_CONTROL + 256; id++)
      if (fuzz_allowed(mask, id)) ids[n++] = id;
    /* The vocabulary has every byte: where a text is not complete, something may follow. */
    if (n == 0 && !gale_constraint_complete(state)) abort();
    if ((n == 0 || gale_constraint_final(state)) && !(n == 0 && gale_constraint_final(state))) abort();
    if (n == 0 || gale_constraint_accept(state, ids[random_at(seed, i) % n], NULL)) break;
  }
  gale_constraint_end(&state);
}

/* A text of a kind that is refused says why. */
static inline int fuzz_constraint(const gale_constraint_options *options) {
  uint64_t seed = options->length;
  for (size_t i = 0; i < options->length; i++) seed = random_at(seed, (uint8_t)options->text[i]);
  gale_constraint *constraint;
  gale_error error = {0};
  if (gale_constraint_open(fuzz_table(), options, &constraint, &error)) {
    if (!*error.message) abort();
    return 0;
  }
  for (uint64_t walk = 0; walk < 4; walk++) fuzz_walk(constraint, seed + walk);
  gale_constraint_close(&constraint);
  return 0;
}

#endif
