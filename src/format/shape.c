/* Checkpoints made up from the published shapes of models: random weights and an invented vocabulary
 * under GGUF's keys and names. They serve to measure, and to write GGUF files that any engine loads.
 * Every matrix has the asked type, the embedding and the output too; norms are F32 ones. Scaling of
 * RoPE is left out, as it costs nothing to compute. Shapes are from the releases' config.json. */
#include "format/reader.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- The table ---- */

/* What a dimension of a tensor is. */
typedef enum extent { NONE, DIM, QUERIES, KEYS, HIDDEN, VOCAB, EXTENTS } extent;

/* rows NONE: a vector of `columns`. */
typedef struct part {
  const char *name;
  extent rows, columns;
} part;

typedef struct family {
  const char *architecture; /* as GGUF names it; the prefix of its keys */
  const part *block;        /* of every layer, ended by a part without a name */
} family;

static const part llama_block[] = {
    {"attn_norm.weight", NONE, DIM},      {"attn_q.weight", QUERIES, DIM},
    {"attn_k.weight", KEYS, DIM},         {"attn_v.weight", KEYS, DIM},
    {"attn_output.weight", DIM, QUERIES}, {"ffn_norm.weight", NONE, DIM},
    {"ffn_gate.weight", HIDDEN, DIM},     {"ffn_up.weight", HIDDEN, DIM},
    {"ffn_down.weight", DIM, HIDDEN},     {NULL, NONE, NONE},
};
static const family llama = {"llama", llama_block};

typedef struct shape {
  const family *family;
  int n_layers, dim, n_heads, n_kv_heads, head_dim, hidden_dim, vocab_size, context, window;
  float rope_theta, norm_eps;
  bool tied;
} shape;

/* Row i of `shapes` is called names[i]. */
static const char *const names[] = {
    "mistral-7b",    "mistral-7b-v0.3",
    "mistral-nemo",  "mistral-small-3",
    "mistral-large", "codestral-22b",
    "llama-2-7b",    "llama-2-13b",
    "llama-2-70b",   "llama-3-8b",
    "llama-3.2-1b",  "llama-3.2-3b",
    "smollm2-135m",  "tiny",
    "tiny-odd",      NULL,
};
static const shape shapes[] = {
    {&llama, 32, 4096, 32, 8, 128, 14336, 32000, 32768, 4096, 1e4f, 1e-5f, false},
    {&llama, 32, 4096, 32, 8, 128, 14336, 32768, 32768, 0, 1e6f, 1e-5f, false},
    {&llama, 40, 5120, 32, 8, 128, 14336, 131072, 131072, 0, 1e6f, 1e-5f, false},
    {&llama, 40, 5120, 32, 8, 128, 32768, 131072, 32768, 0, 1e8f, 1e-5f, false},
    {&llama, 88, 12288, 96, 8, 128, 28672, 32768, 131072, 0, 1e6f, 1e-5f, false},
    {&llama, 56, 6144, 48, 8, 128, 16384, 32768, 32768, 0, 1e6f, 1e-5f, false},
    {&llama, 32, 4096, 32, 32, 128, 11008, 32000, 4096, 0, 1e4f, 1e-5f, false},
    {&llama, 40, 5120, 40, 40, 128, 13824, 32000, 4096, 0, 1e4f, 1e-5f, false},
    {&llama, 80, 8192, 64, 8, 128, 28672, 32000, 4096, 0, 1e4f, 1e-5f, false},
    {&llama, 32, 4096, 32, 8, 128, 14336, 128256, 8192, 0, 5e5f, 1e-5f, false},
    {&llama, 16, 2048, 32, 8, 64, 8192, 128256, 131072, 0, 5e5f, 1e-5f, true},
    {&llama, 28, 3072, 24, 8, 128, 8192, 128256, 131072, 0, 5e5f, 1e-5f, true},
    {&llama, 30, 576, 9, 3, 64, 1536, 49152, 8192, 0, 1e5f, 1e-5f, true},
    /* For tests: the second has dimensions that only float types fit, and a head_dim of its own. */
    {&llama, 2, 64, 4, 2, 16, 96, 320, 256, 8, 1e4f, 1e-5f, false},
    {&llama, 2, 36, 3, 1, 10, 50, 300, 256, 0, 1e6f, 1e-5f, true},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };
_Static_assert(sizeof names / sizeof *names == N_SHAPES + 1, "a name for each shape");

const char *const *shape_names(void) {
  return names;
}

/* ---- Settings ---- */

static setting text(const char *key, const char *value) {
  return (setting){.key = key, .type = SETTING_STRING, .string = {value, strlen(value)}};
}

static setting integer(const char *key, int64_t value) {
  return (setting){.key = key, .type = SETTING_INT, .integer = value};
}

