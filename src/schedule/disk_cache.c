#include "schedule/disk_cache.h"

#include "base/summed_file.h"
#include "base/thread.h"
#include "engine/state_key.h"
#include "schedule/request.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Of summed files. */
static const uint64_t page_kind = 0x65676150; /* "Page" */

enum { STACK = 1 << 18, PAGE_FACTS = 4096 };

/* Memory of pages that are to be written: at least so many bytes, and what two steps compute. */
enum { LEAST_QUEUED = 1 << 26 };

/* Later pages of a text count as used earlier by so many nanoseconds, so that they go first. */
enum { PAGE_AGE = 1000 };

/* How long disk_cache_wait() waits. */
static const double WAIT_SECONDS = 0.005;

/* What a file says about its sections: which page they are. */
typedef struct page_about {
  page_hash hash;
  int32_t index, window;
  int32_t ids[KV_PAGE];
} page_about;

/* A page to be written. */
struct page_job {
  page_job *next;
  page_about about;
  int64_t when;
  size_t bytes;
  char data[];
};

/* ---- Texts ---- */

static int64_t real_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

disk_text *disk_text_open(const disk_cache *d, const char *salt, const int32_t *ids) {
  disk_text *t = d->session ? calloc(1, sizeof *t) : NULL;
  if (!t) return NULL;
  const page_hash key = {{d->key.half[0], d->key.half[1]}};
  t->ids = ids;
  t->salt = page_store_hash(&d->store, &key, salt, strlen(salt));
  t->when = real_now();
  t->sequence = -1;
  t->doubted = INT32_MAX;
  atomic_init(&t->unwanted, false);
  return t;
}

void disk_text_close(disk_text *t) {
  if (!t) return;
  free(t->hashes);
  free(t);
}

/* Makes sure that the hashes of so many pages are known. False without memory. */
static bool hash_pages(const disk_cache *d, disk_text *t, int32_t n) {
  if (n > t->room) {
    int32_t room = n + n / 2 + 8;
    page_hash *more = realloc(t->hashes, (size_t)room * sizeof *more);
    if (!more) return false;
    t->hashes = more;
    t->room = room;
  }
  for (; t->n_hashes < n; t->n_hashes++) {
    const page_hash *before = t->n_hashes ? &t->hashes[t->n_hashes - 1] : &t->salt;
    t->hashes[t->n_hashes] =
        page_store_hash(&d->store, before, t->ids + (size_t)t->n_hashes * KV_PAGE, KV_PAGE * sizeof *t->ids);
  }
  return true;
}

static const cache_group *group(const disk_cache *d, int32_t i) {
  return &d->session->cache.groups[i];
}

/* Bytes of a page of all groups with the window of that one. */
static size_t page_bytes(const disk_cache *d, int32_t leader) {
  const cache *c = &d->session->cache;
  size_t n = 0;
  for (int32_t i = leader; i < c->n_groups; i++) n += c->groups[i].window == c->groups[leader].window;
  return n * c->page_bytes;
}

static bool touch(const disk_cache *d, const disk_text *t, int32_t page, int32_t leader) {
  char name[PAGE_NAME];
  page_store_name(name, &t->hashes[page], group(d, leader)->window);
  return page_store_touch(&d->store, name, t->when - (int64_t)page * PAGE_AGE);
}

/* ---- Finding ---- */

/* For each length, each group needs the pages from the first that its window reaches on. So it is enough to know how
 * many pages in a row there are before it. A window of 1 needs none, but nothing shows that the text was ever there. */
int32_t disk_cache_find(const disk_cache *d, disk_text *t, int32_t most) {
  const cache *c = &d->session->cache;
  int32_t n = most / KV_PAGE, found = 0;
  int32_t *row = calloc((size_t)c->n_groups, sizeof *row);
  if (!row || !hash_pages(d, t, n)) n = 0;
  for (int32_t page = 0; page < n; page++) {
    bool reaches = true, later = false;
    for (int32_t i = 0; i < c->n_groups; i++) {
      if (!session_leads(d->session, i)) continue;
      row[i] = touch(d, t, page, i) ? row[i] + 1 : 0;
      int32_t needed = page + 1 - cache_first_needed(&c->groups[i], (page + 1) * KV_PAGE);
      reaches = reaches && row[i] >= (needed > 0 ? needed : 1);
      later = later || (row[i] == 0 && c->groups[i].window == 0);
    }
    if (reaches) found = page + 1;
    if (later) break; /* a layer that sees all has a hole */
  }
  free(row);
  return found * KV_PAGE;
}

