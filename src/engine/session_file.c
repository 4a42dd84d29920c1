/* Sequences in files: their ids, the pages of their cache, and a text of the caller's. */
#include "base/summed_file.h"
#include "engine/session_pages.h"
#include "engine/state_key.h"
#include "gale_tools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of summed files. */
static const uint64_t session_kind = 0x6E6F6973736553; /* "Session" */

/* What stands before ids and text. The file's key is the model's. */
typedef struct saved_about {
  digest layout;
  int32_t kv_type, window; /* as the session was asked for, for people */
  uint64_t n_ids, n_text;
} saved_about;

static const char *const kv_names[] = {[GALE_KV_F16] = "f16", [GALE_KV_F32] = "f32", [GALE_KV_Q8] = "q8"};

/* The pages that a sequence of that length needs, of a group. */
static int32_t first_page(const gale_session *s, int32_t group, size_t length) {
  return cache_first_needed(&s->cache.groups[group], (int32_t)length);
}

static int32_t end_page(size_t length) {
  return (int32_t)((length + KV_PAGE - 1) / KV_PAGE);
}

/* ---- Saving ---- */

static gale_status put_pages(const gale_session *s, int32_t sequence, size_t length, summed_writer *w,
                             gale_error *error) {
  gale_status status = GALE_OK;
  for (int32_t g = 0; g < s->cache.n_groups; g++)
    for (int32_t page = first_page(s, g, length); page < end_page(length) && !status; page++)
      status = summed_put(w, session_page(s, g, sequence, page), s->cache.page_bytes, error);
  return status;
}

static gale_status put_about(const gale_session *s, const int32_t *ids, const char *text, const saved_about *about,
                             summed_writer *w, gale_error *error) {
  size_t ids_bytes = (size_t)about->n_ids * sizeof *ids, n = sizeof *about + ids_bytes + (size_t)about->n_text;
  char *all = malloc(n);
  if (!all) return error_memory(error, n);
  memcpy(all, about, sizeof *about);
  if (ids_bytes) memcpy(all + sizeof *about, ids, ids_bytes);
  if (about->n_text) memcpy(all + sizeof *about + ids_bytes, text, (size_t)about->n_text);
  const digest model = state_model(s->model);
  gale_status status = summed_finish(w, session_kind, &model, all, n, error);
  free(all);
  return status;
}