static setting real(const char *key, double value) {
  return (setting){.key = key, .type = SETTING_FLOAT, .number = value};
}

static setting list(const char *key, const setting *items, int n) {
  return (setting){.key = key, .type = SETTING_ARRAY, .array = {items, (size_t)n}};
}

/* A setting that a shape may lack. */
static setting where(bool present, setting s) {
  return present ? s : (setting){.type = SETTING_NULL};
}

/* Appends settings; a key that begins with a dot belongs to the architecture. */
static gale_status add_settings(checkpoint *c, const char *architecture, const setting *from, size_t n,
                                gale_error *error) {
  for (size_t i = 0; i < n; i++) {
    if (from[i].type == SETTING_NULL) continue;
    setting *s = checkpoint_add_settings(c, 1);
    if (!s) return error_memory(error, sizeof *s);
    *s = from[i];
    if (*s->key == '.') s->key = arena_printf(&c->memory, "%s%s", architecture, s->key);
    if (!s->key) return error_memory(error, sizeof *s);
  }
  return GALE_OK;
}

static gale_status add_hyperparameters(checkpoint *c, const char *name, const shape *s, gale_error *error) {
  bool own_head_dim = s->head_dim * s->n_heads != s->dim;
  const setting settings[] = {
      text("general.architecture", s->family->architecture),
      text("general.name", name),
      integer(".context_length", s->context),
      integer(".embedding_length", s->dim),
      integer(".block_count", s->n_layers),
      integer(".feed_forward_length", s->hidden_dim),
      integer(".attention.head_count", s->n_heads),
      integer(".attention.head_count_kv", s->n_kv_heads),
      real(".attention.layer_norm_rms_epsilon", s->norm_eps),
      where(own_head_dim, integer(".attention.key_length", s->head_dim)),
      where(own_head_dim, integer(".attention.value_length", s->head_dim)),
      where(s->window > 0, integer(".attention.sliding_window", s->window)),
      integer(".rope.dimension_count", s->head_dim),
      real(".rope.freq_base", s->rope_theta),
      integer(".vocab_size", s->vocab_size),
  };
  return add_settings(c, s->family->architecture, settings, sizeof settings / sizeof *settings, error);
}

/* ---- Vocabulary ---- */

enum { N_MARKS = 3, N_BYTES = 256, FIRST_PIECE = N_MARKS + N_BYTES };

/* The text of token id: marks, bytes, then U+2581 (a space) and the words over a to z by length, each
 * without and with a space in front; so every piece can be merged from shorter ones. */
static char *piece(arena *memory, int id) {
  static const char *const marks[N_MARKS] = {"<unk>", "<s>", "</s>"};
  if (id < N_MARKS) return arena_printf(memory, "%s", marks[id]);
  if (id < FIRST_PIECE) return arena_printf(memory, "<0x%02X>", (unsigned)(id - N_MARKS));
  int place = id - FIRST_PIECE;
  char word[8], *letter = word + sizeof word;
  *--letter = 0;
  for (int n = (place + 1) / 2; n > 0; n = (n - 1) / 26) *--letter = (char)('a' + (n - 1) % 26);
  return arena_printf(memory, "%s%s", place % 2 == 0 ? "\xE2\x96\x81" : "", letter);
}

static int piece_type(int id) { /* as SentencePiece numbers them */
  enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, BYTE = 6 };
  return id == 0 ? UNKNOWN : id < N_MARKS ? CONTROL : id < FIRST_PIECE ? BYTE : NORMAL;
}

static gale_status add_vocabulary(checkpoint *c, const shape *s, gale_error *error) {
  int n = s->vocab_size;
  setting *tokens = arena_array(&c->memory, (size_t)n, sizeof *tokens);
  setting *scores = arena_array(&c->memory, (size_t)n, sizeof *scores);
  setting *types = arena_array(&c->memory, (size_t)n, sizeof *types);
  if (!tokens || !scores || !types) return error_memory(error, (uint64_t)n * sizeof *tokens);
  for (int id = 0; id < n; id++) {
    const char *bytes = piece(&c->memory, id);
    if (!bytes) return error_memory(error, sizeof *tokens);
    tokens[id] = text(NULL, bytes);
    scores[id] = real(NULL, id < FIRST_PIECE ? 0 : FIRST_PIECE - id);
    types[id] = integer(NULL, piece_type(id));
  }
  const setting settings[] = {
      text("tokenizer.ggml.model", "llama"),         list("tokenizer.ggml.tokens", tokens, n),
      list("tokenizer.ggml.scores", scores, n),      list("tokenizer.ggml.token_type", types, n),
      integer("tokenizer.ggml.unknown_token_id", 0), integer("tokenizer.ggml.bos_token_id", 1),
      integer("tokenizer.ggml.eos_token_id", 2),
  };
  return add_settings(c, "", settings, sizeof settings / sizeof *settings, error);
}

