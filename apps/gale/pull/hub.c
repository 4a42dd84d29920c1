#include "gale/pull/hub.h"

#include "gale/cli/units.h"
#include "gale/pull/blob.h"
#include "gale/stores/choice.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char DEFAULT_ENDPOINT[] = "https://huggingface.co";
enum { MOST_ABOUT = 64 << 20 };

typedef struct hub {
  const options *o;
  web *w;
  hf_name name;
  const char *rev;
  char *endpoint, *cache, *repo; /* repo: CACHE/models--ORG--NAME */
  char *commit;
  store_files files;
  bool *wanted; /* [files.length] */
} hub;

/* ---- Settings ---- */

static char *hub_endpoint(void) {
  const char *stated = getenv("HF_ENDPOINT");
  char *endpoint = strdup(stated && *stated ? stated : DEFAULT_ENDPOINT);
  for (size_t n = endpoint ? strlen(endpoint) : 0; n > 0 && endpoint[n - 1] == '/';) endpoint[--n] = 0;
  return endpoint;
}

/* HF_TOKEN, else the file that a login of the hub's tools wrote. */
static char *hub_token(void) {
  const char *stated = getenv("HF_TOKEN");
  if (stated && *stated) return strdup(stated);
  char *home = environment_path("HF_HOME"),
       *path = home ? text_printf("%s/token", home) : cache_path("huggingface/token");
  char *token = path ? read_small(path, 4096, NULL) : NULL;
  free(path);
  free(home);
  if (token) token[strcspn(token, " \t\r\n")] = 0;
  if (token && *token) return token;
  free(token);
  return NULL;
}

static bool is_offline(void) {
  const char *stated = getenv("HF_HUB_OFFLINE");
  return stated && (strcmp(stated, "1") == 0 || strcasecmp(stated, "true") == 0 || strcasecmp(stated, "yes") == 0);
}

static bool has_stopped(void) {
  return signals_caught() != 0;
}

/* ---- What is there ---- */

typedef struct collected {
  char *bytes;
  size_t n;
} collected;

static bool collect(void *user, const web_answer *answer, const char *bytes, size_t n) {
  (void)answer;
  collected *c = user;
  if (c->n + n > MOST_ABOUT) return false;
  char *grown = realloc(c->bytes, c->n + n + 1);
  if (!grown) return false;
  memcpy(grown + c->n, bytes, n);
  c->bytes = grown;
  c->n += n;
  c->bytes[c->n] = 0;
  return true;
}

/* The commit and the files of the revision. Only those at the top are looked at: that is where models are. */
static int read_about(hub *h, const char *json, size_t n) {
  json_t *about = json_loadb(json, n, 0, NULL);
  const char *sha = json_string_value(json_object_get(about, "sha"));
  const json_t *siblings = json_object_get(about, "siblings");
  int code = 0;
  if (!sha || !store_name_ok(sha, "") || strchr(sha, '/') || !json_is_array(siblings))
    code = fail("%s: the hub's answer is not what is said of a repository", h->name.repo);
  else
    h->commit = strdup(sha);
  for (size_t i = 0; !code && i < json_array_size(siblings); i++) {
    const json_t *sibling = json_array_get(siblings, i);
    const char *file = json_string_value(json_object_get(sibling, "rfilename"));
    const json_t *size = json_object_get(sibling, "size");
    if (file && *file != '.' && !strchr(file, '/') && store_name_ok(file, ""))
      store_files_add(&h->files, file, json_is_integer(size) ? (int64_t)json_integer_value(size) : 0);
  }
  json_decref(about);
  if (!code && (!h->commit || h->files.failed)) code = fail_memory();
  return code;
}

/* A revision as a part of a URL: a slash is %2F. */
static char *escaped(const char *rev) {
  char *text = strdup("");
  for (; text && *rev; rev++) {
    char *longer = *rev == '/' ? text_printf("%s%%2F", text) : text_printf("%s%c", text, *rev);
    free(text);
    text = longer;
  }
  return text;
}

static int ask_about(hub *h) {
  char *rev = escaped(h->rev);
  char *url = rev ? text_printf("%s/api/models/%s/revision/%s?blobs=true", h->endpoint, h->name.repo, rev) : NULL;
  collected c = {0};
  web_answer a;
  int code = url ? 0 : fail_memory();
  if (!code) {
    bool whole = web_request(h->w, url, 0, collect, &c, &a);
    if (signals_caught())
      code = signals_exit_status();
    else if (!whole || a.status != 200)
      code = whole ? web_fail(&a, h->name.repo) : fail("%s: %s", url, *a.why ? a.why : "the answer is too long");
  }
  if (!code) code = read_about(h, c.bytes ? c.bytes : "", c.n);
  free(c.bytes);
  free(url);
  free(rev);
  return code;
}

/* ---- Folders ---- */

/* Makes a folder and those above it. */
static int make_folders(const char *path) {
  char *copy = strdup(path);
  if (!copy) return fail_memory();
  int code = 0;
  for (char *at = copy + 1; !code && at; at = at ? at + 1 : NULL) {
    at = strchr(at, '/');
    if (at) *at = 0;
    if (mkdir(copy, 0755) != 0 && errno != EEXIST) code = fail("%s: %s", copy, strerror(errno));
    if (!at) break;
    *at = '/';
  }
  free(copy);
  return code;
}

