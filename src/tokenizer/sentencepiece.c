/* SentencePiece model files: a protobuf message, read by hand. Field numbers are those of the published
 * sentencepiece_model.proto. */
#include <inttypes.h>

#include "tokenizer/built.h"

/* A message: bytes [at, end) of the file. */
typedef struct reader {
  const char *source;
  const unsigned char *data;
  size_t at, end;
  gale_status status;
  gale_error *error;
} reader;

typedef enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 } wire_type;

typedef struct field {
  uint32_t number;
  wire_type wire;
  size_t at;      /* of the value */
  uint64_t value; /* WIRE_VARINT, WIRE_32, WIRE_64 */
  size_t length;  /* WIRE_BYTES: bytes [at, at + length) */
} field;

static bool fail(reader *r, const char *what) {
  r->status =
      error_set(r->error, GALE_E_FORMAT, "%s: byte %zu: %s; a SentencePiece model is expected", r->source, r->at, what);
  return false;
}

static bool read_varint(reader *r, uint64_t *value) {
  *value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (r->at == r->end) return fail(r, "a number runs past the end of its message");
    unsigned char byte = r->data[r->at++];
    if (shift == 63 && byte > 1) return fail(r, "a number has more than 64 bits");
    *value |= (uint64_t)(byte & 0x7F) << shift;
    if (byte < 0x80) return true;
  }
  return fail(r, "a number has more than ten bytes");
}

/* Little-endian fixed-width number. */
static bool read_fixed(reader *r, size_t bytes, uint64_t *value) {
  if (r->end - r->at < bytes) return fail(r, "a number runs past the end of its message");
  *value = 0;
  for (size_t i = 0; i < bytes; i++) *value |= (uint64_t)r->data[r->at++] << (8 * i);
  return true;
}

/* False at the end of the message or on an error. */
static bool next_field(reader *r, field *f) {
  uint64_t key;
  if (r->status || r->at == r->end || !read_varint(r, &key)) return false;
  if (key >> 3 == 0 || key >> 3 > 0x1FFFFFFF) return fail(r, "a field's number is out of range");
  *f = (field){.number = (uint32_t)(key >> 3), .wire = (wire_type)(key & 7), .at = r->at};
  switch (f->wire) {
  case WIRE_VARINT:
    return read_varint(r, &f->value);
  case WIRE_64:
    return read_fixed(r, 8, &f->value);
  case WIRE_32:
    return read_fixed(r, 4, &f->value);
  case WIRE_BYTES:
    if (!read_varint(r, &f->value)) return false;
    if (f->value > r->end - r->at) return fail(r, "a field is longer than what is left of its message");
    f->at = r->at;
    f->length = (size_t)f->value;
    r->at += f->length;
    return true;
  }
  return fail(r, "a field's type is not known");
}

static reader inside(const reader *r, const field *f) {
  reader message = *r;
  message.at = f->at;
  message.end = f->at + f->length;
  return message;
}

static bool has_type(reader *r, const field *f, wire_type wire) {
  if (f->wire == wire) return true;
  r->at = f->at;
  return fail(r, "a field is not of its type");
}

/* The model's settings that matter here, with the format's defaults. */
typedef struct settings {
  uint64_t model_type;
  bool space_suffix, dummy_prefix, collapse_spaces, escape_spaces, has_rules;
  int32_t unk, bos, eos;
} settings;

static void read_trainer(reader *r, settings *s) {
  for (field f; next_field(r, &f);) {
    bool number = f.number == 3 || f.number == 24 || (f.number >= 40 && f.number <= 42);
    if (number && !has_type(r, &f, WIRE_VARINT)) return;
    switch (f.number) {
    case 3:
      s->model_type = f.value;
      break;
    case 24:
      s->space_suffix = f.value != 0;
      break;
    case 40:
      s->unk = (int32_t)f.value;
      break;
    case 41:
      s->bos = (int32_t)f.value;
      break;
    case 42:
      s->eos = (int32_t)f.value;
      break;
    }
  }
}

static void read_normalizer(reader *r, settings *s) {
  for (field f; next_field(r, &f);) {
    if (f.number >= 3 && f.number <= 5 && !has_type(r, &f, WIRE_VARINT)) return;
    switch (f.number) {
    case 2:
      s->has_rules = f.length > 0;
      break;
    case 3:
      s->dummy_prefix = f.value != 0;
      break;
    case 4:
      s->collapse_spaces = f.value != 0;
      break;
    case 5:
      s->escape_spaces = f.value != 0;
      break;
    }
  }
}