/* ---- Reading ---- */

/* Reads a page of a group, section by section. */
static gale_status read_page(const disk_cache *d, const summed_file *f, size_t *section, char *page, char *buffer,
                             gale_error *error) {
  const cache *c = &d->session->cache;
  for (size_t at = 0; at < c->page_bytes; (*section)++) {
    if (*section >= f->n_sections || f->sections[*section].bytes > c->page_bytes - at)
      return error_set(error, GALE_E_FORMAT, "%s: not the sections of a page", f->file.path);
    gale_status status = summed_read(f, *section, buffer, error);
    if (status) return status;
    c->device->ops->copy_page(c->device, page + at, buffer, (size_t)f->sections[*section].bytes);
    at += (size_t)f->sections[*section].bytes;
  }
  return GALE_OK;
}

static void fill_about(page_about *about, const disk_text *t, int32_t page, int32_t window) {
  *about = (page_about){.hash = t->hashes[page], .index = page, .window = window};
  memcpy(about->ids, t->ids + (size_t)page * KV_PAGE, sizeof about->ids);
}

static gale_status check_file(const disk_cache *d, const disk_text *t, int32_t page, int32_t window,
                              const summed_file *f, gale_error *error) {
  page_about about;
  fill_about(&about, t, page, window);
  if (memcmp(&f->key, &d->key, sizeof f->key) == 0 && f->about_bytes == sizeof about &&
      memcmp(f->about, &about, sizeof about) == 0)
    return GALE_OK;
  return error_set(error, GALE_E_FORMAT, "%s: another page than its name says", f->file.path);
}

/* A file that is damaged is of no use to anybody, nor is one that the user does not own alone. What cannot be read for
 * other reasons stays. */
static void remove_useless(disk_cache *d, const char *name, gale_status status) {
  struct stat st;
  if (status == GALE_E_IO && fstatat(d->store.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
      (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH)))
    status = GALE_E_FORMAT;
  if (status == GALE_E_FORMAT) page_store_remove(&d->store, name);
}

static bool read_file(disk_cache *d, disk_text *t, int32_t page, int32_t leader, char *buffer) {
  const cache *c = &d->session->cache;
  char name[PAGE_NAME];
  int32_t window = c->groups[leader].window;
  page_store_name(name, &t->hashes[page], window);
  char *path = path_join(d->store.directory, name);
  summed_file f = {.file.fd = -1};
  size_t section = 0;
  gale_error error;
  gale_status status = path ? summed_open(&f, path, true, page_kind, &error) : GALE_E_MEMORY;
  if (!status) status = check_file(d, t, page, window, &f, &error);
  for (int32_t i = leader; i < c->n_groups && !status; i++)
    if (c->groups[i].window == window)
      status = read_page(d, &f, &section, session_page(d->session, i, t->sequence, page), buffer, &error);
  summed_close(&f);
  free(path);
  if (status) remove_useless(d, name, status);
  return status == GALE_OK;
}

