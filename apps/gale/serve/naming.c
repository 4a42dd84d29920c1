#include "gale/serve/naming.h"

#include "gale/cli/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  OWN_NAMES = 3, /* beside aliases */
};

/* The last part of a path, without .gguf; to be freed. */
static char *last_part(const char *path) {
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  size_t begin = n;
  while (begin > 0 && path[begin - 1] != '/') begin--;
  if (n - begin > 5 && strncmp(path + n - 5, ".gguf", 5) == 0) n -= 5;
  return strndup(path + begin, n - begin);
}

static bool add(serving *s, char **names, char *name) {
  if (!name) return false;
  for (size_t i = 0; i < s->n_names; i++)
    if (names[i] && strcmp(names[i], name) == 0) {
      free(name);
      return true;
    }
  names[s->n_names++] = name;
  return true;
}

static bool add_latest(serving *s, char **names, const char *name) {
  char *latest = NULL;
  return asprintf(&latest, "%s:latest", name) >= 0 && add(s, names, latest);
}

int names_make(serving *s, const gale_model *model) {
  const options *o = s->options;
  gale_model_info info;
  gale_model_get_info(model, &info);
  char **names = calloc(2 * OWN_NAMES + o->aliases.length, sizeof *names);
  if (!names) return fail_memory();
  s->names = (const char *const *)names;
  bool ok = add(s, names, last_part(o->arguments[0])) && add(s, names, strdup(o->arguments[0])) &&
            add(s, names, strdup(info.name));
  for (size_t i = 0, n = s->n_names; ok && i < n; i++) ok = add_latest(s, names, names[i]);
  for (size_t i = 0; ok && i < o->aliases.length; i++) {
    if (strcmp(o->aliases.items[i], "*") == 0)
      s->any_name = true;
    else
      ok = add(s, names, strdup(o->aliases.items[i]));
  }
  return ok ? 0 : fail_memory();
}

void names_free(serving *s) {
  char **names = (char **)s->names;
  for (size_t i = 0; i < s->n_names; i++) free(names[i]);
  free(names);
  s->names = NULL;
  s->n_names = 0;
}
