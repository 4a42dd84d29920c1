/* gale list: the fetched models. */
#include "command.h"
#include "console.h"
#include "models.h"
#include "units.h"

#include <stdio.h>
#include <stdlib.h>

static void print_row(const char *name, const char *types, const char *size, const char *path) {
  out_printf("%-24s %-20s %10s  %s\n", name, types, size, path);
}

static void print_model(const char *name) {
  char *path = models_path(name);
  if (!path) {
    print_row(name, "-", "-", "(not exactly one GGUF file or a model directory)");
    return;
  }
  gale_model_options settings;
  gale_model_defaults(&settings);
  settings.metadata_only = true;
  gale_model *model = NULL;
  if (gale_model_open(path, &settings, &model, NULL)) {
    print_row(name, "unreadable", "-", path);
  } else {
    gale_model_info info;
    gale_model_get_info(model, &info);
    char types[128];
    snprintf(types, sizeof types, "%s %s", info.format, info.types);
    print_row(name, types, about_bytes(info.weight_bytes).text, path);
    gale_model_close(&model);
  }
  free(path);
}

int list_main(const options *o) {
  model_list list;
  int code = models_find(&list);
  if (code) return code;
  if (list.length)
    print_row("NAME", "TYPE", "SIZE", "PATH");
  else
    note(o, "no models are fetched");
  for (size_t i = 0; i < list.length; i++) print_model(list.names[i]);
  models_free(&list);
  return 0;
}
