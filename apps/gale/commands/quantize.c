/* gale quantize: a model as a GGUF file of another type. */
#include "gale/cli/console.h"
#include "gale/cli/models.h"
#include "gale/commands/command.h"
#include "gale_tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TYPES = 16 };

/* "Q4_K 25, Q6_K 6, F32 14": how many tensors there are of each type, in the order of their first appearance. */
static void count_types(const gale_model *model, char *text, size_t size) {
  const char *types[MAX_TYPES];
  int counts[MAX_TYPES], n = 0;
  gale_tensor_info t;
  for (size_t i = 0; gale_model_tensor(model, i, &t); i++) {
    int k = 0;
    while (k < n && strcmp(types[k], t.type) != 0) k++;
    if (k == MAX_TYPES) continue;
    if (k == n) {
      types[n] = t.type;
      counts[n++] = 0;
    }
    counts[k]++;
  }
  size_t used = 0;
  for (int k = 0; k < n && used < size; k++)
    used += (size_t)snprintf(text + used, size - used, "%s%s %d", k ? ", " : "", types[k], counts[k]);
}

static void report(const options *o, const char *path, double seconds) {
  gale_model_options settings;
  gale_model_defaults(&settings);
  settings.metadata_only = true;
  gale_model *model = NULL;
  if (gale_model_open(path, &settings, &model, NULL)) return;
  gale_model_info info;
  gale_model_get_info(model, &info);
  char types[256] = "";
  count_types(model, types, sizeof types);
  note(o, "%s: %.2f GB, tensors: %s, in %.1f s", path, 1e-9 * (double)info.weight_bytes, types, seconds);
  gale_model_close(&model);
}

int quantize_main(const options *o) {
  if (!o->type) return usage_error(o, "--type TYPE is missing");
  store_model in;
  int code = models_resolve(o, o->arguments[0], &in);
  if (code) return code;
  progress p;
  progress_start(&p, o);
  gale_error error = {0};
  double start = seconds_now();
  gale_quantize_options settings;
  gale_quantize_defaults(&settings);
  settings.threads = o->threads;
  settings.progress = progress_step;
  settings.progress_user = &p;
  settings.overrides = o->overrides.items;
  settings.n_overrides = o->overrides.length;
  gale_status status = gale_quantize_with(in.path, o->arguments[1], o->type, &settings, &error);
  progress_end(&p);
  store_model_free(&in);
  if (status) return fail_with(&error);
  report(o, o->arguments[1], seconds_now() - start);
  return 0;
}
