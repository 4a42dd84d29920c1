/* gale list: the fetched models, and the packed weights that are kept. */
#include "gale/cli/console.h"
#include "gale/cli/models.h"
#include "gale/cli/units.h"
#include "gale/commands/command.h"
#include "gale_tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

/* Paths come from the outside: what would move the cursor is shown as '?'. */
static void print_clean(const char *text) {
  for (; *text; text++) out_printf("%c", (unsigned char)*text < 32 || *text == 127 ? '?' : *text);
}

static void print_packed(const gale_cache_entry *e) {
  char day[32] = "-";
  time_t used = (time_t)e->used;
  struct tm local;
  if (localtime_r(&used, &local)) strftime(day, sizeof day, "%Y-%m-%d %H:%M", &local);
  out_printf("%-24s %-20s %10s  ", day, e->sound ? *e->quantize ? e->quantize : "as stored" : "damaged",
             about_bytes(e->bytes).text);
  print_clean(e->sound ? e->source : e->path);
  out_printf("\n");
}

static int list_packed(void) {
  char *folder = models_packed_folder();
  gale_cache_entry *entries = NULL;
  size_t n = 0;
  gale_error error = {0};
  gale_status status = folder ? gale_cache_list(folder, &entries, &n, &error) : GALE_OK;
  free(folder);
  if (status) return fail_with(&error);
  if (n) out_printf("\n%-24s %-20s %10s  %s\n", "PACKED, LAST USED", "WEIGHTS", "SIZE", "MODEL");
  for (size_t i = 0; i < n; i++) print_packed(&entries[i]);
  gale_free(entries);
  return 0;
}

static int prune(const options *o) {
  char *folder = models_packed_folder();
  gale_error error = {0};
  uint64_t removed = 0;
  gale_status status = folder ? gale_cache_prune(folder, 0, &removed, &error) : GALE_OK;
  free(folder);
  if (status) return fail_with(&error);
  note(o, "%s of packed weights removed", about_bytes(removed).text);
  return 0;
}

int list_main(const options *o) {
  if (o->prune) return prune(o);
  model_list list;
  int code = models_find(&list);
  if (code) return code;
  if (list.length)
    print_row("NAME", "TYPE", "SIZE", "PATH");
  else
    note(o, "no models are fetched");
  for (size_t i = 0; i < list.length; i++) print_model(list.names[i]);
  models_free(&list);
  return list_packed();
}