typedef struct pieces {
  size_t n, capacity;
  const char **tokens;
  uint32_t *lengths;
  float *scores;
  uint8_t *types;
} pieces;

static void read_piece(reader *r, pieces *p) {
  const char *text = "";
  size_t length = 0;
  float score = 0;
  uint64_t type = TOKEN_NORMAL;
  for (field f; next_field(r, &f);) {
    if (f.number > 3) continue;
    if (!has_type(r, &f, f.number == 1 ? WIRE_BYTES : f.number == 2 ? WIRE_32 : WIRE_VARINT)) return;
    if (f.number == 1) {
      text = (const char *)r->data + f.at;
      length = f.length;
    } else if (f.number == 2) {
      uint32_t bits = (uint32_t)f.value;
      memcpy(&score, &bits, sizeof score);
    } else {
      type = f.value;
    }
  }
  if (length > UINT32_MAX / 4) fail(r, "a piece is too long");
  if (r->status) return;
  p->tokens[p->n] = text;
  p->lengths[p->n] = (uint32_t)length;
  p->scores[p->n] = score;
  p->types[p->n++] = type <= TOKEN_BYTE ? (uint8_t)type : 0;
}

/* Reads the whole model: first to count the pieces, then to take them in. */
static void read_model(reader whole, pieces *p, settings *s, reader *result) {
  reader r = whole;
  for (field f; next_field(&r, &f);) {
    if (f.number < 1 || f.number > 3) continue;
    if (!has_type(&r, &f, WIRE_BYTES)) break;
    reader message = inside(&r, &f);
    if (f.number == 1 && p->capacity) read_piece(&message, p);
    if (f.number == 1 && !p->capacity) p->n++;
    if (f.number == 2) read_trainer(&message, s);
    if (f.number == 3) read_normalizer(&message, s);
    r.status = message.status;
  }
  *result = r;
}

static gale_status check_settings(const char *source, const settings *s, gale_error *error) {
  const char *unsupported = s->model_type != 2   ? "a model type other than BPE"
                            : s->space_suffix    ? "treat_whitespace_as_suffix"
                            : s->has_rules       ? "normalisation rules (precompiled_charsmap)"
                            : s->collapse_spaces ? "remove_extra_whitespaces"
                            : !s->escape_spaces  ? "text without escape_whitespaces"
                                                 : NULL;
  if (!unsupported) return GALE_OK;
  return error_set(error, GALE_E_UNSUPPORTED,
                   "%s: %s; BPE with the identity normalisation is accepted, as Mistral, Llama and Gemma use it",
                   source, unsupported);
}

static gale_status read_file(reader whole, arena *memory, pieces *p, settings *s) {
  reader r;
  read_model(whole, p, s, &r);
  if (r.status) return r.status;
  size_t n = p->n;
  if (n == 0) return error_set(r.error, GALE_E_FORMAT, "%s: no pieces; a SentencePiece model is expected", r.source);
  *p = (pieces){.capacity = n};
  p->tokens = arena_array(memory, n, sizeof *p->tokens);
  p->lengths = arena_array(memory, n, sizeof *p->lengths);
  p->scores = arena_array(memory, n, sizeof *p->scores);
  p->types = arena_array(memory, n, sizeof *p->types);
  if (!p->tokens || !p->lengths || !p->scores || !p->types) return error_memory(r.error, n * 32);
  read_model(whole, p, s, &r);
  return r.status ? r.status : check_settings(r.source, s, r.error);
}

enum { MOST_GAPS = 1024 };

