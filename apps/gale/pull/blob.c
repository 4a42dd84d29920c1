#include "gale/pull/blob.h"

#include "gale/cli/units.h"
#include "gale/stores/files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { SHA256_DIGITS = 64, SHA1_DIGITS = 40, MOST_ATTEMPTS = 5, COPY_BYTES = 1 << 20 };

bool blob_etag_ok(const char *etag) {
  size_t n = strspn(etag, "0123456789abcdef");
  return !etag[n] && (n == SHA256_DIGITS || n == SHA1_DIGITS);
}

int web_fail(const web_answer *a, const char *what) {
  switch (a->status) {
  case 0:
    return fail("%s: %s", what, a->why);
  case 401:
    return fail("%s: the hub wants a token: set HF_TOKEN, or check the one that is set (401)", what);
  case 403:
    return fail("%s: no access: its terms may have to be accepted on the hub, or the token lacks the right (403)",
                what);
  case 404:
    return fail("%s: there is no such repository, revision or file (404)", what);
  case 429:
    if (a->retry_after >= 0)
      return fail("%s: too many requests; try again in %lld s (429)", what, (long long)a->retry_after);
    return fail("%s: too many requests; try again later (429)", what);
  default:
    return fail("%s: the hub answers with status %ld%s%s", what, a->status, *a->why ? ": " : "", a->why);
  }
}

/* ---- A file that grows, and its hash ---- */

typedef struct growing {
  blob *b;
  int fd;
  EVP_MD_CTX *hash;
  bool fresh; /* nothing has come yet of the answer to the last request */
  int reason; /* errno of a failed write; 0: none */
} growing;

static bool hash_start(growing *g) {
  const blob *b = g->b;
  bool git = strlen(b->etag) == SHA1_DIGITS;
  if (!EVP_DigestInit_ex(g->hash, git ? EVP_sha1() : EVP_sha256(), NULL)) return false;
  char head[40];
  int n = git ? snprintf(head, sizeof head, "blob %lld", (long long)b->size) + 1 : 0;
  return EVP_DigestUpdate(g->hash, head, (size_t)n);
}

/* Hashes what is there already. */
static bool hash_file(growing *g) {
  char *bytes = malloc(COPY_BYTES);
  ssize_t n = bytes ? 1 : -1;
  g->b->done = 0;
  bool good = bytes && hash_start(g) && lseek(g->fd, 0, SEEK_SET) == 0;
  while (good && (n = read(g->fd, bytes, COPY_BYTES)) > 0) {
    EVP_DigestUpdate(g->hash, bytes, (size_t)n);
    g->b->done += n;
  }
  free(bytes);
  return good && n == 0;
}

static bool hash_matches(growing *g) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  if (!EVP_DigestFinal_ex(g->hash, digest, &n) || 2 * (size_t)n != strlen(g->b->etag)) return false;
  for (unsigned i = 0; i < n; i++) {
    char hex[3];
    snprintf(hex, sizeof hex, "%02x", digest[i]);
    if (memcmp(hex, g->b->etag + 2 * (size_t)i, 2) != 0) return false;
  }
  return true;
}

static bool begin_anew(growing *g) {
  return ftruncate(g->fd, 0) == 0 && hash_file(g);
}

static bool take(void *user, const web_answer *answer, const char *bytes, size_t n) {
  growing *g = user;
  blob *b = g->b;
  if (answer->status != 200 && answer->status != 206) return true;
  if (g->fresh && answer->status == 206 && answer->begins != b->done) return false;
  /* A hub that knows no parts sends all of the file again. */
  if (g->fresh && answer->status == 200 && b->done > 0 && !begin_anew(g)) return false;
  g->fresh = false;
  if (b->size >= 0 && b->done + (int64_t)n > b->size) return false;
  for (size_t done = 0; done < n;) {
    ssize_t wrote = write(g->fd, bytes + done, n - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      g->reason = wrote ? errno : ENOSPC;
      return false;
    }
    done += (size_t)wrote;
  }
  EVP_DigestUpdate(g->hash, bytes, n);
  b->done += (int64_t)n;
  if (b->progress) b->progress(b->user, b);
  return true;
}

