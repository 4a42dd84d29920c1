/* From ids to text, at once or one by one. */
#include <stdlib.h>

#include "base/utf8.h"
#include "tokenizer/built.h"

enum { UNKNOWN_LENGTH = 5 };
static const char UNKNOWN_TEXT[] = " \xE2\x81\x87 "; /* what SentencePiece writes for its unknown token */

/* The bytes that an id writes. *start says that the space in front of SentencePiece text is still to be
 * dropped: by the first token that has one, unless text came before. Control tokens don't count. */
static const char *id_text(const gale_tokenizer *t, uint32_t id, bool special, bool *start, size_t *length) {
  token_type type = (token_type)t->types[id];
  if (type == TOKEN_CONTROL || type == TOKEN_UNKNOWN) {
    if (special) return texts_get(&t->stored, id, length);
    *length = 0;
    if (type == TOKEN_CONTROL || t->kind == VOCABULARY_BPE) return "";
    *start = false;
    *length = UNKNOWN_LENGTH;
    return UNKNOWN_TEXT;
  }
  const char *text = texts_get(&t->plain, id, length);
  if (*length == 0) return text;
  bool drop = *start && *text == ' ' && type != TOKEN_BYTE;
  *start = false;
  *length -= drop;
  return text + drop;
}

static gale_status check_decoded(const gale_tokenizer *t, int32_t id, gale_error *error) {
  if (id >= 0 && (uint32_t)id < t->n_tokens) return GALE_OK;
  return error_set(error, GALE_E_ARGUMENT, "token id %d; 0 to %u are accepted", (int)id, (unsigned)t->n_tokens - 1);
}

gale_status gale_detokenize(const gale_tokenizer *tokenizer, const int32_t *ids, size_t n_ids, bool special,
                            char **text, size_t *length, gale_error *error) {
  bool start = tokenizer->add_space_prefix;
  size_t total = 0, n;
  for (size_t i = 0; i < n_ids; i++) {
    gale_status status = check_decoded(tokenizer, ids[i], error);
    if (status) return status;
    id_text(tokenizer, (uint32_t)ids[i], special, &start, &n);
    if (n >= SIZE_MAX / 2 - total) return error_memory(error, UINT64_MAX);
    total += n;
  }
  char *out = malloc(total + 1);
  if (!out) return error_memory(error, total + 1);
  start = tokenizer->add_space_prefix;
  total = 0;
  for (size_t i = 0; i < n_ids; i++) {
    const char *bytes = id_text(tokenizer, (uint32_t)ids[i], special, &start, &n);
    memcpy(out + total, bytes, n);
    total += n;
  }
  out[total] = 0;
  *text = out;
  *length = total;
  return GALE_OK;
}

struct gale_detokenizer {
  const gale_tokenizer *tokenizer;
  bool special, start;
  char held[4]; /* bytes that may still become a character */
  size_t n_held;
  char *in, *out; /* the held bytes and a token's; what is given: at most three times as much */
};

gale_status gale_detokenizer_open(const gale_tokenizer *tokenizer, bool special, gale_detokenizer **stream,
                                  gale_error *error) {
  size_t most = tokenizer->longest + UNKNOWN_LENGTH + 4;
  gale_detokenizer *d = malloc(sizeof *d + 4 * most);
  if (!d) return error_memory(error, sizeof *d + 4 * most);
  *d = (gale_detokenizer){.tokenizer = tokenizer, .special = special, .start = tokenizer->add_space_prefix};
  d->in = (char *)(d + 1);
  d->out = d->in + most;
  *stream = d;
  return GALE_OK;
}

void detokenizer_continue(gale_detokenizer *stream) {
  stream->start = false;
}

void gale_detokenizer_close(gale_detokenizer **stream) {
  if (!stream) return;
  free(*stream);
  *stream = NULL;
}

/* Copies the characters of in[0 .. n] to out and holds back an unfinished one at the end. */
static size_t whole_characters(gale_detokenizer *d, size_t n) {
  size_t given = 0, i = 0;
  d->n_held = 0;
  while (i < n) {
    uint32_t c;
    int length = utf8_decode(d->in + i, n - i, &c);
    if (length > 0) {
      memcpy(d->out + given, d->in + i, (size_t)length);
      given += (size_t)length;
      i += (size_t)length;
    } else if (length < 0) {
      memcpy(d->out + given, "\xEF\xBF\xBD", 3);
      given += 3;
      i += (size_t)-length;
    } else {
      d->n_held = n - i;
      memcpy(d->held, d->in + i, d->n_held);
      break;
    }
  }
  return given;
}

gale_status gale_detokenizer_push(gale_detokenizer *stream, int32_t id, const char **text, size_t *length,
                                  gale_error *error) {
  gale_status status = check_decoded(stream->tokenizer, id, error);
  if (status) return status;
  size_t n;
  const char *bytes = id_text(stream->tokenizer, (uint32_t)id, stream->special, &stream->start, &n);
  memcpy(stream->in, stream->held, stream->n_held);
  memcpy(stream->in + stream->n_held, bytes, n);
  *length = whole_characters(stream, stream->n_held + n);
  *text = stream->out;
  return GALE_OK;
}

gale_status gale_detokenizer_finish(gale_detokenizer *stream, const char **text, size_t *length, gale_error *error) {
  (void)error;
  *length = stream->n_held ? 3 : 0;
  memcpy(stream->out, "\xEF\xBF\xBD", 3);
  *text = stream->out;
  stream->n_held = 0;
  stream->start = stream->tokenizer->add_space_prefix;
  return GALE_OK;
}