/* Makes room for the ids of added tokens behind the pieces; ids that none of them has are unused tokens. */
static gale_status add_room(const char *source, arena *memory, pieces *p, const tokenizer_hints *hints,
                            gale_error *error) {
  size_t most = p->n + hints->n_added + MOST_GAPS, n = p->n;
  for (size_t i = 0; i < hints->n_added; i++) {
    const added_token *a = &hints->added[i];
    if (a->id < 0 || (uint64_t)a->id >= most || a->length > UINT32_MAX / 4)
      return error_set(error, GALE_E_FORMAT,
                       "%s: the added token \"%.64s\" has the id %lld; behind %zu pieces 0 to %zu are accepted", source,
                       a->text, (long long)a->id, p->n, most - 1);
    if ((size_t)a->id >= n) n = (size_t)a->id + 1;
  }
  pieces grown = {.n = n, .capacity = n};
  grown.tokens = arena_array(memory, n, sizeof *grown.tokens);
  grown.lengths = arena_array(memory, n, sizeof *grown.lengths);
  grown.scores = arena_array(memory, n, sizeof *grown.scores);
  grown.types = arena_array(memory, n, sizeof *grown.types);
  if (!grown.tokens || !grown.lengths || !grown.scores || !grown.types) return error_memory(error, n * 32);
  memcpy(grown.tokens, p->tokens, p->n * sizeof *p->tokens);
  memcpy(grown.lengths, p->lengths, p->n * sizeof *p->lengths);
  memcpy(grown.scores, p->scores, p->n * sizeof *p->scores);
  memcpy(grown.types, p->types, p->n);
  for (size_t i = p->n; i < n; i++) {
    grown.tokens[i] = "";
    grown.types[i] = TOKEN_UNUSED;
  }
  *p = grown;
  return GALE_OK;
}

/* An added token replaces the piece with its id; where that piece has its text, only the type changes. */
static gale_status add_tokens(const char *source, arena *memory, pieces *p, const tokenizer_hints *hints,
                              gale_error *error) {
  if (!hints || !hints->n_added) return GALE_OK;
  size_t n_pieces = p->n;
  gale_status status = add_room(source, memory, p, hints, error);
  for (size_t i = 0; i < hints->n_added && !status; i++) {
    const added_token *a = &hints->added[i];
    size_t id = (size_t)a->id;
    bool same = p->lengths[id] == a->length && memcmp(p->tokens[id], a->text, a->length) == 0;
    if (!same && id >= n_pieces && p->lengths[id])
      status = error_set(error, GALE_E_FORMAT, "%s: id %zu is given to the added tokens \"%.64s\" and \"%.64s\"",
                         source, id, p->tokens[id], a->text);
    if (same && (p->types[id] == TOKEN_UNKNOWN || p->types[id] == TOKEN_BYTE || p->types[id] == TOKEN_CONTROL))
      continue;
    p->tokens[id] = a->text;
    p->lengths[id] = (uint32_t)a->length;
    p->types[id] = a->control ? TOKEN_CONTROL : TOKEN_USER_DEFINED;
  }
  return status;
}

/* Mistral's files say in their names which prompts they are for: tokenizer.model.v3, .v7m1 with images. */
static int version_of(const char *source) {
  static const char MARK[] = ".model.v";
  const char *at = strstr(source, MARK), *next;
  while (at && (next = strstr(at + 1, MARK))) at = next;
  if (!at) return 0;
  int version = 0;
  for (at += sizeof MARK - 1; *at >= '0' && *at <= '9' && version < 100; at++) version = 10 * version + *at - '0';
  return !*at || *at == 'm' ? version : 0;
}

gale_status vocabulary_from_sentencepiece(const char *source, const void *data, size_t n, const tokenizer_hints *hints,
                                          vocabulary_fn use, void *user, gale_error *error) {
  arena memory = {0};
  pieces p = {0};
  settings s = {
      .model_type = 1, .dummy_prefix = true, .collapse_spaces = true, .escape_spaces = true, .bos = 1, .eos = 2};
  reader whole = {.source = source, .data = data, .end = n, .error = error};
  gale_status status = read_file(whole, &memory, &p, &s);
  if (!status) status = add_tokens(source, &memory, &p, hints, error);
  if (!status) {
    vocabulary v = {.kind = VOCABULARY_SENTENCEPIECE,
                    .source = source,
                    .n_tokens = p.n,
                    .tokens = p.tokens,
                    .lengths = p.lengths,
                    .scores = p.scores,
                    .types = p.types,
                    .bos = s.bos,
                    .eos = s.eos,
                    .unk = s.unk,
                    .add_bos = s.bos >= 0,
                    .add_space_prefix = s.dummy_prefix,
                    .version = version_of(source)};
    status = vocabulary_apply(&v, hints, error);
    if (!status) status = use(&v, user, error);
  }
  arena_free(&memory);
  return status;
}

gale_status tokenizer_from_sentencepiece(const char *source, const void *data, size_t n, const tokenizer_hints *hints,
                                         gale_tokenizer **tokenizer, gale_error *error) {
  return vocabulary_from_sentencepiece(source, data, n, hints, vocabulary_create, tokenizer, error);
}