/* REPO/snapshots/COMMIT/FILE -> ../../blobs/ETAG. */
static int link_blob(const hub *h, const char *file, const char *etag) {
  char *to = text_printf("../../blobs/%s", etag);
  char *from = text_printf("%s/snapshots/%s/%s", h->repo, h->commit, file);
  char *fresh = text_printf("%s/snapshots/%s/.%s.%d", h->repo, h->commit, file, (int)getpid());
  int code = to && from && fresh ? 0 : fail_memory();
  if (!code) unlink(fresh);
  if (!code && (symlink(to, fresh) != 0 || rename(fresh, from) != 0)) code = fail("%s: %s", from, strerror(errno));
  free(fresh);
  free(from);
  free(to);
  return code;
}

/* REPO/refs/REV holds the commit. */
static int write_ref(const hub *h) {
  char *path = text_printf("%s/refs/%s", h->repo, h->rev), *fresh = text_printf("%s/refs/.%d", h->repo, (int)getpid());
  char *folder = path ? strndup(path, (size_t)(strrchr(path, '/') - path)) : NULL;
  int code = path && fresh && folder ? make_folders(folder) : fail_memory();
  FILE *f = code ? NULL : fopen(fresh, "we");
  if (!code && !f) code = fail("%s: %s", fresh, strerror(errno));
  bool written = f && fputs(h->commit, f) >= 0;
  if (f && fclose(f) != 0) written = false;
  if (!code && (!written || rename(fresh, path) != 0)) code = fail("%s: %s", path, strerror(errno));
  free(folder);
  free(fresh);
  free(path);
  return code;
}

/* ---- Files ---- */

static void show(void *user, const blob *b) {
  progress *p = user;
  char stage[160];
  snprintf(stage, sizeof stage, "Fetching %s", b->name);
  progress_step(p, b->size > 0 ? (double)b->done / (double)b->size : 0, stage);
}

/* What the hub says of a file: its hash and size. */
static int ask_about_file(hub *h, const char *url, const char *file, web_answer *a) {
  bool whole = web_request(h->w, url, 0, NULL, NULL, a);
  if (signals_caught()) return signals_exit_status();
  bool ok = whole && ((a->status >= 200 && a->status < 400) || a->status == 416);
  if (!ok) return web_fail(a, file);
  if (!blob_etag_ok(a->etag)) return fail("%s: the hub states no hash that can be checked", file);
  if (a->size < 0) return fail("%s: the hub states no size", file);
  return 0;
}

static int fetch_file(hub *h, const char *file, const char *blobs, const char *locks) {
  char *url = text_printf("%s/%s/resolve/%s/%s", h->endpoint, h->name.repo, h->commit, file);
  web_answer a;
  int code = url ? ask_about_file(h, url, file, &a) : fail_memory();
  progress p;
  progress_start(&p, h->o);
  blob b = {.url = url,
            .name = file,
            .folder = blobs,
            .locks = locks,
            .etag = a.etag,
            .size = code ? 0 : a.size,
            .progress = show,
            .user = &p};
  if (!code) code = blob_fetch(h->w, &b);
  progress_end(&p);
  if (!code) code = link_blob(h, file, a.etag);
  if (!code) note(h->o, "%s: %s", file, about_bytes((uint64_t)b.size).text);
  free(url);
  return code;
}

static int fetch_files(hub *h) {
  char *blobs = text_printf("%s/blobs", h->repo), *snapshot = text_printf("%s/snapshots/%s", h->repo, h->commit);
  char *locks = text_printf("%s/.locks/%s", h->cache, h->name.folder);
  int code = blobs && snapshot && locks ? make_folders(blobs) : fail_memory();
  if (!code) code = make_folders(snapshot);
  if (!code) code = make_folders(locks);
  for (size_t i = 0; i < h->files.length && !code; i++)
    if (h->wanted[i]) code = fetch_file(h, h->files.items[i].name, blobs, locks);
  if (!code) code = write_ref(h);
  free(locks);
  free(snapshot);
  free(blobs);
  return code;
}

static int choose_files(hub *h) {
  h->wanted = calloc(h->files.length + 1, sizeof *h->wanted);
  if (!h->wanted) return fail_memory();
  if (choose_wanted(&h->files, h->name.tag, h->wanted)) return 0;
  return fail("%s: nothing there that is a model%s%s; GGUF files, config.json with safetensors, or params.json with "
              "consolidated safetensors are looked for",
              h->name.repo, h->name.tag ? " named " : "", h->name.tag ? h->name.tag : "");
}

static int open_hub(hub *h) {
  char *token = hub_token();
  h->rev = h->name.rev ? h->name.rev : "main";
  h->endpoint = hub_endpoint();
  h->cache = store_hf.root();
  h->repo = h->cache ? text_printf("%s/%s", h->cache, h->name.folder) : NULL;
  h->w = web_open(token, has_stopped);
  free(token);
  if (!h->cache) return fail("there is no home directory, and so no cache; HF_HUB_CACHE names one");
  return h->endpoint && h->repo && h->w ? 0 : fail_memory();
}

static void close_hub(hub *h) {
  web_close(&h->w);
  hf_name_free(&h->name);
  store_files_free(&h->files);
  free(h->endpoint);
  free(h->cache);
  free(h->repo);
  free(h->commit);
  free(h->wanted);
}

int hub_pull(const options *o, const char *name) {
  hub h = {.o = o};
  int code = 0;
  if (!store_name_ok(name, "@:") || !hf_name_read(name, &h.name))
    code = fail("'%s' is not hf:ORG/NAME[@REVISION][:TAG]", name);
  else if (is_offline())
    code = fail("HF_HUB_OFFLINE is set: nothing is fetched");
  if (!code) code = open_hub(&h);
  if (!code) code = ask_about(&h);
  if (!code) code = choose_files(&h);
  if (!code) code = fetch_files(&h);
  if (!code) note(o, "hf:%s is in %s/snapshots/%s", name, h.repo, h.commit);
  close_hub(&h);
  return code;
}
