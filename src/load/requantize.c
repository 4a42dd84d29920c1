#include "load/requantize.h"

#include "format/reader.h"
#include "quant/quant_encode.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where a tensor comes from: n_places matrices [rows, cols] on top of each other, or numbers. */
typedef struct origin {
  tensor_place *places;
  int64_t n_places, rows, cols;
  int64_t head_dim; /* 0: rows as they are; else each head's pairs (i, i + head_dim / 2) become (2i, 2i + 1) */
  float offset;     /* is added */
  float *values;    /* instead of places: [cols] */
} origin;

/* The first error of a worker. */
typedef struct failure {
  gale_status status;
  int64_t row;
  gale_error error;
} failure;

typedef struct conversion {
  const checkpoint *from;
  team *workers;
  failure *failures; /* [team_size(workers)] */
  origin *origins;   /* of each tensor */
} conversion;

/* ---- Reading ---- */

/* A stretch of a tensor's elements, to be encoded row by row. */
typedef struct stretch {
  const conversion *conversion;
  const tensor *tensor;
  const origin *origin;
  int64_t first, end; /* elements */
  char *to;
} stretch;

/* Memory of one worker for a row of the source. */
typedef struct row_memory {
  void *stored;
  float *floats;
} row_memory;

static int64_t source_row(const origin *o, int64_t row) {
  if (o->head_dim == 0) return row;
  int64_t in_head = row % o->head_dim;
  return row - in_head + in_head / 2 + in_head % 2 * (o->head_dim / 2);
}

static gale_status check_numbers(const checkpoint *from, const tensor *t, quant_type type, const float *x, int64_t n,
                                 int64_t row, gale_error *error) {
  bool wide = type == QUANT_F32 || type == QUANT_BF16;
  float largest = wide ? 0x1.fffffep127f : QUANT_LARGEST;
  for (int64_t i = 0; i < n; i++)
    if (!(fabsf(x[i]) <= largest))
      return error_set(error, isfinite(x[i]) ? GALE_E_UNSUPPORTED : GALE_E_FORMAT,
                       "%s: tensor %s: row %" PRId64 ", column %" PRId64 " is %g: %s%s is accepted", from->path,
                       t->name, row, i, (double)x[i], isfinite(x[i]) ? "up to 65504 in " : "a finite number",
                       isfinite(x[i]) ? quant_get(type)->name : "");
  return GALE_OK;
}

/* Columns first .. end - 1 of a row of the new tensor. */
static gale_status convert_row(const stretch *s, const row_memory *memory, int64_t row, int64_t first, int64_t end,
                               char *to, gale_error *error) {
  const origin *o = s->origin;
  const checkpoint *from = s->conversion->from;
  quant_type type = s->tensor->type;
  if (o->values) {
    memcpy(to, o->values + first, (size_t)(end - first) * sizeof *o->values);
    return GALE_OK;
  }
  const tensor_place *place = &o->places[row / o->rows];
  const tensor *t = place->tensor;
  const quant_info *q = quant_get(t->type);
  int64_t at = place->first_row + source_row(o, row % o->rows);
  uint64_t row_bytes = quant_bytes(t->type, (uint64_t)o->cols), start = (uint64_t)at * row_bytes;
  if (t->type == type && o->offset == 0)
    return checkpoint_read(from, t, start + quant_bytes(type, (uint64_t)first), to,
                           quant_bytes(type, (uint64_t)(end - first)), error);
  gale_status status = checkpoint_read(from, t, start, memory->stored, row_bytes, error);
  if (status) return status;
  q->dequantize(q, memory->stored, memory->floats, (size_t)o->cols);
  status = check_numbers(from, t, type, memory->floats, o->cols, at, error);
  if (status) return status;
  if (o->offset != 0)
    for (int64_t i = 0; i < o->cols; i++) memory->floats[i] += o->offset;
  quant_encode(type, memory->floats + first, to, (size_t)(end - first));
  return GALE_OK;
}

