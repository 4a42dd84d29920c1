#include "gale/cli/defaults.h"

#include "gale/cli/console.h"
#include "gale/cli/models.h"
#include "gale/stores/files.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A key of a file, and the option that it proposes a value for. */
typedef struct proposal {
  const char *key;
  option_id option;
} proposal;

static const proposal generation_config[] = {
    {"temperature", OPTION_TEMP}, {"top_k", OPTION_TOP_K},       {"top_p", OPTION_TOP_P},
    {"min_p", OPTION_MIN_P},      {"typical_p", OPTION_TYPICAL}, {"repetition_penalty", OPTION_REPEAT_PENALTY},
    {NULL, OPTION_COUNT}};
static const proposal ollama_params[] = {{"temperature", OPTION_TEMP},
                                         {"top_k", OPTION_TOP_K},
                                         {"top_p", OPTION_TOP_P},
                                         {"min_p", OPTION_MIN_P},
                                         {"repeat_penalty", OPTION_REPEAT_PENALTY},
                                         {"repeat_last_n", OPTION_REPEAT_LAST},
                                         {"seed", OPTION_SEED},
                                         {"num_predict", OPTION_PREDICT},
                                         {"num_ctx", OPTION_CONTEXT},
                                         {NULL, OPTION_COUNT}};

/* What Ollama's templates have in common with gale's, by a mark of theirs; the first that is found counts. */
static const struct {
  const char *mark, *template;
} forms[] = {{"<|im_start|>", "chatml"},   {"<|start_header_id|>", "llama-3"},
             {"<start_of_turn>", "gemma"}, {"[AVAILABLE_TOOLS]", "mistral-v3"},
             {"<<SYS>>", "llama-2"},       {"[INST]", "mistral-v1"}};

/* What a model proposes. The texts of options point into it. */
typedef struct proposed {
  const char *source; /* as messages call it */
  const proposal *keys;
  json_t *values;
  char *system, *template; /* texts; NULL: none */
  char *path;              /* of the model */
} proposed;

static void proposed_free(proposed *p) {
  json_decref(p->values);
  free(p->system);
  free(p->template);
  free(p->path);
  *p = (proposed){0};
}

static json_t *read_object(const char *path) {
  size_t length = 0;
  char *bytes = path ? read_small(path, 1u << 20, &length) : NULL;
  json_t *value = bytes ? json_loadb(bytes, length, 0, NULL) : NULL;
  free(bytes);
  if (json_is_object(value)) return value;
  json_decref(value);
  return NULL;
}

static void read_ollama(const store_model *m, proposed *p) {
  p->source = "Ollama's params";
  p->keys = ollama_params;
  p->values = read_object(m->params);
  p->system = m->system ? read_small(m->system, 1u << 20, NULL) : NULL;
  p->template = m->template ? read_small(m->template, 1u << 20, NULL) : NULL;
}

static void read_hf(const char *directory, proposed *p) {
  char *path = text_printf("%s/generation_config.json", directory);
  p->source = "generation_config.json";
  p->keys = generation_config;
  p->values = read_object(path);
  free(path);
}

/* False, with nothing to free, if the model proposes nothing or is none: whoever opens it says so. */
static bool read_proposed(const char *model, proposed *p) {
  store_model m = {0};
  const store *from = NULL;
  *p = (proposed){0};
  bool there = file_size(model) >= 0 || is_directory(model);
  store_status status = there ? STORE_NONE : store_resolve(model, &m, &from);
  const char *path = status == STORE_FOUND ? m.path : there ? model : NULL;
  if (path) p->path = strdup(path);
  if (m.params || m.system || m.template)
    read_ollama(&m, p);
  else if (path && is_directory(path))
    read_hf(path, p);
  store_model_free(&m);
  bool any = p->values || p->system || p->template;
  if (!any) proposed_free(p);
  return any;
}

/* ---- Numbers ---- */

