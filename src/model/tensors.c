#include "model/tensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const tensor_name usual[] = {
    {TOK_EMBEDDINGS, CHECKPOINT_GGUF, "token_embd.weight", SLICE_NONE},
    {OUTPUT, CHECKPOINT_GGUF, "output.weight", SLICE_NONE},
    {NORM, CHECKPOINT_GGUF, "output_norm.weight", SLICE_NONE},
    {ATTENTION_NORM, CHECKPOINT_GGUF, "blk.%d.attn_norm.weight", SLICE_NONE},
    {WQ, CHECKPOINT_GGUF, "blk.%d.attn_q.weight", SLICE_NONE},
    {WK, CHECKPOINT_GGUF, "blk.%d.attn_k.weight", SLICE_NONE},
    {WV, CHECKPOINT_GGUF, "blk.%d.attn_v.weight", SLICE_NONE},
    {WO, CHECKPOINT_GGUF, "blk.%d.attn_output.weight", SLICE_NONE},
    {Q_NORM, CHECKPOINT_GGUF, "blk.%d.attn_q_norm.weight", SLICE_NONE},
    {K_NORM, CHECKPOINT_GGUF, "blk.%d.attn_k_norm.weight", SLICE_NONE},
    {ATTENTION_POST_NORM, CHECKPOINT_GGUF, "blk.%d.post_attention_norm.weight", SLICE_NONE},
    {FFN_NORM, CHECKPOINT_GGUF, "blk.%d.ffn_norm.weight", SLICE_NONE},
    {GATE, CHECKPOINT_GGUF, "blk.%d.ffn_gate_inp.weight", SLICE_NONE},
    {W1, CHECKPOINT_GGUF, "blk.%d.ffn_gate.weight", SLICE_NONE},
    {W2, CHECKPOINT_GGUF, "blk.%d.ffn_down.weight", SLICE_NONE},
    {W3, CHECKPOINT_GGUF, "blk.%d.ffn_up.weight", SLICE_NONE},
    {W1, CHECKPOINT_GGUF, "blk.%d.ffn_gate_exps.weight", SLICE_STACK},
    {W2, CHECKPOINT_GGUF, "blk.%d.ffn_down_exps.weight", SLICE_STACK},
    {W3, CHECKPOINT_GGUF, "blk.%d.ffn_up_exps.weight", SLICE_STACK},
    {W1, CHECKPOINT_GGUF, "blk.%d.ffn_gate.%d.weight", SLICE_NONE},
    {W2, CHECKPOINT_GGUF, "blk.%d.ffn_down.%d.weight", SLICE_NONE},
    {W3, CHECKPOINT_GGUF, "blk.%d.ffn_up.%d.weight", SLICE_NONE},
    {FFN_POST_NORM, CHECKPOINT_GGUF, "blk.%d.post_ffw_norm.weight", SLICE_NONE},

    {TOK_EMBEDDINGS, CHECKPOINT_HF, "model.embed_tokens.weight", SLICE_NONE},
    {OUTPUT, CHECKPOINT_HF, "lm_head.weight", SLICE_NONE},
    {NORM, CHECKPOINT_HF, "model.norm.weight", SLICE_NONE},
    {ATTENTION_NORM, CHECKPOINT_HF, "model.layers.%d.input_layernorm.weight", SLICE_NONE},
    {WQ, CHECKPOINT_HF, "model.layers.%d.self_attn.q_proj.weight", SLICE_NONE},
    {WK, CHECKPOINT_HF, "model.layers.%d.self_attn.k_proj.weight", SLICE_NONE},
    {WV, CHECKPOINT_HF, "model.layers.%d.self_attn.v_proj.weight", SLICE_NONE},
    {WO, CHECKPOINT_HF, "model.layers.%d.self_attn.o_proj.weight", SLICE_NONE},
    {Q_NORM, CHECKPOINT_HF, "model.layers.%d.self_attn.q_norm.weight", SLICE_NONE},
    {K_NORM, CHECKPOINT_HF, "model.layers.%d.self_attn.k_norm.weight", SLICE_NONE},
    {FFN_NORM, CHECKPOINT_HF, "model.layers.%d.post_attention_layernorm.weight", SLICE_NONE},
    {GATE, CHECKPOINT_HF, "model.layers.%d.block_sparse_moe.gate.weight", SLICE_NONE},
    {GATE, CHECKPOINT_HF, "model.layers.%d.mlp.gate.weight", SLICE_NONE},
    {W1, CHECKPOINT_HF, "model.layers.%d.mlp.gate_proj.weight", SLICE_NONE},
    {W2, CHECKPOINT_HF, "model.layers.%d.mlp.down_proj.weight", SLICE_NONE},
    {W3, CHECKPOINT_HF, "model.layers.%d.mlp.up_proj.weight", SLICE_NONE},
    {W1, CHECKPOINT_HF, "model.layers.%d.block_sparse_moe.experts.%d.w1.weight", SLICE_NONE},
    {W2, CHECKPOINT_HF, "model.layers.%d.block_sparse_moe.experts.%d.w2.weight", SLICE_NONE},
    {W3, CHECKPOINT_HF, "model.layers.%d.block_sparse_moe.experts.%d.w3.weight", SLICE_NONE},
    {W1, CHECKPOINT_HF, "model.layers.%d.mlp.experts.gate_up_proj", SLICE_UPPER},
    {W2, CHECKPOINT_HF, "model.layers.%d.mlp.experts.down_proj", SLICE_STACK},
    {W3, CHECKPOINT_HF, "model.layers.%d.mlp.experts.gate_up_proj", SLICE_LOWER},

    {TOK_EMBEDDINGS, CHECKPOINT_MISTRAL, "tok_embeddings.weight", SLICE_NONE},
    {OUTPUT, CHECKPOINT_MISTRAL, "output.weight", SLICE_NONE},
    {NORM, CHECKPOINT_MISTRAL, "norm.weight", SLICE_NONE},
    {ATTENTION_NORM, CHECKPOINT_MISTRAL, "layers.%d.attention_norm.weight", SLICE_NONE},
    {WQ, CHECKPOINT_MISTRAL, "layers.%d.attention.wq.weight", SLICE_NONE},
    {WK, CHECKPOINT_MISTRAL, "layers.%d.attention.wk.weight", SLICE_NONE},
    {WV, CHECKPOINT_MISTRAL, "layers.%d.attention.wv.weight", SLICE_NONE},
    {WO, CHECKPOINT_MISTRAL, "layers.%d.attention.wo.weight", SLICE_NONE},
    {FFN_NORM, CHECKPOINT_MISTRAL, "layers.%d.ffn_norm.weight", SLICE_NONE},
    {GATE, CHECKPOINT_MISTRAL, "layers.%d.feed_forward.gate.weight", SLICE_NONE},
    {GATE, CHECKPOINT_MISTRAL, "layers.%d.block_sparse_moe.gate.weight", SLICE_NONE},
    {W1, CHECKPOINT_MISTRAL, "layers.%d.feed_forward.w1.weight", SLICE_NONE},
    {W2, CHECKPOINT_MISTRAL, "layers.%d.feed_forward.w2.weight", SLICE_NONE},
    {W3, CHECKPOINT_MISTRAL, "layers.%d.feed_forward.w3.weight", SLICE_NONE},
    {W1, CHECKPOINT_MISTRAL, "layers.%d.feed_forward.experts.%d.w1.weight", SLICE_NONE},
    {W2, CHECKPOINT_MISTRAL, "layers.%d.feed_forward.experts.%d.w2.weight", SLICE_NONE},
    {W3, CHECKPOINT_MISTRAL, "layers.%d.feed_forward.experts.%d.w3.weight", SLICE_NONE},
    {0},
};