/* ---- Fetching ---- */

/* One request for what is missing. *again: what came was cut short, and asking again may help. */
static int fetch_rest(web *w, growing *g, bool *again) {
  blob *b = g->b;
  web_answer a;
  int64_t before = b->done;
  g->fresh = true;
  bool whole = web_request(w, b->url, b->done, take, g, &a);
  *again = false;
  if (g->reason) return fail("%s/%s.incomplete: %s", b->folder, b->etag, strerror(g->reason));
  if (signals_caught()) return signals_exit_status();
  bool ok = a.status == 200 || a.status == 206;
  if (whole && !ok && a.status != 416) return web_fail(&a, b->name);
  if (a.status == 416 && !begin_anew(g)) return fail("%s/%s.incomplete: %s", b->folder, b->etag, strerror(errno));
  if (whole && ok && (b->size < 0 || b->done == b->size)) return 0;
  *again = true;
  if (b->done > before) return 0;
  return whole || !a.status ? web_fail(&a, b->name)
                            : fail("%s: %s", b->name, *a.why ? a.why : "the answer is not what was asked for");
}

/* Asks until all is there; as long as something comes, without end. */
static int fetch_all(web *w, growing *g) {
  blob *b = g->b;
  bool again = b->size < 0 || b->done < b->size;
  int code = 0;
  for (int attempt = 0; again && attempt < MOST_ATTEMPTS; attempt++) {
    int64_t before = b->done;
    code = fetch_rest(w, g, &again);
    if (code || signals_caught()) return code;
    if (b->done > before) attempt = 0;
  }
  return again ? fail("%s: only %s of %s came; to go on, run this again", b->name, about_bytes((uint64_t)b->done).text,
                      about_bytes((uint64_t)b->size).text)
               : code;
}

static int finish(growing *g, const char *partial, const char *path) {
  if (!hash_matches(g)) {
    unlink(partial);
    return fail("%s: what came does not have the hash that the hub states, %s; it was removed", g->b->name, g->b->etag);
  }
  if (fsync(g->fd) != 0 || rename(partial, path) != 0) return fail("%s: %s", path, strerror(errno));
  return 0;
}

static int fetch_locked(web *w, growing *g, const char *partial, const char *path) {
  g->fd = open(partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (g->fd < 0) return fail("%s: %s", partial, strerror(errno));
  if (!hash_file(g)) return fail("%s: %s", partial, strerror(errno));
  if (g->b->size >= 0 && g->b->done > g->b->size && !begin_anew(g)) return fail("%s: %s", partial, strerror(errno));
  int code = fetch_all(w, g);
  return code ? code : finish(g, partial, path);
}

int blob_fetch(web *w, blob *b) {
  char *path = text_printf("%s/%s", b->folder, b->etag), *partial = text_printf("%s/%s.incomplete", b->folder, b->etag);
  char *lock_path = text_printf("%s/%s.lock", b->locks, b->etag);
  growing g = {.b = b, .fd = -1, .hash = EVP_MD_CTX_new()};
  int code = 0, lock = -1;
  if (!path || !partial || !lock_path || !g.hash) {
    code = fail_memory();
  } else {
    /* Of two pulls at once one fetches, and the other finds what it fetched. */
    lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (lock < 0 || flock(lock, LOCK_EX) != 0) code = fail("%s: %s", lock_path, strerror(errno));
    if (!code && file_size(path) < 0) code = fetch_locked(w, &g, partial, path);
  }
  if (g.fd >= 0) close(g.fd);
  if (lock >= 0) close(lock);
  EVP_MD_CTX_free(g.hash);
  free(lock_path);
  free(partial);
  free(path);
  return code;
}
