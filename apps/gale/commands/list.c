/* gale list: the models that lie on this machine, and the packed weights that are kept. gale rm. */
#include "gale/cli/console.h"
#include "gale/cli/models.h"
#include "gale/cli/units.h"
#include "gale/commands/command.h"
#include "gale_tools.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Paths come from the outside: what would move the cursor is shown as '?'. */
static void print_clean(const char *text) {
  for (; *text; text++) out_printf("%c", (unsigned char)*text < 32 || *text == 127 ? '?' : *text);
}

/* ---- Models ---- */

/* A model of a store. Strings are owned but for the store's. */
typedef struct row {
  char *name; /* as run takes it */
  const char *store;
  char *path, *types; /* NULL: not known */
  char *why;          /* why it cannot be used; NULL: it can */
  uint64_t bytes;
  dev_t device;
  ino_t inode; /* of its file or directory */
} row;

typedef struct rows {
  row *items;
  size_t length;
} rows;

static void row_free(row *r) {
  free(r->name);
  free(r->path);
  free(r->types);
  free(r->why);
}

static void rows_free(rows *all) {
  for (size_t i = 0; i < all->length; i++) row_free(&all->items[i]);
  free(all->items);
}

/* Format and types of the weights, from the model's headers. */
static void read_types(row *r) {
  gale_model_options settings;
  gale_model_defaults(&settings);
  settings.metadata_only = true;
  gale_model *model = NULL;
  gale_error error = {0};
  if (gale_model_open(r->path, &settings, &model, &error)) {
    r->why = strdup(error.message);
    return;
  }
  gale_model_info info;
  gale_model_get_info(model, &info);
  if (asprintf(&r->types, "%s %s", info.format, info.types) < 0) r->types = NULL;
  gale_model_close(&model);
}

static bool is_known(const rows *all, const row *r) {
  for (size_t i = 0; i < all->length; i++)
    if (r->inode && all->items[i].inode == r->inode && all->items[i].device == r->device) return true;
  return false;
}

/* False without memory. A file that has a row already gets no second one. */
static bool add_row(rows *all, const store *s, const char *name) {
  store_model m = {0};
  row r = {.store = s->name};
  store_status status = s->find(name, &m);
  struct stat there;
  if (asprintf(&r.name, s == &store_own ? "%s%s" : "%s:%s", s == &store_own ? "" : s->name, name) < 0) r.name = NULL;
  if (status == STORE_FOUND && stat(m.path, &there) == 0) {
    r.device = there.st_dev;
    r.inode = there.st_ino;
  }
  r.bytes = m.bytes;
  if (status == STORE_FAILED) r.why = strdup(m.why);
  if (m.path) r.path = strdup(m.path);
  store_model_free(&m);
  row *grown = is_known(all, &r) || !r.name ? NULL : realloc(all->items, (all->length + 1) * sizeof *grown);
  if (!grown) {
    bool known = is_known(all, &r);
    row_free(&r);
    return known;
  }
  if (r.path) read_types(&r);
  all->items = grown;
  all->items[all->length++] = r;
  return true;
}

static int find_rows(rows *all) {
  bool good = true;
  for (const store *const *s = store_table; *s && good; s++) {
    store_names names = {0};
    (*s)->list(&names);
    good = !names.failed;
    for (size_t i = 0; i < names.length && good; i++) good = add_row(all, *s, names.items[i]);
    store_names_free(&names);
  }
  return good ? 0 : fail_memory();
}

static void print_row(const char *name, const char *types, const char *size, const char *from, const char *path) {
  print_clean(name);
  out_printf("%*s %-20s %10s  %-9s  ", strlen(name) < 32 ? 32 - (int)strlen(name) : 0, "", types, size, from);
  print_clean(path);
  out_printf("\n");
}

static void print_rows(const rows *all) {
  if (all->length) print_row("NAME", "TYPE", "SIZE", "STORE", "PATH");
  for (size_t i = 0; i < all->length; i++) {
    const row *r = &all->items[i];
    print_row(r->name, r->types ? r->types : "unusable", r->bytes ? about_bytes(r->bytes).text : "-", r->store,
              r->path  ? r->path
              : r->why ? r->why
                       : "-");
  }
}

static int print_json(const rows *all) {
  json_t *list = json_array();
  for (size_t i = 0; i < all->length; i++) {
    const row *r = &all->items[i];
    json_array_append_new(list, json_pack("{s:s, s:s*, s:I, s:s, s:b, s:s*, s:s*}", "name", r->name, "types", r->types,
                                          "size", (json_int_t)r->bytes, "store", r->store, "complete", !r->why, "path",
                                          r->path, "error", r->why));
  }
  char *text = json_dumps(list, JSON_INDENT(1));
  json_decref(list);
  if (!text) return fail("a name or path is not valid UTF-8, or out of memory");
  out_printf("%s\n", text);
  free(text);
  return 0;
}

/* ---- Packed weights ---- */

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
  rows all = {0};
  int code = find_rows(&all);
  if (!code && o->json) {
    code = print_json(&all);
  } else if (!code) {
    print_rows(&all);
    if (!all.length) note(o, "no models are fetched");
    code = list_packed();
  }
  rows_free(&all);
  return code;
}