/* Those elements of a stretch that lie in one row. */
static gale_status convert_in_row(const stretch *s, const row_memory *memory, int64_t row, gale_error *error) {
  int64_t cols = s->origin->cols, start = row * cols, end = start + cols;
  int64_t from = start < s->first ? s->first : start, to = end < s->end ? end : s->end;
  uint64_t at = quant_bytes(s->tensor->type, (uint64_t)(from - s->first));
  return convert_row(s, memory, row, from - start, to - start, s->to + at, error);
}

static gale_status open_memory(const stretch *s, row_memory *memory, gale_error *error) {
  const origin *o = s->origin;
  uint64_t stored = 0;
  for (int64_t i = 0; i < o->n_places; i++) {
    uint64_t n = quant_bytes(o->places[i].tensor->type, (uint64_t)o->cols);
    if (n > stored) stored = n;
  }
  memory->stored = malloc((size_t)stored + 1);
  memory->floats = malloc((size_t)o->cols * sizeof *memory->floats);
  return memory->stored && memory->floats ? GALE_OK : error_memory(error, stored + (uint64_t)o->cols * sizeof(float));
}

static void close_memory(row_memory *memory) {
  free(memory->stored);
  free(memory->floats);
}

static void convert_worker(void *argument, team_worker *w) {
  const stretch *s = argument;
  failure *f = &s->conversion->failures[team_index(w)];
  row_memory memory;
  int64_t first = s->first / s->origin->cols, last = (s->end - 1) / s->origin->cols;
  f->row = first;
  f->status = open_memory(s, &memory, &f->error);
  for (int64_t i; !f->status && (i = team_take(w, 1)) <= last - first;) {
    f->row = first + i;
    f->status = convert_in_row(s, &memory, f->row, &f->error);
  }
  close_memory(&memory);
}

static gale_status convert_together(stretch *s, gale_error *error) {
  const conversion *c = s->conversion;
  const failure *first = NULL;
  team_run(c->workers, convert_worker, s);
  /* The error of the lowest row is the one that a single worker meets. */
  for (int i = 0; i < team_size(c->workers); i++)
    if (c->failures[i].status && (!first || c->failures[i].row < first->row)) first = &c->failures[i];
  return first ? error_set(error, first->status, "%s", first->error.message) : GALE_OK;
}

static gale_status read_converted(const checkpoint *c, const tensor *t, uint64_t offset, void *to, uint64_t n,
                                  gale_error *error) {
  const conversion *all = c->source;
  const quant_info *q = quant_get(t->type);
  uint64_t block = (uint64_t)q->block, bytes = (uint64_t)q->block_bytes;
  stretch s = {.conversion = all,
               .tensor = t,
               .origin = &all->origins[t - c->tensors],
               .first = (int64_t)(offset / bytes * block),
               .end = (int64_t)((offset + n) / bytes * block),
               .to = to};
  if (n == 0) return GALE_OK;
  if (all->workers) return convert_together(&s, error);
  row_memory memory;
  gale_status status = open_memory(&s, &memory, error);
  for (int64_t row = s.first / s.origin->cols; row <= (s.end - 1) / s.origin->cols && !status; row++)
    status = convert_in_row(&s, &memory, row, error);
  close_memory(&memory);
  return status;
}

/* ---- The architecture ---- */

const char *yarn_prefix(const checkpoint *c) {
  static const char *const prefixes[] = {"rope_parameters", "rope_scaling"}, *const kinds[] = {"rope_type", "type"};
  static const char *const full[2][2] = {{"rope_parameters.rope_type", "rope_parameters.type"},
                                         {"rope_scaling.rope_type", "rope_scaling.type"}};
  if (c->kind == CHECKPOINT_MISTRAL) return checkpoint_setting(c, "yarn.factor") ? "yarn" : NULL;
  for (int p = 0; p < 2; p++)
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
      if (strcmp(config_text(c, (config_key){.hf = full[p][k]}), "yarn") == 0) return prefixes[p];
  return NULL;
}

