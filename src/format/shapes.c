#include "format/shapes.h"
#include "format/checkpoint.h"

#include <string.h>

/* ---- Lists of tensors ---- */

static const shape_tensor attention[] = {
    {"attn_norm.weight", NONE, DIM, NONE, false},      {"attn_q.weight", QUERIES, DIM, NONE, false},
    {"attn_k.weight", KEYS, DIM, NONE, false},         {"attn_v.weight", KEYS, DIM, NONE, false},
    {"attn_output.weight", DIM, QUERIES, NONE, false}, {0},
};
static const shape_tensor feed_forward[] = {
    {"ffn_norm.weight", NONE, DIM, NONE, false},
    {"ffn_gate.weight", HIDDEN, DIM, NONE, false},
    {"ffn_up.weight", HIDDEN, DIM, NONE, false},
    {"ffn_down.weight", DIM, HIDDEN, NONE, false},
    {0},
};
static const shape_tensor experts[] = {
    {"ffn_norm.weight", NONE, DIM, NONE, false},           {"ffn_gate_inp.weight", EXPERTS, DIM, NONE, true},
    {"ffn_gate_exps.weight", HIDDEN, DIM, EXPERTS, false}, {"ffn_up_exps.weight", HIDDEN, DIM, EXPERTS, false},
    {"ffn_down_exps.weight", DIM, HIDDEN, EXPERTS, false}, {0},
};
static const shape_tensor post_norms[] = {
    {"post_attention_norm.weight", NONE, DIM, NONE, false},
    {"post_ffw_norm.weight", NONE, DIM, NONE, false},
    {0},
};
static const shape_tensor head_norms[] = {
    {"attn_q_norm.weight", NONE, HEAD, NONE, false},
    {"attn_k_norm.weight", NONE, HEAD, NONE, false},
    {0},
};

/* ---- Families ---- */

static const shape_family llama = {"llama", {attention, feed_forward}, 1e-5f, 0, 0};
static const shape_family mixtral = {"llama", {attention, experts}, 1e-5f, 0, 0};
static const shape_family mistral3 = {"mistral3", {attention, feed_forward}, 1e-5f, 0, 0};
static const shape_family gemma = {"gemma", {attention, feed_forward}, 1e-6f, 0, 0};
static const shape_family gemma2 = {"gemma2", {attention, feed_forward, post_norms}, 1e-6f, 50, 30};
static const shape_family gemma3 = {"gemma3", {attention, feed_forward, post_norms, head_norms}, 1e-6f, 0, 0};

static const shape_scaling llama3_8 = {.factor = 8, .original_context = 8192, .low = 1, .high = 4};
static const shape_scaling llama3_32 = {.factor = 32, .original_context = 8192, .low = 1, .high = 4};
static const shape_scaling linear_8 = {.type = "linear", .factor = 8};
static const shape_scaling yarn_16 = {.type = "yarn",
                                      .factor = 16,
                                      .original_context = 16384,
                                      .beta_fast = 32,
                                      .beta_slow = 1,
                                      .log_multiplier = 1,
                                      .query_beta = 0.1f};

/* ---- The table ---- */

static const shape shapes[] = {
#define SHAPE(title, of, ...) {.name = title, .family = &of, .n_layers = __VA_ARGS__},
#include "format/shapes.def"
#undef SHAPE
};

static const char *const names[] = {
#define SHAPE(title, ...) title,
#include "format/shapes.def"
#undef SHAPE
    NULL,
};

const char *const *shape_names(void) {
  return names;
}

const shape *shape_find(const char *name, size_t length) {
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    if (strlen(shapes[i].name) == length && memcmp(shapes[i].name, name, length) == 0) return &shapes[i];
  return NULL;
}
