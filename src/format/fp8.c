#include "format/fp8.h"
#include "base/half.h"
#include "format/reader.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_BLOCK = 128 };

static bool ends_with(const char *name, const char *suffix) {
  size_t n = strlen(name), s = strlen(suffix);
  return n >= s && strcmp(name + n - s, suffix) == 0;
}

/* ---- Scales ---- */

/* Where the scales of a weight are: among the tensors, or among the foreign ones as powers of two. */
typedef struct scale_place {
  const tensor *tensor; /* NULL: there are none */
  size_t index;         /* among c->tensors or c->foreign */
  bool exponents;       /* bytes e that mean 2^(e - 127) */
} scale_place;

static scale_place place_of(const checkpoint *c, const char *name) {
  const tensor *t = checkpoint_tensor(c, name);
  if (t) return (scale_place){t, (size_t)(t - c->tensors), false};
  const foreign_tensor *f = foreign_find(c, name);
  if (!f || (strcmp(f->dtype, "F8_E8M0") != 0 && strcmp(f->dtype, "U8") != 0)) return (scale_place){0};
  return (scale_place){&f->tensor, (size_t)(f - c->foreign), true};
}

/* WEIGHT_scale_inv and WEIGHT_scale are Hugging Face's names, X.qscale_weight is Mistral's for X.weight. All of
 * them are what an element is to be multiplied by. */
static scale_place find_scale(const checkpoint *c, const char *name) {
  static const struct {
    const char *old, *fresh; /* the weight's ending and what the scale has in its place */
  } endings[] = {
      {"", "_scale_inv"},
      {"", "_scale"},
      {".weight", ".qscale_weight"},
      {".weight", ".scale"},
  };
  scale_place place = {0};
  char full[1024];
  for (size_t i = 0; i < sizeof endings / sizeof *endings && !place.tensor; i++) {
    if (!ends_with(name, endings[i].old)) continue;
    size_t stem = strlen(name) - strlen(endings[i].old);
    if (stem >= sizeof full) continue;
    if (snprintf(full, sizeof full, "%.*s%s", (int)stem, name, endings[i].fresh) < (int)sizeof full)
      place = place_of(c, full);
  }
  return place;
}

static gale_status load_scales(const checkpoint *c, scale_place place, int64_t n, float *values, gale_error *error) {
  const tensor *t = place.tensor;
  uint8_t *stored = malloc((size_t)t->bytes);
  if (!stored) return error_memory(error, t->bytes);
  gale_status status = file_read(&c->files[t->file], t->offset, stored, t->bytes, error);
  const quant_info *q = place.exponents ? NULL : quant_get(t->type);
  if (!status && q) q->dequantize(q, stored, values, (size_t)n);
  for (int64_t i = 0; i < n && !status; i++) {
    if (place.exponents) values[i] = stored[i] == 255 ? NAN : ldexpf(1, stored[i] - 127);
    if (!isfinite(values[i]))
      status = error_set(error, GALE_E_FORMAT,
                         "%s: tensor \"%.80s\" (data at offset %" PRIu64 "): scale %" PRId64 " is not finite",
                         c->files[t->file].path, t->name, t->offset, i);
  }
  free(stored);
  return status;
}

/* Elements that share a scale along an axis of n elements and `scales` scales, or 0 if they don't fit: as the
 * configuration states, else 128, the last block being cut short, else equal shares. */
static int64_t block_along(int64_t n, int64_t scales, int64_t stated) {
  if (scales == 1) return n;
  if (stated > 0 && (n - 1) / stated + 1 == scales) return stated;
  if ((n - 1) / USUAL_BLOCK + 1 == scales) return USUAL_BLOCK;
  return n % scales == 0 ? n / scales : 0;
}

static int64_t stated_block(const checkpoint *c, int from_last) {
  const setting *s = checkpoint_setting(c, "quantization_config.weight_block_size");
  if (!s || s->type != SETTING_ARRAY || s->array.length != 2 || from_last > 1) return 0;
  const setting *item = &s->array.items[1 - from_last];
  return item->type == SETTING_INT ? item->integer : 0;
}

/* Lays the grid of scales over a weight: one for all, one for each of the first axis, or a grid of as many
 * dimensions as the weight has. */
