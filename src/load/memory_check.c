#include "load/memory_check.h"

#include "base/limits.h"
#include "model/forward.h"

#include <stdio.h>

typedef struct size_text {
  char text[24];
} size_text;

static size_text text_of(uint64_t bytes) {
  static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = (double)bytes;
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++) value /= 1024;
  size_text t;
  snprintf(t.text, sizeof t.text, "%.*f %s", unit ? 1 : 0, value, units[unit]);
  return t;
}

static uint64_t sum(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Bytes of a cache with so many positions of each sequence. */
static uint64_t cache_bytes(const gale_model *m, const gale_session_options *o, int64_t context) {
  const kv_layout layout = kv_layout_make(o->kv_type, m->config.n_kv_heads, m->config.head_dim);
  uint64_t bytes = 0;
  for (int32_t l = 0; l < m->config.n_layers; l++) {
    int64_t window = o->window == GALE_WINDOW_NATIVE ? m->config.layers[l].window : o->window;
    int64_t held = window > 0 && window + o->chunk + KV_PAGE < context ? window + o->chunk + KV_PAGE : context;
    bytes = sum(bytes, (uint64_t)((held + KV_PAGE - 1) / KV_PAGE) * layout.layer_bytes);
  }
  uint64_t sequences = (uint64_t)o->max_sequences;
  return bytes > UINT64_MAX / sequences ? UINT64_MAX : bytes * sequences;
}

session_need memory_session_need(const gale_model *m, const gale_session_options *o) {
  forward_state unused;
  session_need need = {.cache = o->kv_bytes};
  if (o->max_sequences < 1 || o->chunk < 1 || o->context < 0)
    return need; /* the session's opening says what is wrong */
  int32_t context = o->context ? o->context : m->config.context, chunk = o->chunk < context ? o->chunk : context;
  if (need.cache == 0 && o->context > 0) need.cache = cache_bytes(m, o, o->context);
  need.scratch = forward_layout(m, chunk, chunk, NULL, &unused);
  return need;
}

/* ---- What would fit ---- */

/* Types to quantise to, from large to small; gale_quantize() has none smaller than the last. */
static const struct {
  const char *name;
  quant_type type;
} smaller[] = {{"q8_0", QUANT_Q8_0}, {"q4_0", QUANT_Q4_0}};

/* Bytes of all matrices in a type. */
static uint64_t packed_as(const gale_model *m, quant_type type) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < m->weights.n_targets; i++) {
    const weight_target *target = &m->weights.targets[i];
    if (target->matrix) bytes = sum(bytes, m->device->ops->weight_bytes(m->device, type, target->rows, target->cols));
  }
  return bytes;
}

/* The largest type that is smaller than what the weights have and leaves room; NULL: none does. */
static const char *fitting_type(const gale_model *m, uint64_t packed, uint64_t room, uint64_t *bytes) {
  for (size_t i = 0; i < sizeof smaller / sizeof *smaller; i++) {
    *bytes = packed_as(m, smaller[i].type);
    if (*bytes < packed && *bytes <= room) return smaller[i].name;
  }
  return NULL;
}

/* Positions for which the cache takes no more than `room`; 0: not even a page. */
static int64_t fitting_context(const gale_model *m, const gale_session_options *o, uint64_t room) {
  int64_t low = 0, high = o->context / KV_PAGE;
  while (low < high) {
    int64_t middle = (low + high + 1) / 2;
    if (cache_bytes(m, o, middle * KV_PAGE) <= room)
      low = middle;
    else
      high = middle - 1;
  }
  return low * KV_PAGE;
}

gale_status memory_check_model(const char *root, const gale_model *m, uint64_t packed,
                               const gale_session_options *session, gale_error *error) {
  session_need need = {0};
  if (session) need = memory_session_need(m, session);
  uint64_t beside = sum(need.cache, need.scratch), available = limits_memory(root), bytes = 0;
  if (sum(packed, beside) <= available) return GALE_OK;
  char more[96] = "", fits[160] = "nothing smaller that gale has would fit";
  if (session && need.cache == 0)
    snprintf(more, sizeof more, " and the scratch %s", text_of(need.scratch).text);
  else if (session)
    snprintf(more, sizeof more, ", the cache %s and the scratch %s", text_of(need.cache).text,
             text_of(need.scratch).text);
  uint64_t without_cache = sum(packed, need.scratch);
  int64_t context = 0;
  if (session && session->context > 0 && session->kv_bytes == 0 && without_cache < available)
    context = fitting_context(m, session, available - without_cache);
  const char *type = beside < available ? fitting_type(m, packed, available - beside, &bytes) : NULL;
  if (context > 0)
    snprintf(fits, sizeof fits, "a context of %lld positions would fit%s", (long long)context,
             session->kv_type == GALE_KV_Q8 ? "" : ", or more with a cache of type q8");
  else if (type)
    snprintf(fits, sizeof fits, "quantised to %s the weights would take about %s", type, text_of(bytes).text);
  return error_set(error, GALE_E_MEMORY, "%s: the weights take %s%s, and %s of memory are available: %s",
                   m->checkpoint->path, text_of(packed).text, more, text_of(available).text, fits);
}

gale_status memory_check_session(const char *root, const session_need *need, gale_error *error) {
  uint64_t available = limits_memory(root);
  if (sum(need->cache, need->scratch) <= available) return GALE_OK;
  return error_set(
      error, GALE_E_MEMORY,
      "the session's cache takes %s and its scratch %s, and %s of memory are available: less context, fewer "
      "sequences, a smaller chunk or a cache of type q8 takes less",
      text_of(need->cache).text, text_of(need->scratch).text, text_of(available).text);
}