const char *gguf_architecture(const model_source *source) {
  const checkpoint *c = source->checkpoint;
  const setting *stated = checkpoint_setting(c, "general.architecture");
  if (c->kind == CHECKPOINT_GGUF) return stated->string.bytes;
  if (source->config->family->gguf[0]) return source->config->family->gguf[0];
  return source->config->attention_temperature.beta > 0 || yarn_prefix(c) ? "mistral3" : "llama";
}

/* ---- The tensors ---- */

static bool pairs_neighbours(const char *architecture) {
  for (const char *const *n = family_llama.gguf; *n; n++)
    if (strcmp(*n, architecture) == 0) return true;
  return false;
}

typedef struct builder {
  const model_source *source;
  const quant_mix *mix;
  const char *architecture;
  checkpoint *to;
  conversion *conversion;
  origin *stack[3]; /* those of the layer's experts: W1, W2, W3 */
  int fallen_back;
  gale_error *error;
} builder;

static gale_status add_tensor(builder *b, const weight_target *target, quant_type type, origin **made) {
  checkpoint *to = b->to;
  const model_config *config = b->source->config;
  char name[160];
  const char *why;
  bool stacked = target->expert >= 0, matrix = target->rows > 0;
  tensor_usual_name(to, target->role, target->layer, target->expert, name);
  tensor *t = &to->tensors[to->n_tensors];
  origin *o = &b->conversion->origins[to->n_tensors++];
  *t = (tensor){.name = arena_string(&to->memory, name, strlen(name)), .type = type};
  *o = (origin){.n_places = stacked ? config->n_experts : 1, .rows = matrix ? target->rows : 1, .cols = target->cols};
  o->places = arena_array(&to->memory, (size_t)o->n_places, sizeof *o->places);
  if (!t->name || !o->places) return error_memory(b->error, (uint64_t)o->n_places * sizeof *o->places);
  bool rotated = target->role == WQ || target->role == WK;
  bool swap = rotated && b->source->checkpoint->kind != CHECKPOINT_GGUF && !config->interleaved;
  if (swap && pairs_neighbours(b->architecture)) o->head_dim = config->head_dim;
  if (!matrix) o->offset = config->norm_offset;
  if (stacked) t->shape[t->n_dims++] = o->n_places;
  if (matrix) t->shape[t->n_dims++] = o->rows;
  t->shape[t->n_dims++] = o->cols;
  *made = o;
  return tensor_measure(t, &why) ? GALE_OK
                                 : error_set(b->error, GALE_E_FORMAT, "%s: tensor %s: %s", to->path, name, why);
}

static gale_status add_target(builder *b, const weight_target *target) {
  origin *o = NULL;
  int feed_forward = target->role == W1 ? 0 : target->role == W2 ? 1 : 2;
  if (target->expert > 0 && b->stack[feed_forward]) {
    b->stack[feed_forward]->places[target->expert] = target->place;
    return GALE_OK;
  }
  bool fell_back = false;
  quant_type type = quant_choice_type(b->mix, b->source->config, b->source->weights->tied, target, &fell_back);
  b->fallen_back += fell_back;
  gale_status status = add_tensor(b, target, type, &o);
  if (status) return status;
  o->places[0] = target->place;
  if (target->expert == 0) b->stack[feed_forward] = o;
  return GALE_OK;
}

/* Divisors of the rotary frequencies, by which GGUF files state Llama 3's scaling: those of a GGUF source, or made of
 * the configuration where a linear key could not say it. */