static bool lay_grid(const checkpoint *c, const tensor *weight, const tensor *scales, fp8_scale *grid) {
  int64_t all = 1, shape[4] = {1, 1, 1, 1};
  for (int i = 0; i < scales->n_dims; i++) all *= scales->shape[i];
  if (all > 1) {
    if (scales->n_dims != 1 && scales->n_dims != weight->n_dims) return false;
    if (scales->n_dims == 1 && scales->shape[0] != weight->shape[0]) return false;
    memcpy(shape, scales->shape, (size_t)scales->n_dims * sizeof *shape);
  }
  for (int a = weight->n_dims - 1; a >= 0; a--) {
    grid->stride[a] = a == weight->n_dims - 1 ? 1 : grid->stride[a + 1] * shape[a + 1];
    grid->block[a] = block_along(weight->shape[a], shape[a], stated_block(c, weight->n_dims - 1 - a));
    if (grid->block[a] < 1) return false;
  }
  return true;
}

/* ---- Resolving ---- */

/* 448 times the scale must not overflow in BF16, nor the smallest number, 2^-9, become subnormal. */
static bool keeps_bfloat_exact(float scale) {
  uint32_t bits = float_to_bits(scale), exponent = bits >> 23 & 0xFFu;
  return (bits & 0x7FFFFFu) == 0 && exponent >= 10 && exponent <= 245;
}

static gale_status make_tensor(checkpoint *c, const tensor *stored, scale_place place, tensor *whole,
                               gale_error *error) {
  const char *why;
  int64_t n = 1;
  for (int i = 0; i < place.tensor->n_dims; i++) n *= place.tensor->shape[i];
  fp8_scale *grid = arena_alloc(&c->memory, sizeof *grid);
  float *values = arena_array(&c->memory, (size_t)n, sizeof *values);
  if (!grid || !values) return error_memory(error, (uint64_t)n * sizeof *values);
  bool is_float = place.exponents || quant_get(place.tensor->type)->is_float;
  if (!is_float || !lay_grid(c, stored, place.tensor, grid))
    return error_set(error, GALE_E_FORMAT,
                     "%s: tensor \"%.80s\" (data at offset %" PRIu64 "): its shape is no grid of scales over \"%.80s\"",
                     c->files[place.tensor->file].path, place.tensor->name, place.tensor->offset, stored->name);
  gale_status status = load_scales(c, place, n, values, error);
  if (status) return status;
  bool exact = true;
  for (int64_t i = 0; i < n && exact; i++) exact = keeps_bfloat_exact(values[i]);
  grid->values = values;
  *whole = *stored;
  whole->type = exact ? QUANT_BF16 : QUANT_F32;
  whole->fp8 = grid;
  if (!tensor_measure(whole, &why))
    return error_set(error, GALE_E_FORMAT, "%s: tensor \"%.80s\": %s", c->files[stored->file].path, stored->name, why);
  return GALE_OK;
}

static bool is_activation_scale(const char *name) {
  static const char *const endings[] = {"input_scale", "activation_scale", ".qscale_act", ".k_scale", ".v_scale"};
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
    if (ends_with(name, endings[i])) return true;
  return false;
}

/* What becomes of the tensors and of the foreign ones. */
typedef struct resolution {
  bool *used_tensors, *used_foreign; /* as scales, or as what `made` holds now */
  tensor *made;                      /* [n_foreign] */
  size_t n_made;
} resolution;

static gale_status resolve_all(checkpoint *c, resolution *r, gale_error *error) {
  gale_status status = GALE_OK;
  for (size_t i = 0; i < c->n_foreign && !status; i++) {
    foreign_tensor *f = &c->foreign[i];
    if (strcmp(f->dtype, "F8_E4M3") != 0) continue;
    scale_place place = find_scale(c, f->tensor.name);
    if (!place.tensor) {
      f->dtype = "F8_E4M3 without a scale";
      continue;
    }
    r->used_foreign[i] = true;
    if (place.exponents)
      r->used_foreign[place.index] = true;
    else
      r->used_tensors[place.index] = true;
    status = make_tensor(c, &f->tensor, place, &r->made[r->n_made++], error);
  }
  return status;
}