/* do_sample false means the most likely token, whatever the temperature. */
static bool value_of(const proposed *p, const proposal *key, double *x) {
  if (key->option == OPTION_TEMP && json_is_false(json_object_get(p->values, "do_sample"))) {
    *x = 0;
    return true;
  }
  const json_t *value = json_object_get(p->values, key->key);
  *x = json_number_value(value);
  return json_is_number(value);
}

static bool in_range(const option_spec *s, double x) {
  if (s->kind == KIND_SEED) return x >= 0 && x < 0x1p64 && x == floor(x);
  if (s->kind == KIND_INT && x != floor(x)) return false;
  return s->open ? x > s->low && x <= s->high : x >= s->low && x <= s->high;
}

static void set_number(options *o, const option_spec *s, double x) {
  char *field = (char *)o + s->offset;
  if (s->kind == KIND_SEED)
    *(uint64_t *)(void *)field = (uint64_t)x;
  else if (s->kind == KIND_INT)
    *(int32_t *)(void *)field = (int32_t)x;
  else
    *(double *)(void *)field = x;
}

static bool may_set(const options *o, option_id id) {
  return options_have(o->command->options, id) && !option_given(o, id);
}

static void set_numbers(options *o, const proposed *p) {
  for (const proposal *key = p->keys; key && key->key; key++) {
    const option_spec *s = &option_table[key->option];
    double x;
    if (!may_set(o, key->option) || !value_of(p, key, &x)) continue;
    if (key->option == OPTION_PREDICT && x == -2) x = -1;
    if (!in_range(s, x)) {
      note(o, "gale: %s: %s of %s is %g, which --%s does not take; it is left out", o->arguments[0], key->key,
           p->source, x, s->name);
      continue;
    }
    set_number(o, s, x);
    o->given[key->option] = true;
  }
}

/* ---- Texts ---- */

/* Texts that options point at for the rest of the process. */
static proposed kept;

static void set_stops(options *o) {
  size_t i;
  const json_t *stop;
  if (!may_set(o, OPTION_STOP)) return;
  json_array_foreach(json_object_get(kept.values, "stop"), i, stop) {
    const char *text = json_string_value(stop);
    if (text && *text && o->stop.length < MAX_STOPS) o->stop.items[o->stop.length++] = text;
  }
}

static const char *form_of(const char *template) {
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
    if (strstr(template, forms[i].mark)) return forms[i].template;
  return NULL;
}

/* Ollama's template tells the form of a model whose own file has none. */
static void set_template(options *o) {
  const char *form = kept.template ? form_of(kept.template) : NULL;
  gale_tokenizer *tokenizer = NULL;
  if (!form || !may_set(o, OPTION_TEMPLATE) || o->raw) return;
  if (gale_tokenizer_open(kept.path, &tokenizer, NULL)) return;
  if (gale_chat_template_source(tokenizer, NULL) == GALE_TEMPLATE_NONE) o->template = form;
  gale_tokenizer_close(&tokenizer);
}

static void set_system(options *o) {
  if (kept.system && *kept.system && may_set(o, OPTION_SYSTEM) && !o->raw) o->system = kept.system;
}

void defaults_apply(options *o) {
  if (!options_have(o->command->options, OPTION_TEMP) || o->n_arguments == 0) return;
  proposed_free(&kept);
  if (!read_proposed(o->arguments[0], &kept)) return;
  set_numbers(o, &kept);
  set_stops(o);
  set_template(o);
  set_system(o);
}

char *defaults_text(const options *o) {
  proposed p;
  char *text = NULL;
  if (!read_proposed(o->arguments[0], &p)) return NULL;
  for (const proposal *key = p.keys; key && key->key; key++) {
    double x;
    if (!value_of(&p, key, &x)) continue;
    char *longer = text_printf("%s%s%s %.10g", text ? text : "", text ? ", " : "", key->key, x);
    free(text);
    text = longer;
  }
  char *whole = text ? text_printf("%s (%s)", text, p.source) : NULL;
  free(text);
  proposed_free(&p);
  return whole;
}
