#include "gale/stores/files.h"

#include <stdlib.h>
#include <string.h>

const store *const store_table[] = {&store_own, &store_ollama, &store_hf, &store_lmstudio, &store_llamacpp, NULL};

void store_model_free(store_model *m) {
  free(m->path);
  free(m->params);
  free(m->system);
  free(m->template);
  m->path = m->params = m->system = m->template = NULL;
}

static bool is_allowed(char c, const char *more) {
  bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  return plain || c == '.' || c == '_' || c == '-' || (c && strchr(more, c));
}

bool store_name_ok(const char *name, const char *more) {
  for (const char *part = name;; part++) {
    size_t n = 0;
    while (is_allowed(part[n], more)) n++;
    bool dots = n <= 2 && strspn(part, ".") >= n;
    if (n == 0 || dots || (part[n] && part[n] != '/')) return false;
    part += n;
    if (!*part) return true;
  }
}

/* Behind "STORE:", with the store; NULL if no store is named. */
static const char *named_store(const char *name, const store **from) {
  for (size_t i = 0; store_table[i]; i++) {
    size_t n = strlen(store_table[i]->name);
    if (strncmp(name, store_table[i]->name, n) != 0 || name[n] != ':') continue;
    *from = store_table[i];
    return name + n + 1;
  }
  return NULL;
}

store_status store_resolve(const char *name, store_model *m, const store **from) {
  *m = (store_model){0};
  *from = NULL;
  const char *in_store = named_store(name, from);
  if (in_store) return store_name_ok(in_store, "@:") ? (*from)->find(in_store, m) : STORE_NONE;
  if (!store_name_ok(name, "@:")) return STORE_NONE;
  bool parts = strchr(name, '/') != NULL;
  for (size_t i = 0; store_table[i]; i++) {
    const store *s = store_table[i];
    if (!(parts ? s->parts : s->plain)) continue;
    store_status status = s->find(name, m);
    if (status == STORE_NONE) continue;
    *from = s;
    return status;
  }
  return STORE_NONE;
}
