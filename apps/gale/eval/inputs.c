#include "gale/eval/inputs.h"

#include "base/error.h"
#include "gale/eval/words.h"

#include <stdlib.h>
#include <string.h>

typedef struct ids {
  int32_t *ids; /* given to gale_free() */
  size_t n;
} ids;

typedef struct encoder {
  const eval_task *t;
  int32_t item;
  const gale_tokenizer *tokenizer;
  int32_t context;
  gale_error *error;
} encoder;

static gale_status encode(const encoder *e, slice text, bool bos, ids *to) {
  const gale_tokenizer *t = e->tokenizer;
  bos = bos && gale_tokenizer_adds_bos(t) && gale_tokenizer_bos(t) >= 0;
  return gale_tokenize(t, text.n ? text.s : "", text.n, bos, &to->ids, &to->n, e->error);
}

/* What a likelihood that nothing stands before is conditioned on. */
static gale_status first_id(const encoder *e, int32_t *id) {
  *id = gale_tokenizer_bos(e->tokenizer);
  if (*id < 0) *id = gale_tokenizer_eos(e->tokenizer);
  if (*id >= 0) return GALE_OK;
  return error_set(e->error, GALE_E_UNSUPPORTED,
                   "an empty context, and the tokenizer has neither BOS nor EOS to stand before the continuation");
}

/* The last `context` + 1 ids of `before` and `after`, of which the last is only predicted. */
static gale_status set_request(const encoder *e, const ids *before, const int32_t *after, size_t n_after, request *r,
                               bool *cut) {
  size_t all = before->n + n_after, most = (size_t)e->context + 1, drop = all > most ? all - most : 0;
  if (all > INT32_MAX) return error_set(e->error, GALE_E_ARGUMENT, "a text of more than 2^31 tokens");
  int32_t *joined = malloc((all - drop + 1) * sizeof *joined);
  if (!joined) return error_memory(e->error, (all - drop + 1) * sizeof *joined);
  for (size_t i = drop; i < all; i++) joined[i - drop] = i < before->n ? before->ids[i] : after[i - before->n];
  *cut |= drop > 0;
  r->ids = joined;
  r->n = (int32_t)(all - drop) - 1;
  r->first = before->n > drop ? (int32_t)(before->n - drop) - 1 : 0;
  if (r->first > r->n) r->first = r->n;
  return GALE_OK;
}

/* Requests for the continuations [first, end) of one context. White space at its end is part of what is predicted. */
static gale_status encode_choices(const encoder *e, slice context, int32_t first, int32_t end, item_inputs *to,
                                  bool *cut) {
  const eval_item *item = &e->t->data.items.items[e->item];
  ids before = {0};
  slice head = words_strip_end(context);
  int32_t alone = -1;
  gale_status status = encode(e, head, true, &before);
  if (!status && before.n == 0) status = first_id(e, &alone);
  for (int32_t i = first; !status && i < end; i++) {
    byte_list text = {0};
    ids whole = {0};
    bytes_add(&text, context);
    data_continuation(&e->t->data, item, i, &text);
    status = text.failed ? error_memory(e->error, context.n) : encode(e, (slice){text.bytes, text.n}, true, &whole);
    size_t skip = alone >= 0 ? 0 : before.n < whole.n ? before.n : whole.n;
    ids first_only = {&alone, 1};
    if (!status) {
      to->tokens[i] = (int32_t)(whole.n - skip);
      status =
          set_request(e, alone >= 0 ? &first_only : &before, whole.ids + skip, whole.n - skip, &to->requests[i], cut);
    }
    gale_free(whole.ids);
    free(text.bytes);
  }
  gale_free(before.ids);
  return status;
}

static void drop_ids(item_inputs *to) {
  for (int32_t i = 0; to->requests && i < to->n; i++) {
    free((int32_t *)to->requests[i].ids);
    to->requests[i].ids = NULL;
  }
}