/* ---- Tensors ---- */

static int64_t extent_of(const shape *s, extent e) {
  const int64_t extents[EXTENTS] = {
      [DIM] = s->dim,
      [QUERIES] = (int64_t)s->n_heads * s->head_dim,
      [KEYS] = (int64_t)s->n_kv_heads * s->head_dim,
      [HIDDEN] = s->hidden_dim,
      [VOCAB] = s->vocab_size,
  };
  return extents[e];
}

/* layer -1: the tensor belongs to no layer. */
static gale_status add_tensor(checkpoint *c, const shape *s, const part *p, int layer, quant_type type,
                              gale_error *error) {
  const char *why;
  tensor *t = checkpoint_add_tensors(c, 1);
  if (!t) return error_memory(error, sizeof *t);
  t->name = layer < 0 ? p->name : arena_printf(&c->memory, "blk.%d.%s", layer, p->name);
  if (!t->name) return error_memory(error, sizeof *t);
  bool matrix = p->rows != NONE;
  t->type = matrix ? type : QUANT_F32;
  if (matrix) t->shape[t->n_dims++] = extent_of(s, p->rows);
  int64_t columns = t->shape[t->n_dims++] = extent_of(s, p->columns);
  if (!tensor_measure(t, &why))
    return error_set(error, GALE_E_UNSUPPORTED, "%s: tensor \"%s\" has rows of %lld: %s (%s); %s are accepted", c->path,
                     t->name, (long long)columns, why, quant_get(type)->name, types_dividing(columns).text);
  return GALE_OK;
}

static gale_status add_tensors(checkpoint *c, const shape *s, quant_type type, gale_error *error) {
  static const part embedding = {"token_embd.weight", VOCAB, DIM};
  static const part last[] = {{"output_norm.weight", NONE, DIM}, {"output.weight", VOCAB, DIM}};
  gale_status status = add_tensor(c, s, &embedding, -1, type, error);
  for (int layer = 0; layer < s->n_layers; layer++)
    for (const part *p = s->family->block; p->name && !status; p++) status = add_tensor(c, s, p, layer, type, error);
  for (int i = 0; i < (s->tied ? 1 : 2) && !status; i++) status = add_tensor(c, s, &last[i], -1, type, error);
  return status;
}

static uint64_t hash(const char *name) { /* FNV-1a */
  uint64_t h = 0xCBF29CE484222325u;
  for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001B3u;
  return h;
}

/* Matrices have the deviation that keeps the size of what they are applied to. */
static gale_status read_synthetic(const checkpoint *c, const tensor *t, uint64_t offset, void *to, uint64_t n,
                                  gale_error *error) {
  (void)error;
  const quant_info *q = quant_get(t->type);
  if (t->n_dims == 1) {
    float *ones = to;
    for (uint64_t i = 0; i < n / sizeof *ones; i++) ones[i] = 1;
    return GALE_OK;
  }
  uint64_t block = (uint64_t)q->block, block_bytes = (uint64_t)q->block_bytes;
  float deviation = 1 / sqrtf((float)t->shape[1]);
  q->synthesize(q, to, (size_t)(n / block_bytes * block), offset / block_bytes * block, hash(t->name) ^ c->synth_seed,
                deviation);
  return GALE_OK;
}

/* ---- Names ---- */

static gale_status unknown_shape(const char *name, gale_error *error) {
  char all[400];
  size_t used = 0;
  for (int i = 0; i < N_SHAPES && used < sizeof all; i++)
    used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
  return error_set(error, GALE_E_ARGUMENT, "shape:%.40s: unknown shape; %s are accepted", name, all);
}

gale_status shape_read(checkpoint *c, const char *name_and_type, gale_error *error) {
  const char *at = strchr(name_and_type, '@');
  size_t length = at ? (size_t)(at - name_and_type) : strlen(name_and_type);
  quant_type type = QUANT_Q4_0;
  int i = 0;
  while (i < N_SHAPES && (strlen(names[i]) != length || memcmp(names[i], name_and_type, length) != 0)) i++;
  if (i == N_SHAPES) return unknown_shape(name_and_type, error);
  if (at && !quant_from_name(at + 1, &type))
    return error_set(error, GALE_E_ARGUMENT, "shape:%.40s: unknown type; %s are accepted", name_and_type,
                     types_dividing(0).text);
  c->kind = CHECKPOINT_GGUF;
  c->format = "shape";
  c->config_path = c->path;
  c->read = read_synthetic;
  gale_status status = add_hyperparameters(c, names[i], &shapes[i], error);
  if (!status) status = add_vocabulary(c, &shapes[i], error);
  if (!status) status = add_tensors(c, &shapes[i], type, error);
  return status ? status : checkpoint_index(c, error);
}
