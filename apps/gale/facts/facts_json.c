#include "gale/facts/facts.h"

#include <jansson.h>

static json_t *optional(int64_t value, bool there) {
  return there ? json_integer(value) : json_null();
}

static json_t *tokenizer_json(const gale_tokenizer *t) {
  if (!t) return json_null();
  int32_t bos = gale_tokenizer_bos(t), eos = gale_tokenizer_eos(t);
  const char *beginning;
  gale_chat_template_source(t, &beginning);
  return json_pack("{s:s, s:i, s:o, s:o, s:b, s:s?, s:s?}", "kind", gale_tokenizer_kind(t), "size",
                   gale_tokenizer_size(t), "bos", optional(bos, bos >= 0), "eos", optional(eos, eos >= 0), "adds_bos",
                   gale_tokenizer_adds_bos(t), "chat_template", gale_chat_template(t), "unknown_chat_template",
                   beginning);
}

/* One row for each type and context; every variant is there, also those that make no difference. */
static json_t *kv_json(const gale_model *model) {
  json_t *rows = json_array();
  for (const kv_type_name *t = kv_types; t->name; t++)
    for (int64_t context = MIN_CONTEXT; context <= MAX_CONTEXT; context *= 2) {
      json_t *all = json_object(), *one = json_object();
      for (const kv_variant *v = kv_variants; v->key; v++) {
        json_object_set_new(all, v->key, json_integer((json_int_t)kv_bytes(model, t->type, context, v)));
        json_object_set_new(one, v->key, json_integer((json_int_t)kv_layer_bytes(model, t->type, context, v)));
      }
      json_array_append_new(rows, json_pack("{s:s, s:I, s:o, s:o}", "type", t->name, "context", (json_int_t)context,
                                            "bytes", all, "layer_bytes", one));
    }
  return rows;
}

static json_t *tensors_json(const gale_model *model) {
  json_t *rows = json_array();
  gale_tensor_info t;
  for (size_t i = 0; gale_model_tensor(model, i, &t); i++) {
    json_t *shape = json_array();
    for (int d = 0; d < t.n_dims; d++) json_array_append_new(shape, json_integer(t.shape[d]));
    json_array_append_new(rows, json_pack("{s:s, s:s, s:o, s:I}", "name", t.name, "type", t.type, "shape", shape,
                                          "bytes", (json_int_t)t.bytes));
  }
  return rows;
}

static json_t *model_json(const gale_model *model, const gale_model_info *info) {
  json_t *hyper =
      json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:b}", "dim", info->dim, "n_layers",
                info->n_layers, "head_dim", info->head_dim, "hidden_dim", info->hidden_dim, "n_heads", info->n_heads,
                "n_kv_heads", info->n_kv_heads, "vocab_size", info->vocab_size, "context", info->context,
                "sliding_window", info->sliding_window, "windowed_layers", info->windowed_layers, "norm_eps",
                info->norm_eps, "rope_theta", info->rope_theta, "tied", info->tied);
  int64_t field = receptive_field(info);
  return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "name", info->name, "family",
                   info->family, "format", info->format, "types", info->types, "parameters",
                   (json_int_t)info->n_parameters, "weight_bytes", (json_int_t)info->weight_bytes, "hyperparameters",
                   hyper, "receptive_field", optional(field, field > 0), "tokenizer",
                   tokenizer_json(gale_model_tokenizer(model)), "kv_cache", kv_json(model), "tensors",
                   tensors_json(model));
}

char *facts_json(const gale_model *model, const gale_model_info *info) {
  json_t *object = model_json(model, info);
  char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
  json_decref(object);
  return text;
}