/* Writes a pattern's name; false where the pattern is of another kind than layer and expert ask for. */
static bool spell(const tensor_name *n, int layer, int expert, char name[160]) {
  const char *first = strstr(n->pattern, "%d"), *second = first ? strstr(first + 2, "%d") : NULL;
  bool of_expert = second || n->slice != SLICE_NONE;
  if ((layer >= 0) != (first != NULL) || (expert >= 0) != of_expert) return false;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  snprintf(name, 160, n->pattern, layer, expert);
#pragma GCC diagnostic pop
  return true;
}

const tensor *tensor_lookup(const checkpoint *c, const char *name) {
  const tensor *t = checkpoint_tensor(c, name);
  if (t || c->kind == CHECKPOINT_GGUF) return t;
  char full[224];
  const bool hf = c->kind == CHECKPOINT_HF;
  snprintf(full, sizeof full, "%s%s", hf ? "language_model." : "mm_whisper_embeddings.", name);
  if ((t = checkpoint_tensor(c, full)) || !hf || strncmp(name, "model.", 6) != 0) return t;
  snprintf(full, sizeof full, "model.language_model.%s", name + 6);
  return checkpoint_tensor(c, full);
}

static gale_status check(const checkpoint *c, const tensor *t, const tensor_name *n, int32_t n_experts, int expert,
                         int64_t rows, int64_t cols, tensor_place *place, gale_error *error) {
  *place = (tensor_place){.tensor = t};
  int64_t height = n->slice == SLICE_UPPER || n->slice == SLICE_LOWER ? 2 * rows : rows;
  bool fits;
  if (rows == 0) {
    fits = t->n_dims == 1 && t->shape[0] == cols && quant_get(t->type)->is_float;
  } else if (n->slice == SLICE_NONE) {
    fits = t->n_dims == 2 && t->shape[0] == rows && t->shape[1] == cols;
  } else {
    fits = t->n_dims == 3 && t->shape[0] == n_experts && t->shape[1] == height && t->shape[2] == cols;
    place->first_row = expert * height + (n->slice == SLICE_LOWER ? rows : 0);
  }
  if (fits) return GALE_OK;
  char shape[96] = "";
  for (int i = 0, used = 0; i < t->n_dims && used < 80; i++)
    used += snprintf(shape + used, sizeof shape - (size_t)used, "%s%" PRId64, i ? ", " : "", t->shape[i]);
  if (rows == 0)
    return error_set(error, GALE_E_FORMAT, "%s: tensor %s is %s [%s]: a float vector of %" PRId64 " is accepted",
                     c->path, t->name, quant_get(t->type)->name, shape, cols);
  return error_set(error, GALE_E_FORMAT, "%s: tensor %s has shape [%s]: %s%" PRId64 ", %" PRId64 "] is accepted",
                   c->path, t->name, shape, n->slice == SLICE_NONE ? "[" : "[experts, ", height, cols);
}

