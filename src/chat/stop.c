#include "chat/stop.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* One text and how much of it the stream now ends with. */
typedef struct stop_text {
  const char *bytes;
  size_t length, matched;
  size_t *border; /* [i]: the longest proper prefix of bytes[0 .. i] that is also its suffix */
} stop_text;

struct stop_matcher {
  stop_text *texts; /* [n], in the matcher's memory like all that they point at */
  size_t n;
  int stopped; /* the text that was found, or -1 */
  char *held;  /* n_held bytes that may yet become a stop text, behind n_given that were given out */
  size_t n_given, n_held, capacity;
};

static void find_borders(stop_text *s) {
  size_t k = 0;
  s->border[0] = 0;
  for (size_t i = 1; i < s->length; i++) {
    while (k > 0 && s->bytes[i] != s->bytes[k]) k = s->border[k - 1];
    if (s->bytes[i] == s->bytes[k]) k++;
    s->border[i] = k;
  }
}

/* Checks the texts and adds up their lengths. */
static gale_status measure(const char *const *texts, size_t n, size_t *total, gale_error *error) {
  *total = 0;
  for (size_t i = 0; i < n; i++) {
    size_t length = strlen(texts[i]);
    if (length == 0) return error_set(error, GALE_E_ARGUMENT, "a stop text is empty");
    if (!utf8_valid(texts[i], length)) return error_set(error, GALE_E_ARGUMENT, "a stop text is not valid UTF-8");
    if (length > SIZE_MAX / 32 - *total) return error_memory(error, UINT64_MAX);
    *total += length;
  }
  return n > SIZE_MAX / 4 / sizeof(stop_text) ? error_memory(error, UINT64_MAX) : GALE_OK;
}

gale_status stop_open(const char *const *texts, size_t n, stop_matcher **matcher, gale_error *error) {
  size_t total;
  gale_status status = measure(texts, n, &total, error);
  if (status) return status;
  size_t bytes = sizeof(stop_matcher) + n * sizeof(stop_text) + total * (sizeof(size_t) + 1);
  stop_matcher *m = calloc(1, bytes);
  if (!m) return error_memory(error, bytes);
  m->texts = (stop_text *)(m + 1);
  m->n = n;
  m->stopped = -1;
  size_t *border = (size_t *)(m->texts + n);
  char *to = (char *)(border + total);
  for (size_t i = 0; i < n; i++) {
    stop_text *s = &m->texts[i];
    *s = (stop_text){.bytes = to, .length = strlen(texts[i]), .border = border};
    memcpy(to, texts[i], s->length);
    find_borders(s);
    to += s->length;
    border += s->length;
  }
  *matcher = m;
  return GALE_OK;
}

void stop_close(stop_matcher **matcher) {
  if (!matcher || !*matcher) return;
  free((*matcher)->held);
  free(*matcher);
  *matcher = NULL;
}

/* Moves all texts on by a byte. Returns the longest that is now complete, or -1. */
static int advance(stop_matcher *m, char byte) {
  size_t complete = 0;
  int found = -1;
  for (size_t i = 0; i < m->n; i++) {
    stop_text *s = &m->texts[i];
    while (s->matched > 0 && s->bytes[s->matched] != byte) s->matched = s->border[s->matched - 1];
    if (s->bytes[s->matched] == byte) s->matched++;
    if (s->matched == s->length && s->length > complete) {
      complete = s->length;
      found = (int)i;
    }
  }
  return found;
}

gale_status stop_push(stop_matcher *matcher, const char *text, size_t length, const char **out, size_t *out_length,
                      int *stopped, gale_error *error) {
  stop_matcher *m = matcher;
  if (length > SIZE_MAX / 4 - m->n_held) return error_memory(error, UINT64_MAX);
  if (m->n_held + length > m->capacity) {
    size_t capacity = 2 * (m->n_held + length);
    char *held = malloc(capacity);
    if (!held) return error_memory(error, capacity);
    if (m->n_held) memcpy(held, m->held + m->n_given, m->n_held);
    free(m->held);
    m->held = held;
    m->capacity = capacity;
  } else if (m->n_held) {
    memmove(m->held, m->held + m->n_given, m->n_held);
  }
  m->n_given = 0;
  bool before = m->stopped >= 0;
  size_t total = m->n_held;
  for (size_t i = 0; i < length && m->stopped < 0; i++) {
    m->held[total++] = text[i];
    m->stopped = advance(m, text[i]);
  }
  size_t hold = 0;
  for (size_t i = 0; i < m->n; i++)
    if (m->texts[i].matched > hold) hold = m->texts[i].matched;
  bool found = m->stopped >= 0;
  m->n_given = before ? 0 : found ? total - m->texts[m->stopped].length : total - hold;
  m->n_held = found ? 0 : hold;
  *out = m->held ? m->held : "";
  *out_length = m->n_given;
  *stopped = m->stopped;
  return GALE_OK;
}

void stop_finish(stop_matcher *matcher, const char **out, size_t *out_length) {
  *out = matcher->held ? matcher->held + matcher->n_given : "";
  *out_length = matcher->n_held;
  matcher->n_held = 0;
  matcher->n_given = 0;
  matcher->stopped = -1;
  for (size_t i = 0; i < matcher->n; i++) matcher->texts[i].matched = 0;
}