static gale_status encode_all(const encoder *e, int32_t shots, item_inputs *to, bool *cut) {
  const eval_item *item = &e->t->data.items.items[e->item];
  gale_status status = GALE_OK;
  *cut = false;
  for (int32_t i = 0; !status && i < item->n_texts; i++) {
    byte_list context = {0};
    data_context(&e->t->data, e->item, i, shots, &context);
    slice text = {context.bytes ? context.bytes : "", context.n};
    bool each = item->n_texts > 1;
    status = context.failed ? error_memory(e->error, context.n)
                            : encode_choices(e, text, each ? i : 0, each ? i + 1 : item->n_choices, to, cut);
    free(context.bytes);
  }
  return status;
}

/* MMLU's own script drops examples, from the last on, until the rest fits. */
static gale_status encode_choices_to_fit(const encoder *e, item_inputs *to) {
  bool cut;
  int32_t shots = e->t->data.shots;
  gale_status status = encode_all(e, shots, to, &cut);
  to->truncated = cut;
  while (!status && cut && e->t->data.original && shots > 0) {
    drop_ids(to);
    status = encode_all(e, --shots, to, &cut);
  }
  to->shots = shots;
  return status;
}

/* A prompt whose answer has room: its last ids. Each repeat has a copy. */
static gale_status encode_prompt(const encoder *e, item_inputs *to) {
  byte_list context = {0};
  ids prompt = {0};
  data_context(&e->t->data, e->item, 0, e->t->data.shots, &context);
  gale_status status =
      context.failed ? error_memory(e->error, context.n) : encode(e, (slice){context.bytes, context.n}, true, &prompt);
  int32_t alone = -1, room = e->context - e->t->tokens;
  if (!status && prompt.n == 0) status = first_id(e, &alone);
  if (!status && room < 1)
    status = error_set(e->error, GALE_E_CONTEXT, "a context of %d positions has no room for %d generated (-n)",
                       e->context, e->t->tokens);
  const int32_t *from = alone >= 0 ? &alone : prompt.ids;
  size_t n = alone >= 0 ? 1 : prompt.n, drop = !status && n > (size_t)room ? n - (size_t)room : 0;
  to->truncated = drop > 0;
  for (int32_t i = 0; !status && i < to->n; i++) {
    int32_t *copy = malloc((n - drop) * sizeof *copy);
    if (!copy) status = error_memory(e->error, (n - drop) * sizeof *copy);
    if (copy) memcpy(copy, from + drop, (n - drop) * sizeof *copy);
    to->requests[i].ids = copy;
    to->requests[i].n = (int32_t)(n - drop);
    to->requests[i].first = to->requests[i].n - 1;
    to->requests[i].answer = true;
  }
  gale_free(prompt.ids);
  free(context.bytes);
  return status;
}

static void count_tokens(item_inputs *to) {
  for (int32_t i = 0; i < to->n; i++) {
    const request *r = &to->requests[i];
    bool known = false;
    for (int32_t j = 0; !known && j < i; j++)
      known = to->requests[j].n == r->n && r->ids && to->requests[j].ids &&
              memcmp(to->requests[j].ids, r->ids, (size_t)r->n * sizeof *r->ids) == 0;
    if (!known) to->prompt_tokens += r->n;
  }
}

gale_status inputs_make(const eval_task *t, int32_t item, const gale_tokenizer *tokenizer, int32_t context,
                        item_inputs *inputs, gale_error *error) {
  encoder e = {t, item, tokenizer, context, error};
  int32_t choices = t->data.items.items[item].n_choices;
  *inputs = (item_inputs){.n = choices ? choices : t->repeats, .shots = t->data.shots};
  inputs->requests = calloc((size_t)inputs->n, sizeof *inputs->requests);
  inputs->tokens = calloc((size_t)inputs->n, sizeof *inputs->tokens);
  gale_status status = GALE_OK;
  if (!inputs->requests || !inputs->tokens) status = error_memory(error, (uint64_t)inputs->n * sizeof(request));
  for (int32_t i = 0; !status && i < inputs->n; i++)
    inputs->requests[i] = (request){.item = item, .slot = i, .node = -1, .next = -1};
  if (!status) status = choices ? encode_choices_to_fit(&e, inputs) : encode_prompt(&e, inputs);
  if (!status)
    count_tokens(inputs);
  else
    inputs_free(inputs);
  return status;
}

void inputs_free(item_inputs *inputs) {
  drop_ids(inputs);
  free(inputs->requests);
  free(inputs->tokens);
  *inputs = (item_inputs){0};
}