gale_status tensor_find(const checkpoint *c, const model_config *config, tensor_role role, int layer, int expert,
                        int64_t rows, int64_t cols, tensor_place *place, gale_error *error) {
  const tensor_name *tables[] = {config->family->names, usual};
  *place = (tensor_place){0};
  for (int i = 0; i < 2; i++) {
    bool named = false;
    for (const tensor_name *n = tables[i]; n && n->pattern; n++) {
      char name[160];
      if (n->role != role || n->kind != c->kind || !spell(n, layer, expert, name)) continue;
      named = true;
      const tensor *t = tensor_lookup(c, name);
      if (t) return check(c, t, n, config->n_experts, expert, rows, cols, place, error);
    }
    if (named) return GALE_OK; /* a family's own names replace the usual ones */
  }
  return GALE_OK;
}

void tensor_usual_name(const checkpoint *c, tensor_role role, int layer, int expert, char name[160]) {
  snprintf(name, 160, "of role %d", role);
  for (const tensor_name *n = usual; n->pattern; n++)
    if (n->role == role && n->kind == c->kind && spell(n, layer, expert, name)) return;
}

static const struct {
  checkpoint_kind kind;
  const char *beginning;
  int modality;
} modalities[] = {
    {CHECKPOINT_GGUF, "v.", MODALITY_VISION},
    {CHECKPOINT_GGUF, "a.", MODALITY_AUDIO},
    {CHECKPOINT_GGUF, "mm.", MODALITY_OTHER},
    {CHECKPOINT_GGUF, "resampler.", MODALITY_OTHER},
    {CHECKPOINT_GGUF, "model.image_newline", MODALITY_VISION},
    {CHECKPOINT_HF, "vision_tower.", MODALITY_VISION},
    {CHECKPOINT_HF, "vision_model.", MODALITY_VISION},
    {CHECKPOINT_HF, "audio_tower.", MODALITY_AUDIO},
    {CHECKPOINT_HF, "multi_modal_projector.", MODALITY_OTHER},
    {CHECKPOINT_HF, "mm_projector.", MODALITY_OTHER},
    {CHECKPOINT_HF, "image_newline", MODALITY_VISION},
    {CHECKPOINT_MISTRAL, "vision_encoder.", MODALITY_VISION},
    {CHECKPOINT_MISTRAL, "vision_language_adapter.", MODALITY_VISION},
    {CHECKPOINT_MISTRAL, "patch_merger.", MODALITY_VISION},
    {CHECKPOINT_MISTRAL, "pre_mm_projector_norm.", MODALITY_OTHER},
    {CHECKPOINT_MISTRAL, "mm_whisper_embeddings.", MODALITY_AUDIO},
};

bool tensor_ignorable(checkpoint_kind kind, const char *name, int *found) {
  static const char *const endings[] = {"rotary_emb.inv_freq", "rope_freqs.weight", "attn_rot_embd.weight"};
  size_t n = strlen(name);
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    size_t e = strlen(endings[i]);
    if (n >= e && strcmp(name + n - e, endings[i]) == 0) return true;
  }
  const char *inner = kind == CHECKPOINT_HF && strncmp(name, "model.", 6) == 0 ? name + 6 : name;
  for (size_t i = 0; i < sizeof modalities / sizeof *modalities; i++) {
    const char *beginning = modalities[i].beginning;
    if (kind != modalities[i].kind || strncmp(inner, beginning, strlen(beginning)) != 0) continue;
    *found |= modalities[i].modality;
    return true;
  }
  return false;
}
