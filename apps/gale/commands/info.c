/* gale info: what a model is, and what its KV cache takes. */
#include "gale/cli/console.h"
#include "gale/cli/defaults.h"
#include "gale/cli/opening.h"
#include "gale/cli/units.h"
#include "gale/commands/command.h"
#include "gale/facts/facts.h"
#include "gale_tools.h"

#include <stdio.h>
#include <stdlib.h>

static void row(const char *name, const char *value) {
  out_printf("  %-22s %s\n", name, value);
}
static void row_number(const char *name, int64_t value) {
  row(name, with_commas((uint64_t)value).text);
}

static void print_window(const gale_model_info *info) {
  if (!info->sliding_window) {
    row("sliding window", "none");
    return;
  }
  out_printf("  %-22s %s positions, in %d of %d layers\n", "sliding window",
             with_commas((uint64_t)info->sliding_window).text, info->windowed_layers, info->n_layers);
  int64_t field = receptive_field(info);
  if (field)
    out_printf("  %-22s %s positions (window x layers = %s x %d)\n", "receptive field",
               with_commas((uint64_t)field).text, with_commas((uint64_t)info->sliding_window).text, info->n_layers);
}

static void print_model(const gale_model *model, const gale_model_info *info) {
  out_printf("%s\n", info->name);
  row("family", info->family);
  row("format", info->format);
  row("weight types", info->types);
  row("parameters", about_count((uint64_t)info->n_parameters).text);
  out_printf("  %-22s %s (%s bytes)\n", "weights", about_bytes(info->weight_bytes).text,
             with_commas(info->weight_bytes).text);
  row_number("tensors", (int64_t)gale_model_tensors(model));
  row_number("dim", info->dim);
  row_number("n_layers", info->n_layers);
  row_number("head_dim", info->head_dim);
  row_number("hidden_dim", info->hidden_dim);
  out_printf("  %-22s %d\n", "n_heads", info->n_heads);
  const char *kind = info->n_kv_heads == info->n_heads ? ""
                     : info->n_kv_heads == 1           ? " (multi-query)"
                                                       : " (grouped-query)";
  out_printf("  %-22s %d%s\n", "n_kv_heads", info->n_kv_heads, kind);
  out_printf("  %-22s %g\n", "norm_eps", info->norm_eps);
  out_printf("  %-22s %.10g\n", "rope_theta", info->rope_theta);
  out_printf("  %-22s %s%s\n", "vocab_size", with_commas((uint64_t)info->vocab_size).text,
             info->tied ? " (the output is the embedding)" : "");
  row_number("context", info->context);
  print_window(info);
}

static void print_template(const gale_tokenizer *t) {
  const char *beginning, *name = gale_chat_template(t);
  gale_template_source source = gale_chat_template_source(t, &beginning);
  if (source == GALE_TEMPLATE_UNKNOWN)
    out_printf("  %-22s not known; it begins \"%s\"\n", "chat template", beginning);
  else
    out_printf("  %-22s %s%s\n", "chat template", name ? name : "none",
               source == GALE_TEMPLATE_MARKS ? ", as the control tokens show" : "");
}

static void print_defaults(const options *o) {
  char *text = defaults_text(o);
  if (text) row("sampling", text);
  free(text);
}

static void print_tokenizer(const gale_tokenizer *t) {
  out_printf("\nTokenizer\n");
  if (!t) {
    row("kind", "none in the model's files");
    return;
  }
  row("kind", gale_tokenizer_kind(t));
  row_number("tokens", gale_tokenizer_size(t));
  int32_t bos = gale_tokenizer_bos(t), eos = gale_tokenizer_eos(t);
  if (bos >= 0) out_printf("  %-22s %d%s\n", "BOS", bos, gale_tokenizer_adds_bos(t) ? ", put in front of a text" : "");
  if (eos >= 0) out_printf("  %-22s %d\n", "EOS", eos);
  print_template(t);
}

typedef uint64_t kv_figure(const gale_model *model, gale_kv_type type, int64_t context, const kv_variant *v);

static void print_table(const gale_model *model, const gale_model_info *info, const kv_type_name *t, const char *part,
                        kv_figure *figure) {
  out_printf("\n  %s, %s\n  %10s", t->name, part, "context");
  for (const kv_variant *v = kv_variants; v->key; v++)
    if (kv_variant_differs(info, v)) out_printf("%16s", v->title);
  out_printf("\n");
  for (int64_t context = MIN_CONTEXT; context <= MAX_CONTEXT; context *= 2) {
    out_printf("  %10s", with_commas((uint64_t)context).text);
    for (const kv_variant *v = kv_variants; v->key; v++)
      if (kv_variant_differs(info, v)) out_printf("%16s", exact_bytes(figure(model, t->type, context, v)).text);
    out_printf("\n");
  }
}

static void print_kv(const gale_model *model, const gale_model_info *info) {
  out_printf("\nKV cache of one text, by context\n");
  if (info->n_kv_heads != info->n_heads)
    out_printf("  GQA: %d query heads share %d key/value heads; no GQA: every query head has its own\n", info->n_heads,
               info->n_kv_heads);
  if (info->sliding_window)
    out_printf("  window: no more than %s positions are kept%s\n", with_commas((uint64_t)info->sliding_window).text,
               info->windowed_layers == info->n_layers ? "" : " in the layers that have it");
  char all[32];
  snprintf(all, sizeof all, "all %d layers", info->n_layers);
  for (const kv_type_name *t = kv_types; t->name; t++) {
    print_table(model, info, t, all, kv_bytes);
    print_table(model, info, t,
                info->windowed_layers == info->n_layers || !info->sliding_window ? "one layer"
                                                                                 : "one layer with the window",
                kv_layer_bytes);
  }
}

static void print_tensors(const gale_model *model) {
  out_printf("\nTensors\n");
  gale_tensor_info t;
  for (size_t i = 0; gale_model_tensor(model, i, &t); i++) {
    out_printf("  %-48s %-6s [", t.name, t.type);
    for (int d = 0; d < t.n_dims; d++) out_printf("%s%lld", d ? ", " : "", (long long)t.shape[d]);
    out_printf("] %s\n", about_bytes(t.bytes).text);
  }
}

static int print_json(const gale_model *model, const gale_model_info *info) {
  char *text = facts_json(model, info);
  if (!text) return fail("%s: a name in the model's files is not valid UTF-8, or out of memory", info->name);
  out_printf("%s\n", text);
  free(text);
  return 0;
}

int info_main(const options *o) {
  gale_model *model = NULL;
  int code = open_model(o, true, &model);
  if (code) return code;
  gale_model_info info;
  gale_model_get_info(model, &info);
  if (o->json) {
    code = print_json(model, &info);
  } else {
    print_model(model, &info);
    print_defaults(o);
    print_tokenizer(gale_model_tokenizer(model));
    print_kv(model, &info);
    if (o->tensors) print_tensors(model);
  }
  gale_model_close(&model);
  return code;
}