/* Has the system read ahead what comes next. */
static void announce(const disk_cache *d, const disk_text *t, int32_t page, int32_t leader) {
  char name[PAGE_NAME];
  page_store_name(name, &t->hashes[page], group(d, leader)->window);
  int fd = openat(d->store.fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return;
  posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
  close(fd);
}

/* Returns the page that could not be read; -1: all were, or are not wanted any more. */
static int32_t read_text(disk_cache *d, disk_text *t, char *buffer) {
  const gale_session *s = d->session;
  for (int32_t page = t->first; page < t->end; page++)
    for (int32_t i = 0; i < s->cache.n_groups; i++) {
      if (!session_leads(s, i) || !session_page(s, i, t->sequence, page)) continue;
      if (atomic_load(&t->unwanted)) return -1;
      if (page + 1 < t->end) announce(d, t, page + 1, i);
      if (!read_file(d, t, page, i, buffer)) return page;
    }
  return -1;
}

static void *reader_main(void *user) {
  disk_cache *d = user;
  char *buffer = malloc(CHECKSUM_MOST);
  pthread_mutex_lock(&d->lock);
  for (;;) {
    while (!d->texts && !d->closing) pthread_cond_wait(&d->work, &d->lock);
    disk_text *t = d->texts;
    if (!t) break;
    d->texts = t->next;
    if (!d->texts) d->last_text = &d->texts;
    d->current = t;
    pthread_mutex_unlock(&d->lock);
    int32_t failed = buffer ? read_text(d, t, buffer) : t->first;
    pthread_mutex_lock(&d->lock);
    t->failed = failed;
    t->reading = failed < 0 ? DISK_READ : DISK_FAILED;
    d->current = NULL;
    pthread_cond_broadcast(&d->done);
  }
  pthread_mutex_unlock(&d->lock);
  free(buffer);
  return NULL;
}

void disk_cache_read(disk_cache *d, disk_text *t, int32_t sequence, int32_t length) {
  t->sequence = sequence;
  t->first = gale_sequence_length(d->session, sequence) / KV_PAGE;
  t->end = length / KV_PAGE;
  t->next = NULL;
  atomic_store(&t->unwanted, false);
  pthread_mutex_lock(&d->lock);
  t->reading = DISK_READING;
  *d->last_text = t;
  d->last_text = &t->next;
  pthread_cond_broadcast(&d->work);
  pthread_mutex_unlock(&d->lock);
}

disk_reading disk_cache_state(disk_cache *d, const disk_text *t) {
  pthread_mutex_lock(&d->lock);
  disk_reading reading = t->reading;
  pthread_mutex_unlock(&d->lock);
  return reading;
}

/* Takes a text out of the queue, if it is there. */
static void leave_queue(disk_cache *d, const disk_text *t) {
  disk_text **at = &d->texts;
  while (*at && *at != t) at = &(*at)->next;
  if (!*at) return;
  *at = t->next;
  if (!*at) d->last_text = at;
}

void disk_cache_stop(disk_cache *d, disk_text *t) {
  atomic_store(&t->unwanted, true);
  pthread_mutex_lock(&d->lock);
  leave_queue(d, t);
  while (d->current == t) pthread_cond_wait(&d->done, &d->lock);
  t->reading = DISK_IDLE;
  pthread_mutex_unlock(&d->lock);
}

void disk_cache_wait(disk_cache *d) {
  int64_t until = time_after(time_now(), WAIT_SECONDS);
  pthread_mutex_lock(&d->lock);
  if (d->texts || d->current) time_wait(&d->done, &d->lock, until);
  pthread_mutex_unlock(&d->lock);
}

/* ---- Writing ---- */

static void write_job(disk_cache *d, const page_job *j) {
  const size_t facts = PAGE_FACTS + j->bytes / CHECKSUM_MOST * sizeof(summed_section);
  char name[PAGE_NAME];
  summed_writer w = {.file.fd = -1};
  page_store_name(name, &j->about.hash, j->about.window);
  size_t page = d->session->cache.page_bytes;
  gale_status status =
      page_store_create(&d->store, &w.file, j->bytes + facts + j->bytes / page * sizeof(summed_section), NULL);
  for (size_t at = 0; at < j->bytes && !status; at += page) status = summed_put(&w, j->data + at, page, NULL);
  if (!status) status = summed_finish(&w, page_kind, &d->key, &j->about, sizeof j->about, NULL);
  if (!status) page_store_commit(&d->store, &w.file, name, j->when, NULL);
  summed_writer_close(&w);
}

static void *writer_main(void *user) {
  disk_cache *d = user;
  pthread_mutex_lock(&d->lock);
  for (;;) {
    while (!d->jobs && !d->closing) pthread_cond_wait(&d->work, &d->lock);
    page_job *j = d->jobs;
    if (!j) break;
    d->jobs = j->next;
    if (!d->jobs) d->last_job = &d->jobs;
    pthread_mutex_unlock(&d->lock);
    write_job(d, j);
    pthread_mutex_lock(&d->lock);
    j->next = d->spare;
    d->spare = j;
  }
  pthread_mutex_unlock(&d->lock);
  return NULL;
}

/* Memory for a page: that of one that was written, or more as far as the bound goes. NULL: there is none. */
static page_job *take_job(disk_cache *d, size_t bytes) {
  pthread_mutex_lock(&d->lock);
  page_job **at = &d->spare, *j;
  while (*at && (*at)->bytes != bytes) at = &(*at)->next;
  if ((j = *at)) *at = j->next;
  while (!j && d->spare && d->queued + bytes > d->most_queued) {
    page_job *other = d->spare;
    d->spare = other->next;
    d->queued -= other->bytes;
    free(other);
  }
  if (!j && d->queued + bytes <= d->most_queued && (j = malloc(sizeof *j + bytes))) {
    j->bytes = bytes;
    d->queued += bytes;
  }
  pthread_mutex_unlock(&d->lock);
  return j;
}

static void add_job(disk_cache *d, page_job *j) {
  j->next = NULL;
  pthread_mutex_lock(&d->lock);
  *d->last_job = j;
  d->last_job = &j->next;
  pthread_cond_broadcast(&d->work);
  pthread_mutex_unlock(&d->lock);
}

/* False: there is no memory for it at the moment. */
static bool save_page(disk_cache *d, const disk_text *t, int32_t sequence, int32_t page, int32_t leader) {
  const cache *c = &d->session->cache;
  if (!session_page(d->session, leader, sequence, page)) return true;
  if (page < t->doubted && touch(d, t, page, leader)) return true;
  page_job *j = take_job(d, page_bytes(d, leader));
  if (!j) return false;
  fill_about(&j->about, t, page, c->groups[leader].window);
  j->when = t->when - (int64_t)page * PAGE_AGE;
  char *to = j->data;
  for (int32_t i = leader; i < c->n_groups; i++) {
    if (c->groups[i].window != c->groups[leader].window) continue;
    c->device->ops->copy_page(c->device, to, session_page(d->session, i, sequence, page), c->page_bytes);
    to += c->page_bytes;
  }
  add_job(d, j);
  return true;
}

void disk_cache_save(disk_cache *d, disk_text *t, int32_t sequence, int32_t n, int32_t most) {
  if (!hash_pages(d, t, n / KV_PAGE)) return;
  for (; t->saved < n / KV_PAGE && most > 0; t->saved++, most--)
    for (int32_t i = 0; i < d->session->cache.n_groups; i++)
      if (session_leads(d->session, i) && !save_page(d, t, sequence, t->saved, i)) return;
}

/* ---- Opening ---- */

/* The key of all files: model and layout. */
static digest key_of(const gale_session *s) {
  digest key = {0}, model = state_model(s->model), layout = state_layout(s);
  digest_add(&key, &model, sizeof model);
  digest_add(&key, &layout, sizeof layout);
  return key;
}

gale_status disk_cache_open(disk_cache *d, gale_session *session, const char *directory, uint64_t limit,
                            gale_error *error) {
  gale_status status = page_store_open(&d->store, directory, limit, error);
  if (status) return status;
  d->session = session;
  d->key = key_of(session);
  size_t pages = (size_t)session->options.chunk / KV_PAGE + 2;
  for (int32_t i = 0; i < session->cache.n_groups; i++) d->most_queued += 2 * pages * session->cache.page_bytes;
  if (d->most_queued < LEAST_QUEUED) d->most_queued = LEAST_QUEUED;
  d->last_job = &d->jobs;
  d->last_text = &d->texts;
  pthread_mutex_init(&d->lock, NULL);
  time_condition(&d->work);
  time_condition(&d->done);
  status = thread_start(&d->writer, STACK, writer_main, d, error);
  d->writes = !status;
  if (!status) status = thread_start(&d->reader, STACK, reader_main, d, error);
  d->reads = !status;
  return status;
}

void disk_cache_close(disk_cache *d) {
  if (!d->session) return;
  pthread_mutex_lock(&d->lock);
  d->closing = true;
  pthread_cond_broadcast(&d->work);
  pthread_mutex_unlock(&d->lock);
  if (d->writes) pthread_join(d->writer, NULL);
  if (d->reads) pthread_join(d->reader, NULL);
  for (page_job *j = d->spare, *next; j; j = next) {
    next = j->next;
    free(j);
  }
  page_store_close(&d->store);
  pthread_cond_destroy(&d->work);
  pthread_cond_destroy(&d->done);
  pthread_mutex_destroy(&d->lock);
  d->session = NULL;
}