static gale_status add_divisors(builder *b) {
  const model_config *config = b->source->config;
  const checkpoint *from = b->source->checkpoint;
  const tensor *given = from->kind == CHECKPOINT_GGUF ? checkpoint_tensor(from, "rope_freqs.weight") : NULL;
  const rope_config *rope = &config->rope[0];
  int n = config->head_dim / 2;
  double first = pow(rope->theta, 0) / rope->frequency[0];
  bool uneven = false;
  for (int i = 0; i < n; i++) {
    double divisor = pow(rope->theta, -2.0 * i / config->head_dim) / rope->frequency[i];
    uneven |= fabs(divisor - first) > 1e-6 * first;
  }
  bool made = uneven && from->kind != CHECKPOINT_GGUF && strcmp(b->architecture, "llama") == 0;
  if (!given && !made) return GALE_OK;
  tensor *t = &b->to->tensors[b->to->n_tensors];
  origin *o = &b->conversion->origins[b->to->n_tensors++];
  *t = (tensor){.name = "rope_freqs.weight", .type = QUANT_F32, .n_dims = 1, .shape = {n}, .bytes = 4 * (uint64_t)n};
  *o = (origin){.rows = 1, .cols = n, .values = arena_array(&b->to->memory, (size_t)n, sizeof(float))};
  if (!o->values) return error_memory(b->error, t->bytes);
  if (given) return checkpoint_read(from, given, 0, o->values, t->bytes, b->error);
  for (int i = 0; i < n; i++)
    o->values[i] = (float)(pow(rope->theta, -2.0 * i / config->head_dim) / rope->frequency[i]);
  return GALE_OK;
}

static gale_status build(builder *b) {
  checkpoint *to = b->to;
  const model_weights *w = b->source->weights;
  conversion *c = b->conversion = arena_alloc(&to->memory, sizeof *c);
  to->tensors = arena_array(&to->memory, w->n_targets + 1, sizeof *to->tensors);
  if (!c || !to->tensors) return error_memory(b->error, (w->n_targets + 1) * sizeof *to->tensors);
  c->from = b->source->checkpoint;
  c->origins = arena_array(&to->memory, w->n_targets + 1, sizeof *c->origins);
  if (!c->origins) return error_memory(b->error, (w->n_targets + 1) * sizeof *c->origins);
  to->source = c;
  gale_status status = add_divisors(b);
  for (size_t i = 0; i < w->n_targets && !status; i++) status = add_target(b, &w->targets[i]);
  return status ? status : checkpoint_index(to, b->error);
}

gale_status requantize_open(const model_source *source, const quant_mix *r, team *workers, checkpoint **to,
                            model_config *config, const char **note, gale_error *error) {
  checkpoint *c = calloc(1, sizeof *c);
  if (!c) return error_memory(error, sizeof *c);
  *c = (checkpoint){.kind = CHECKPOINT_GGUF,
                    .format = source->checkpoint->format,
                    .path = source->checkpoint->path,
                    .config_path = source->checkpoint->config_path,
                    .read = read_converted};
  builder b = {.source = source, .mix = r, .architecture = gguf_architecture(source), .to = c, .error = error};
  gale_status status = build(&b);
  if (!status && workers) {
    b.conversion->workers = workers;
    b.conversion->failures = arena_array(&c->memory, (size_t)team_size(workers), sizeof(failure));
    if (!b.conversion->failures) status = error_memory(error, (uint64_t)team_size(workers) * sizeof(failure));
  }
  const char *text = NULL;
  if (!status && b.fallen_back) {
    text = arena_printf(&c->memory, "%d matri%s of another type than %s asks for: their rows do not fit its blocks",
                        b.fallen_back, b.fallen_back == 1 ? "x is" : "ces are", r->name);
    if (!text) status = error_memory(error, 64);
  }
  if (status) {
    checkpoint_close(&c);
    return status;
  }
  *config = *source->config;
  config->norm_offset = 0;
  config->interleaved =
      source->checkpoint->kind == CHECKPOINT_GGUF ? config->interleaved : pairs_neighbours(b.architecture);
  if (note) *note = text;
  *to = c;
  return GALE_OK;
}
