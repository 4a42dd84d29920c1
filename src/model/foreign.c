#include "model/foreign.h"

#include <stdio.h>
#include <string.h>

/* Endings of tensors' names that tell a method where no configuration states it. */
static const struct {
  const char *ending, *what;
} signs[] = {
    {".qzeros", "quantised by GPTQ or AWQ"},
    {".g_idx", "quantised by GPTQ"},
    {".q_weight", "quantised by EXL2"},
    {".trellis", "quantised by EXL3"},
    {".absmax", "quantised by bitsandbytes"},
    {".SCB", "quantised by bitsandbytes"},
    {".W_q", "quantised by HQQ"},
    {".codebooks", "quantised by AQLM"},
    {".weight_packed", "quantised by compressed-tensors"},
    {".qweight", "quantised by a tool that packs weights into integers"},
    {".lora_A.weight", "an adapter (LoRA): merge it into its model, which"},
    {".lora_B.weight", "an adapter (LoRA): merge it into its model, which"},
};

static const char *name_sign(const char *name) {
  size_t n = strlen(name);
  for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
    size_t m = strlen(signs[i].ending);
    if (n >= m && strcmp(name + n - m, signs[i].ending) == 0) return signs[i].what;
  }
  return NULL;
}

static const char *tensor_sign(const checkpoint *c) {
  const char *found = NULL;
  for (size_t i = 0; i < c->n_foreign && !found; i++) found = name_sign(c->foreign[i].tensor.name);
  for (size_t i = 0; i < c->n_tensors && !found; i++) found = name_sign(c->tensors[i].name);
  return found;
}

static const char *text_at(const checkpoint *c, const char *key) {
  const setting *s = checkpoint_setting(c, key);
  return s && s->type == SETTING_STRING ? s->string.bytes : NULL;
}

/* The method that a configuration states, and under which key; NULL: none. */
static const char *stated_method(const checkpoint *c, const char **key) {
  static const struct {
    const char *outer, *method, *sign, *otherwise; /* sign: a key that is there in all such objects */
  } places[] = {
      {"quantization_config", "quantization_config.quant_method", NULL, NULL},
      {"text_config.quantization_config", "text_config.quantization_config.quant_method", NULL, NULL},
      {"quantization_config", "quantization_config.quant_algo", NULL, NULL},
      {"quantization_config", NULL, "quantization_config.load_in_4bit", "bitsandbytes"},
      {"quantization_config", NULL, "quantization_config.load_in_8bit", "bitsandbytes"},
      {"quantization", "quantization.quant_method", NULL, NULL},
      {"quantization", NULL, "quantization.bits", "MLX"},
      {"quantization", NULL, "quantization.group_size", "MLX"},
      {"quantization_config", NULL, "quantization_config.group_size", "MLX"},
      {"compression_config", "compression_config.quant_method", NULL, NULL},
      {"compression_config", NULL, "compression_config.format", "compressed-tensors"},
      {"quantization", "quantization.qformat_weight", NULL, NULL},
  };
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    const char *method = places[i].method ? text_at(c, places[i].method) : NULL;
    if (!method && places[i].sign && checkpoint_setting(c, places[i].sign)) method = places[i].otherwise;
    if (method) {
      *key = places[i].outer;
      return method;
    }
  }
  return NULL;
}

gale_status foreign_explain(const checkpoint *c, gale_status status, gale_error *error) {
  if (!error || c->kind == CHECKPOINT_GGUF) return status;
  const char *key = NULL, *method = stated_method(c, &key), *sign = method ? NULL : tensor_sign(c);
  if (!method && !sign) return status;
  if (method && c->n_foreign == 0) return status; /* 8-bit floats, which all became tensors */
  char was[sizeof error->message];
  snprintf(was, sizeof was, "%s", error->message);
  if (method)
    return error_set(error, GALE_E_UNSUPPORTED,
                     "%s: quantised by %.40s (%s); safetensors of F32, F16, BF16 and FP8 (E4M3) are accepted, and GGUF "
                     "files (%s)",
                     c->config_path, method, key, was);
  return error_set(error, GALE_E_UNSUPPORTED,
                   "%s: %s; safetensors of F32, F16, BF16 and FP8 (E4M3) are accepted, and GGUF files (%s)", c->path,
                   sign, was);
}
