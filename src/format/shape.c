/* Checkpoints made up from the published shapes of models: random weights and an invented vocabulary
 * under GGUF's keys and names, as llama.cpp's converter writes them. They serve to measure, and to write
 * GGUF files that any engine loads. Matrices have the asked type, the embedding and the output too, or those of a mix
 * (quant/mix.h); norms and the routers of experts are F32. */
#include "format/gguf_keys.h"
#include "format/reader.h"
#include "format/shapes.h"
#include "quant/mix.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LAYERS = 4096 };

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

static setting boolean(const char *key, bool value) {
  return (setting){.key = key, .type = SETTING_BOOL, .boolean = value};
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

static gale_status add_sizes(checkpoint *c, const char *name, const shape *s, gale_error *error) {
  const shape_family *f = s->family;
  /* Gemma's files always state it. */
  bool own_head_dim = s->head_dim * s->n_heads != s->dim || f->norm_eps == 1e-6f;
  const setting settings[] = {
      text("general.architecture", f->architecture),
      text("general.name", name),
      integer("." GGUF_CONTEXT_LENGTH, s->context),
      integer("." GGUF_EMBEDDING_LENGTH, s->dim),
      integer("." GGUF_BLOCK_COUNT, s->n_layers),
      integer("." GGUF_FEED_FORWARD_LENGTH, s->hidden_dim),
      integer("." GGUF_ATTENTION_HEAD_COUNT, s->n_heads),
      integer("." GGUF_ATTENTION_HEAD_COUNT_KV, s->n_kv_heads),
      real("." GGUF_ATTENTION_LAYER_NORM_RMS_EPSILON, f->norm_eps),
      where(own_head_dim, integer("." GGUF_ATTENTION_KEY_LENGTH, s->head_dim)),
      where(own_head_dim, integer("." GGUF_ATTENTION_VALUE_LENGTH, s->head_dim)),
      where(s->window > 0, integer("." GGUF_ATTENTION_SLIDING_WINDOW, s->window)),
      where(f->attention_softcap > 0, real("." GGUF_ATTN_LOGIT_SOFTCAPPING, f->attention_softcap)),
      where(f->logit_softcap > 0, real("." GGUF_FINAL_LOGIT_SOFTCAPPING, f->logit_softcap)),
      where(s->n_experts > 0, integer("." GGUF_EXPERT_COUNT, s->n_experts)),
      where(s->n_experts > 0, integer("." GGUF_EXPERT_USED_COUNT, s->n_used)),
      integer("." GGUF_ROPE_DIMENSION_COUNT, s->head_dim),
      real("." GGUF_ROPE_FREQ_BASE, s->rope_theta),
      integer("." GGUF_VOCAB_SIZE, s->vocab_size),
  };
  return add_settings(c, f->architecture, settings, sizeof settings / sizeof *settings, error);
}

static gale_status add_scaling(checkpoint *c, const shape *s, gale_error *error) {
  const shape_scaling *r = s->scaling;
  if (!r || !r->type) return GALE_OK;
  const setting settings[] = {
      text("." GGUF_ROPE_SCALING_TYPE, r->type),
      real("." GGUF_ROPE_SCALING_FACTOR, r->factor),
      where(r->original_context > 0, integer("." GGUF_ROPE_SCALING_ORIGINAL_CONTEXT_LENGTH, r->original_context)),
      where(r->beta_fast > 0, real("." GGUF_ROPE_SCALING_YARN_BETA_FAST, r->beta_fast)),
      where(r->beta_slow > 0, real("." GGUF_ROPE_SCALING_YARN_BETA_SLOW, r->beta_slow)),
      where(r->log_multiplier > 0, real("." GGUF_ROPE_SCALING_YARN_LOG_MULTIPLIER, r->log_multiplier)),
      where(r->query_beta > 0, real("." GGUF_ATTENTION_TEMPERATURE_SCALE, r->query_beta)),
  };
  return add_settings(c, s->family->architecture, settings, sizeof settings / sizeof *settings, error);
}

/* Layer by layer whether it has the window, where that is no rule of the family's own. */
static gale_status add_window_pattern(checkpoint *c, const shape *s, gale_error *error) {
  if (s->full_every == 0) return GALE_OK;
  setting *windowed = arena_array(&c->memory, (size_t)s->n_layers, sizeof *windowed);
  if (!windowed) return error_memory(error, (uint64_t)s->n_layers * sizeof *windowed);
  for (int l = 0; l < s->n_layers; l++) windowed[l] = boolean(NULL, l % s->full_every != 0);
  const setting pattern = list("." GGUF_ATTENTION_SLIDING_WINDOW_PATTERN, windowed, s->n_layers);
  return add_settings(c, s->family->architecture, &pattern, 1, error);
}

static gale_status add_hyperparameters(checkpoint *c, const char *name, const shape *s, gale_error *error) {
  gale_status status = add_sizes(c, name, s, error);
  if (!status) status = add_scaling(c, s, error);
  return status ? status : add_window_pattern(c, s, error);
}

/* ---- Vocabulary ---- */

enum { N_CONTROL = 3, N_BYTES = 256, FIRST_PIECE = N_CONTROL + N_BYTES };

/* The text of token id: control tokens, bytes, then U+2581 (a space) and the words over a to z by length, each
 * without and with a space in front; so every piece can be merged from shorter ones. */
static char *piece(arena *memory, int id) {
  static const char *const control[N_CONTROL] = {"<unk>", "<s>", "</s>"};
  if (id < N_CONTROL) return arena_printf(memory, "%s", control[id]);
  if (id < FIRST_PIECE) return arena_printf(memory, "<0x%02X>", (unsigned)(id - N_CONTROL));
  int place = id - FIRST_PIECE;
  char word[8], *letter = word + sizeof word;
  *--letter = 0;
  for (int n = (place + 1) / 2; n > 0; n = (n - 1) / 26) *--letter = (char)('a' + (n - 1) % 26);
  return arena_printf(memory, "%s%s", place % 2 == 0 ? "\xE2\x96\x81" : "", letter);
}

static int piece_type(int id) { /* as SentencePiece numbers them */
  enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, BYTE = 6 };
  return id == 0 ? UNKNOWN : id < N_CONTROL ? CONTROL : id < FIRST_PIECE ? BYTE : NORMAL;
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

static const char divisors_name[] = "rope_freqs.weight";

static int64_t extent_of(const shape *s, extent e) {
  const int64_t extents[EXTENTS] = {
      [DIM] = s->dim,
      [QUERIES] = (int64_t)s->n_heads * s->head_dim,
      [KEYS] = (int64_t)s->n_kv_heads * s->head_dim,
      [HEAD] = s->head_dim,
      [PAIRS] = s->head_dim / 2,
      [HIDDEN] = s->hidden_dim,
      [VOCAB] = s->vocab_size,
      [EXPERTS] = s->n_experts,
  };
  return extents[e];
}

/* layer -1: the tensor belongs to no layer. */
static gale_status add_tensor(checkpoint *c, const shape *s, const shape_tensor *p, int layer, quant_type type,
                              gale_error *error) {
  const char *why;
  tensor *t = checkpoint_add_tensors(c, 1);
  if (!t) return error_memory(error, sizeof *t);
  t->name = layer < 0 ? p->name : arena_printf(&c->memory, "blk.%d.%s", layer, p->name);
  if (!t->name) return error_memory(error, sizeof *t);
  t->type = p->rows == NONE || p->plain ? QUANT_F32 : type;
  if (p->stack != NONE) t->shape[t->n_dims++] = extent_of(s, p->stack);
  if (p->rows != NONE) t->shape[t->n_dims++] = extent_of(s, p->rows);
  int64_t columns = t->shape[t->n_dims++] = extent_of(s, p->columns);
  if (!tensor_measure(t, &why))
    return error_set(error, GALE_E_UNSUPPORTED, "%s: tensor \"%s\" has rows of %lld: %s (%s); %s are accepted", c->path,
                     t->name, (long long)columns, why, quant_get(t->type)->name, types_dividing(columns).text);
  return GALE_OK;
}

static quant_type tensor_type(const quant_mix *m, const shape *s, const shape_tensor *p, int layer) {
  if (strcmp(p->name, "attn_v.weight") == 0) return quant_mix_wv(m, layer, s->n_layers);
  return strncmp(p->name, "ffn_down", 8) == 0 ? quant_mix_w2(m, layer, s->n_layers) : m->type;
}

static gale_status add_layer(checkpoint *c, const shape *s, int layer, const quant_mix *m, gale_error *error) {
  gale_status status = GALE_OK;
  for (int i = 0; i < MOST_LISTS && s->family->lists[i]; i++)
    for (const shape_tensor *p = s->family->lists[i]; p->name && !status; p++)
      status = add_tensor(c, s, p, layer, tensor_type(m, s, p, layer), error);
  return status;
}

static gale_status add_tensors(checkpoint *c, const shape *s, const quant_mix *m, gale_error *error) {
  static const shape_tensor embedding = {"token_embd.weight", VOCAB, DIM, NONE, false};
  static const shape_tensor norm = {"output_norm.weight", NONE, DIM, NONE, false};
  static const shape_tensor output = {"output.weight", VOCAB, DIM, NONE, false};
  static const shape_tensor divisors = {divisors_name, NONE, PAIRS, NONE, false};
  gale_status status = add_tensor(c, s, &embedding, -1, s->tied ? m->output : m->type, error);
  if (!status && s->scaling && !s->scaling->type) status = add_tensor(c, s, &divisors, -1, m->type, error);
  for (int layer = 0; layer < s->n_layers && !status; layer++) status = add_layer(c, s, layer, m, error);
  if (!status) status = add_tensor(c, s, &norm, -1, m->type, error);
  if (!status && !s->tied) status = add_tensor(c, s, &output, -1, m->output, error);
  return status;
}

static uint64_t hash(const char *name) { /* FNV-1a */
  uint64_t h = 0xCBF29CE484222325u;
  for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001B3u;
  return h;
}

/* What Llama 3.1 divides the frequency of pair i by: 1 where it turns often within the original context, the whole
 * factor where it turns rarely, and a blend of the two between. */
static float divisor(const shape *s, uint64_t i) {
  static const double two_pi = 6.28318530717958647692;
  const shape_scaling *r = s->scaling;
  double low = (double)r->low, high = (double)r->high, factor = (double)r->factor;
  double turns = r->original_context * pow((double)s->rope_theta, -2.0 * (double)i / s->head_dim) / two_pi;
  double smooth = (turns - low) / (high - low);
  smooth = smooth < 0 ? 0 : smooth > 1 ? 1 : smooth;
  return (float)(1 / ((1 - smooth) / factor + smooth));
}

/* Matrices have the deviation that keeps the size of what they are applied to; norms are ones. */
static gale_status read_synthetic(const checkpoint *c, const tensor *t, uint64_t offset, void *to, uint64_t n,
                                  gale_error *error) {
  (void)error;
  const quant_info *q = quant_get(t->type);
  if (t->n_dims == 1) {
    float *vector = to;
    bool divisors = strcmp(t->name, divisors_name) == 0;
    uint64_t first = offset / sizeof *vector;
    for (uint64_t i = 0; i < n / sizeof *vector; i++) vector[i] = divisors ? divisor(c->source, first + i) : 1;
    return GALE_OK;
  }
  uint64_t block = (uint64_t)q->block, block_bytes = (uint64_t)q->block_bytes;
  float deviation = 1 / sqrtf((float)t->shape[t->n_dims - 1]);
  q->synthesize(q, to, (size_t)(n / block_bytes * block), offset / block_bytes * block, hash(t->name), deviation);
  return GALE_OK;
}

/* ---- Names ---- */

static size_t common_prefix(const char *a, const char *b, size_t length) {
  size_t n = 0;
  while (n < length && a[n] && a[n] == b[n]) n++;
  return n;
}

/* Lists the shapes whose names begin like the asked one for longest. */
static gale_status unknown_shape(const char *name, size_t length, gale_error *error) {
  char near[400] = "";
  size_t used = 0, most = 0;
  for (const char *const *n = shape_names(); *n; n++) {
    size_t shared = common_prefix(*n, name, length);
    if (shared > most) most = shared;
  }
  for (const char *const *n = shape_names(); *n; n++) {
    if (common_prefix(*n, name, length) < most || used + strlen(*n) + 3 > sizeof near) continue;
    used += (size_t)snprintf(near + used, sizeof near - used, "%s%s", used ? ", " : "", *n);
  }
  return error_set(error, GALE_E_ARGUMENT, "shape:%.40s: unknown shape; the nearest are %s", name, near);
}

/* ":layers=N" in text of a length; the shape's own number where there is nothing. */
static gale_status parse_layers(const char *spec, const char *from, size_t length, int *n_layers, gale_error *error) {
  static const char key[] = ":layers=";
  if (length == 0) return GALE_OK;
  size_t k = sizeof key - 1, digits = 0;
  long n = 0;
  if (length > k && memcmp(from, key, k) == 0)
    while (k + digits < length && from[k + digits] >= '0' && from[k + digits] <= '9' && n <= MAX_LAYERS)
      n = 10 * n + (from[k + digits++] - '0');
  if (digits == 0 || k + digits != length || n < 1 || n > MAX_LAYERS)
    return error_set(error, GALE_E_ARGUMENT, "shape:%.80s: \"%.*s\": :layers=N with N from 1 to %d is accepted", spec,
                     (int)(length < 40 ? length : 40), from, MAX_LAYERS);
  *n_layers = (int)n;
  return GALE_OK;
}

/* The name of a storage type means that type for all matrices, another name a mix. */
static bool find_mix(const char *name, quant_mix *m) {
  quant_type type;
  const quant_mix *found = quant_mix_find(name);
  bool pure = quant_from_name(name, &type);
  if (pure)
    *m = (quant_mix){.name = name, .type = type, .output = type};
  else if (found)
    *m = *found;
  return pure || found;
}

/* NAME[:layers=N][@TYPE] */
static gale_status parse(const char *spec, shape *s, quant_mix *m, gale_error *error) {
  size_t length = strcspn(spec, "@"), name = strcspn(spec, ":@");
  const shape *found = shape_find(spec, name);
  if (!found) return unknown_shape(spec, name, error);
  *s = *found;
  gale_status status = parse_layers(spec, spec + name, length - name, &s->n_layers, error);
  if (status) return status;
  if (spec[length] && !find_mix(spec + length + 1, m))
    return error_set(error, GALE_E_ARGUMENT,
                     "shape:%.80s: unknown type; %s and the mixes Q4_K_S, Q4_K_M, Q5_K_M are accepted", spec,
                     types_dividing(0).text);
  return GALE_OK;
}

gale_status shape_read(checkpoint *c, const char *spec, gale_error *error) {
  quant_mix m = {.type = QUANT_Q4_0, .output = QUANT_Q4_0};
  shape *s = arena_alloc(&c->memory, sizeof *s);
  const char *title = arena_string(&c->memory, spec, strcspn(spec, "@"));
  if (!s || !title) return error_memory(error, sizeof *s);
  c->kind = CHECKPOINT_GGUF;
  c->format = "shape";
  c->config_path = c->path;
  c->read = read_synthetic;
  c->source = s;
  gale_status status = parse(spec, s, &m, error);
  if (!status) status = add_hyperparameters(c, title, s, error);
  if (!status) status = add_vocabulary(c, s, error);
  if (!status) status = add_tensors(c, s, &m, error);
  return status ? status : checkpoint_index(c, error);
}
