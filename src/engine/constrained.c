#include "engine/constrained.h"

#include <string.h>

#include "base/error.h"
#include "constraint/constraint.h"

static gale_status take_begun(gale_constraint_state *state, const gale_generation_options *o, gale_error *error) {
  size_t taken = 0;
  gale_status status = gale_constraint_accept_bytes(state, o->begun, o->n_begun, &taken, error);
  if (status || taken == o->n_begun) return status;
  return error_set(error, GALE_E_ARGUMENT, "the constraint does not let through byte %zu of the text that goes on",
                   taken);
}

gale_status constrained_open(const gale_generation_options *o, const gale_tokenizer *tokenizer, constrained *c,
                             gale_error *error) {
  *c = (constrained){0};
  if (!o->constraint) return GALE_OK;
  if (constraint_tokenizer(o->constraint) != tokenizer)
    return error_set(error, GALE_E_ARGUMENT, "constraint is of another tokenizer than the answer's");
  c->table = constraint_table(o->constraint);
  c->tokenizer = tokenizer;
  gale_status status = gale_constraint_begin(o->constraint, &c->state, error);
  if (!status && o->continued) constraint_continue(c->state);
  c->begun = o->begun && o->n_begun > 0;
  if (!status && c->begun) status = take_begun(c->state, o, error);
  return status;
}

void constrained_close(constrained *c) {
  gale_constraint_end(&c->state);
}

static void allow(uint32_t *mask, int32_t token, bool allowed) {
  uint32_t bit = UINT32_C(1) << (token % 32);
  mask[token / 32] = allowed ? mask[token / 32] | bit : mask[token / 32] & ~bit;
}

gale_status constrained_mask(const constrained *c, const answer *a, sampler_scratch *scratch, const uint32_t **mask,
                             gale_error *error) {
  *mask = NULL;
  if (!c->state) return GALE_OK;
  size_t words = gale_mask_table_words(c->table);
  uint32_t *bits = sampler_scratch_mask(scratch, words);
  if (!bits) return error_memory(error, words * sizeof *bits);
  bool thinks = answer_thinks(a), complete = !thinks && gale_constraint_complete(c->state);
  int32_t n_tokens = gale_tokenizer_size(c->tokenizer), mark = answer_thinking_mark(a);
  if (thinks) {
    memset(bits, 0xFF, words * sizeof *bits);
    for (int32_t t = 0; t < n_tokens; t++)
      if (gale_tokenizer_is_end(c->tokenizer, t)) allow(bits, t, false);
  } else {
    gale_status status = gale_constraint_mask(c->state, bits, error);
    if (status) return status;
    if (!c->begun && mark >= 0) allow(bits, mark, true);
  }
  for (size_t i = 0; i < c->n_ends; i++)
    if (c->ends[i] >= 0 && c->ends[i] < n_tokens) allow(bits, c->ends[i], complete);
  *mask = bits;
  return GALE_OK;
}

gale_status constrained_accept(constrained *c, const answer *a, int32_t token, bool is_end, gale_error *error) {
  if (!c->state) return GALE_OK;
  bool thinks = answer_thinks(a);
  if (is_end && (thinks || !gale_constraint_complete(c->state)))
    return error_set(error, GALE_E_ARGUMENT, "token %d ends the answer before the constraint is satisfied", token);
  if (is_end || thinks) return GALE_OK;
  bool mark = !c->begun && token == answer_thinking_mark(a);
  gale_status status = mark ? GALE_OK : gale_constraint_accept(c->state, token, error);
  c->begun |= !status;
  return status;
}

/* Content comes next, and nothing else can. */
static bool in_content(const constrained *c, const answer *a) {
  return c->state && !answer_thinks(a) && (c->begun || answer_thinking_mark(a) < 0);
}

gale_status constrained_forced(constrained *c, const answer *a, const char **text, size_t *n, gale_error *error) {
  *n = 0;
  return in_content(c, a) ? gale_constraint_forced(c->state, text, n, error) : GALE_OK;
}

gale_status constrained_fit(const constrained *c, const answer *a, const int32_t *tokens, size_t n, size_t *fit,
                            gale_error *error) {
  *fit = n;
  if (!in_content(c, a)) return GALE_OK;
  gale_constraint_state *state = NULL;
  gale_status status = gale_constraint_fork(c->state, &state, error);
  if (status) return status;
  size_t may = 0;
  while (may < n && !(status = gale_constraint_accept(state, tokens[may], NULL))) may++;
  gale_constraint_end(&state);
  *fit = may;
  return status == GALE_E_MEMORY ? error_set(error, status, "out of memory") : GALE_OK;
}

bool constrained_over(const constrained *c, const answer *a) {
  return c->state && !answer_thinks(a) && gale_constraint_final(c->state);
}
