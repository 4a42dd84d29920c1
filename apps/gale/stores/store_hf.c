/* Hugging Face's cache: models--ORG--NAME/{refs,snapshots,blobs}. ORG/NAME[@REV][:TAG].
 * https://huggingface.co/docs/huggingface_hub/guides/manage-cache */
#include "gale/stores/choice.h"
#include "gale/stores/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *root(void) {
  char *path = environment_path("HF_HUB_CACHE");
  if (!path) path = environment_path("HUGGINGFACE_HUB_CACHE");
  if (path) return path;
  char *home = environment_path("HF_HOME");
  path = home ? text_printf("%s/hub", home) : cache_path("huggingface/hub");
  free(home);
  return path;
}

void hf_name_free(hf_name *n) {
  free(n->repo);
  free(n->folder);
  free(n->rev);
  free(n->tag);
}

bool hf_name_read(const char *name, hf_name *n) {
  *n = (hf_name){0};
  size_t repo = strcspn(name, "@:"), rev = 0;
  const char *rest = name + repo;
  if (*rest == '@') {
    rev = strcspn(++rest, ":");
    n->rev = strndup(rest, rev);
    rest += rev;
  }
  if (*rest == ':') n->tag = strdup(rest + 1);
  n->repo = strndup(name, repo);
  size_t org = strcspn(name, "/");
  if (org < repo)
    n->folder = text_printf("models--%.*s--%.*s", (int)org, name, (int)(repo - org - 1), name + org + 1);
  else
    n->folder = text_printf("models--%.*s", (int)repo, name);
  bool one_slash = !memchr(name + (org < repo ? org + 1 : repo), '/', repo - (org < repo ? org + 1 : repo));
  return n->repo && n->folder && repo > 0 && one_slash && (!n->rev || *n->rev) && (!n->tag || *n->tag);
}

/* The commit that refs/REV holds, if it is the name of a folder. */
static char *read_ref(const char *repo, const char *rev) {
  char *path = text_printf("%s/refs/%s", repo, rev);
  char *commit = path ? read_small(path, 256, NULL) : NULL;
  free(path);
  if (commit) commit[strcspn(commit, " \t\r\n")] = 0;
  if (commit && store_name_ok(commit, "") && !strchr(commit, '/')) return commit;
  free(commit);
  return NULL;
}

/* The only snapshot, else the newest. */
static char *newest_snapshot(const char *repo) {
  char *folder = text_printf("%s/snapshots", repo), *best = NULL;
  store_names names = folder_names(folder);
  int64_t newest = 0;
  for (size_t i = 0; i < names.length; i++) {
    char *path = text_printf("%s/%s", folder, names.items[i]);
    int64_t time = path && is_directory(path) ? change_time(path) : -1;
    if (time >= 0 && (!best || time > newest)) {
      free(best);
      best = path;
      newest = time;
    } else {
      free(path);
    }
  }
  store_names_free(&names);
  free(folder);
  return best;
}

static char *snapshot_of(const char *repo, const char *rev) {
  char *commit = read_ref(repo, rev ? rev : "main");
  char *path = commit ? text_printf("%s/snapshots/%s", repo, commit) : NULL;
  if (!commit && rev) path = text_printf("%s/snapshots/%s", repo, rev);
  free(commit);
  if (path && !is_directory(path)) {
    free(path);
    path = NULL;
  }
  return path || rev ? path : newest_snapshot(repo);
}

static store_status find_in(const char *cache, const char *name, store_model *m) {
  hf_name n;
  store_status status = STORE_NONE;
  bool good = hf_name_read(name, &n);
  char *folder = good && cache ? folder_entry(cache, n.folder) : NULL;
  char *repo = folder ? text_printf("%s/%s", cache, folder) : NULL;
  char *snapshot = repo ? snapshot_of(repo, n.rev) : NULL;
  char *finish = text_printf("gale pull hf:%s", name);
  if (snapshot) status = choose_model(snapshot, n.tag, finish, m);
  if (repo && status == STORE_NONE) {
    snprintf(m->why, sizeof m->why, "%s: nothing there that is %s%s%s%s; to fetch it: %s", repo,
             n.rev ? "of revision " : "a model", n.rev ? n.rev : "", n.tag ? " and named " : "", n.tag ? n.tag : "",
             finish ? finish : "");
    status = STORE_FAILED;
  }
  free(finish);
  free(snapshot);
  free(repo);
  free(folder);
  hf_name_free(&n);
  return status;
}

static store_status find(const char *name, store_model *m) {
  char *cache = root();
  store_status status = find_in(cache, name, m);
  free(cache);
  return status;
}

/* ORG/NAME of models--ORG--NAME; what stands behind the first "--" is the name. */
static char *repo_name(const char *folder) {
  static const char PREFIX[] = "models--";
  if (strncmp(folder, PREFIX, sizeof PREFIX - 1) != 0) return NULL;
  const char *rest = folder + sizeof PREFIX - 1, *between = strstr(rest, "--");
  return between ? text_printf("%.*s/%s", (int)(between - rest), rest, between + 2) : strdup(rest);
}

static void list(store_names *names) {
  char *cache = root();
  store_names folders = folder_names(cache);
  for (size_t i = 0; i < folders.length; i++) {
    char *name = repo_name(folders.items[i]), *repo = text_printf("%s/%s", cache, folders.items[i]);
    char *snapshot = name && repo && store_name_ok(name, "") ? snapshot_of(repo, NULL) : NULL;
    if (snapshot) list_models(snapshot, name, names);
    free(snapshot);
    free(repo);
    free(name);
  }
  names->failed |= folders.failed;
  store_names_free(&folders);
  free(cache);
}

const store store_hf = {"hf", false, true, find, list, root};