static gale_status replace(checkpoint *c, const resolution *r, gale_error *error) {
  size_t kept = 0;
  for (size_t i = 0; i < c->n_tensors; i++)
    if (!r->used_tensors[i] && !is_activation_scale(c->tensors[i].name)) c->tensors[kept++] = c->tensors[i];
  c->n_tensors = kept;
  kept = 0;
  for (size_t i = 0; i < c->n_foreign; i++)
    if (!r->used_foreign[i]) c->foreign[kept++] = c->foreign[i];
  c->n_foreign = kept;
  tensor *t = checkpoint_add_tensors(c, r->n_made);
  if (!t) return error_memory(error, r->n_made * sizeof *t);
  memcpy(t, r->made, r->n_made * sizeof *t);
  return checkpoint_index(c, error);
}

gale_status fp8_resolve(checkpoint *c, gale_error *error) {
  bool any = false;
  for (size_t i = 0; i < c->n_foreign && !any; i++) any = strcmp(c->foreign[i].dtype, "F8_E4M3") == 0;
  if (!any) return GALE_OK;
  resolution r = {.used_tensors = arena_array(&c->memory, c->n_tensors, sizeof *r.used_tensors),
                  .used_foreign = arena_array(&c->memory, c->n_foreign, sizeof *r.used_foreign),
                  .made = arena_array(&c->memory, c->n_foreign, sizeof *r.made)};
  if (!r.used_tensors || !r.used_foreign || !r.made) return error_memory(error, c->n_foreign * sizeof *r.made);
  gale_status status = resolve_all(c, &r, error);
  return status ? status : replace(c, &r, error);
}

/* ---- Reading ---- */

static float e4m3_to_float(uint8_t b) {
  uint32_t sign = (uint32_t)(b & 0x80u) << 24, exponent = b >> 3 & 15u, mantissa = b & 7u;
  if ((b & 0x7Fu) == 0x7Fu) return float_from_bits(sign | 0x7FC00000u);
  if (exponent == 0) return float_from_bits(sign | float_to_bits((float)mantissa * 0x1p-9f));
  return float_from_bits(sign | (exponent + 120) << 23 | mantissa << 20);
}

/* Index of the scale for element `index` of a weight; *run becomes how many elements from there on share it. */
static int64_t scale_at(const tensor *t, int64_t index, int64_t *run) {
  const fp8_scale *s = t->fp8;
  int last = t->n_dims - 1;
  int64_t column = index % t->shape[last], place = column / s->block[last] * s->stride[last];
  int64_t block_end = (column / s->block[last] + 1) * s->block[last];
  *run = (block_end < t->shape[last] ? block_end : t->shape[last]) - column;
  index /= t->shape[last];
  for (int a = last - 1; a >= 0; a--) {
    place += index % t->shape[a] / s->block[a] * s->stride[a];
    index /= t->shape[a];
  }
  return place;
}

/* Widens n bytes at `from` to `to`. They may be the last n bytes of the destination: an element is written only
 * over bytes that were read before. */
static void widen(const uint8_t *from, float scale, bool narrow, uint8_t *to, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    float value = e4m3_to_float(from[i]) * scale;
    uint16_t half = bfloat_from_float(value);
    if (narrow)
      memcpy(to + 2 * i, &half, sizeof half);
    else
      memcpy(to + 4 * i, &value, sizeof value);
  }
}

gale_status fp8_read(const checkpoint *c, const tensor *t, uint64_t offset, void *to, uint64_t n, gale_error *error) {
  if (!t->fp8) return checkpoint_read_file(c, t, offset, to, n, error);
  uint64_t wide = (uint64_t)quant_get(t->type)->block_bytes, elements = n / wide, first = offset / wide;
  uint8_t *out = to, *bytes = out + (n - elements);
  gale_status status = checkpoint_read_file(c, t, first, bytes, elements, error);
  int64_t run = 0;
  for (uint64_t i = 0; i < elements && !status; i += (uint64_t)run) {
    float scale = t->fp8->values[scale_at(t, (int64_t)(first + i), &run)];
    if ((uint64_t)run > elements - i) run = (int64_t)(elements - i);
    widen(bytes + i, scale, t->type == QUANT_BF16, out + i * wide, run);
  }
  return status;
}