/* The directory of a path, for the caller to free. */
static char *directory_of(const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return strdup(".");
  return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static gale_status write_file(const gale_session *s, int32_t sequence, const int32_t *ids, const char *text,
                              const saved_about *about, const char *path, gale_error *error) {
  summed_writer w = {.file.fd = -1};
  char *directory = directory_of(path);
  gale_status status = directory ? summed_create(&w, directory, ".gale-session-", error) : error_memory(error, 1);
  if (!status) status = put_pages(s, sequence, (size_t)about->n_ids, &w, error);
  if (!status) status = put_about(s, ids, text, about, &w, error);
  if (!status && fsync(w.file.fd) != 0) status = error_set(error, GALE_E_IO, "%s: %s", path, strerror(errno));
  if (!status) status = fresh_commit(&w.file, path, error);
  summed_writer_close(&w);
  free(directory);
  return status;
}

gale_status gale_sequence_save(const gale_session *session, int32_t sequence, const int32_t *ids, const char *text,
                               size_t n_text, const char *path, gale_error *error) {
  struct stat st;
  gale_status status = session_check(session, sequence, error);
  if (status) return status;
  if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
    return error_set(error, GALE_E_IO, "%s: not a regular file, which a session is kept in", path);
  const saved_about about = {.layout = state_layout(session),
                             .kv_type = session->options.kv_type,
                             .window = session->options.window,
                             .n_ids = (uint64_t)session->length[sequence],
                             .n_text = n_text};
  return write_file(session, sequence, ids, text, &about, path, error);
}

/* ---- Loading ---- */

/* Reads what stands before the ids, and checks all but the pages. */
static gale_status read_about(const gale_session *s, const summed_file *f, saved_about *about, gale_error *error) {
  const char *path = f->file.path;
  const digest model = state_model(s->model), layout = state_layout(s);
  if (f->about_bytes < sizeof *about) return error_set(error, GALE_E_FORMAT, "%s: damaged: it is too short", path);
  memcpy(about, f->about, sizeof *about);
  size_t left = f->about_bytes - sizeof *about;
  if (about->n_ids > left / sizeof(int32_t) || about->n_text != left - about->n_ids * sizeof(int32_t))
    return error_set(error, GALE_E_FORMAT, "%s: damaged: %llu ids and %llu bytes of text in %zu bytes", path,
                     (unsigned long long)about->n_ids, (unsigned long long)about->n_text, left);
  if (memcmp(&f->key, &model, sizeof model) != 0)
    return error_set(error, GALE_E_FORMAT, "%s: a session with another model, or with other weights of it", path);
  if (about->kv_type != (int32_t)s->options.kv_type && about->kv_type >= 0 && about->kv_type <= GALE_KV_Q8)
    return error_set(error, GALE_E_FORMAT, "%s: its cache is of type %s, and this session's of %s", path,
                     kv_names[about->kv_type], kv_names[s->options.kv_type]);
  if (memcmp(&about->layout, &layout, sizeof layout) != 0)
    return error_set(error, GALE_E_FORMAT,
                     "%s: a session with other windows, with a context that they reach over, or of a version of gale "
                     "that computes otherwise",
                     path);
  if (about->n_ids > (uint64_t)s->options.context)
    return error_set(error, GALE_E_CONTEXT, "%s: its %llu tokens exceed the context of %d", path,
                     (unsigned long long)about->n_ids, s->options.context);
  return GALE_OK;
}

static gale_status check_ids(const gale_session *s, const char *path, const int32_t *ids, size_t n, gale_error *error) {
  for (size_t i = 0; i < n; i++)
    if (ids[i] < 0 || ids[i] >= s->model->config.vocab_size)
      return error_set(error, GALE_E_FORMAT, "%s: damaged: token %zu is %d: 0 to %d is accepted", path, i, ids[i],
                       s->model->config.vocab_size - 1);
  return GALE_OK;
}

/* Reads all pages to memory of their own, and then to the sequence's. */
static gale_status take_pages(gale_session *s, int32_t sequence, size_t length, const summed_file *f,
                              gale_error *error) {
  const cache *c = &s->cache;
  char *page = malloc(c->page_bytes);
  if (!page) return error_memory(error, c->page_bytes);
  size_t section = 0;
  gale_status status = GALE_OK;
  for (int32_t g = 0; g < c->n_groups; g++)
    for (int32_t i = first_page(s, g, length); i < end_page(length) && !status; i++) {
      status = summed_take(f, &section, page, c->page_bytes, error);
      if (!status) c->device->ops->copy_page(c->device, session_page(s, g, sequence, i), page, c->page_bytes);
    }
  free(page);
  if (!status && section != f->n_sections)
    status = error_set(error, GALE_E_FORMAT, "%s: damaged: it has more pages than ids", f->file.path);
  return status;
}

/* Fills the sequence, which stays empty on failure. */
static gale_status fill(gale_session *s, int32_t sequence, const int32_t *ids, size_t n, const summed_file *f,
                        gale_error *error) {
  gale_status status = check_ids(s, f->file.path, ids, n, error);
  if (status) return status;
  if (!session_reserve(s, sequence, (int32_t)n))
    return error_set(error, GALE_E_CONTEXT, "%s: too few of the session's pages are free for its %zu tokens",
                     f->file.path, n);
  status = take_pages(s, sequence, n, f, error);
  if (status)
    session_give_up(s, sequence);
  else
    session_restored(s, sequence, (int32_t)n);
  return status;
}

gale_status gale_sequence_load(gale_session *session, int32_t sequence, const char *path, int32_t **ids, char **text,
                               size_t *n_text, gale_error *error) {
  gale_status status = session_check(session, sequence, error);
  if (status) return status;
  if (session->length[sequence] > 0)
    return error_set(error, GALE_E_ARGUMENT, "sequence %d has %d tokens: an empty one is accepted", sequence,
                     session->length[sequence]);
  summed_file f;
  saved_about about;
  status = summed_open(&f, path, false, session_kind, error);
  if (status) return status;
  status = read_about(session, &f, &about, error);
  size_t bytes = status ? 0 : (size_t)about.n_ids * sizeof **ids;
  int32_t *own_ids = status ? NULL : malloc(bytes + 1);
  char *own_text = status ? NULL : malloc((size_t)about.n_text + 1);
  if (!status && (!own_ids || !own_text)) status = error_memory(error, bytes + about.n_text);
  if (!status) {
    memcpy(own_ids, f.about + sizeof about, bytes);
    memcpy(own_text, f.about + sizeof about + bytes, (size_t)about.n_text);
    own_text[about.n_text] = 0;
    status = fill(session, sequence, own_ids, (size_t)about.n_ids, &f, error);
  }
  summed_close(&f);
  if (status) {
    free(own_ids);
    free(own_text);
    return status;
  }
  *ids = own_ids;
  *text = own_text;
  *n_text = (size_t)about.n_text;
  return GALE_OK;
}
