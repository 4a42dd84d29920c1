/* The text of generations with stop texts: of any ids, however often pieces are asked for, the content is that of the
 * same answer without stop texts up to the first of them to end, and all text is valid UTF-8. The first byte chooses
 * the template, the second the stop texts, and each further one a token: those below 32 are control tokens. */
#include "fuzz_bytes.h"

#include "base/utf8.h"
#include "json/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const STOPS[] = {"ab", "aab", "b\xC3\xA9", "}", "\n\n", "abaab", "\xEF\xBF\xBD"};
enum { N_STOPS = sizeof STOPS / sizeof *STOPS, RUN_ENDS = 1 }; /* what stands between runs of content */

/* Content, each run of it ended by a byte of its own. */
typedef struct told {
  byte_list content;
  gale_generation_result result;
} told;

static void take(gale_generation *g, told *to) {
  static const char END = RUN_ENDS;
  for (const gale_piece *p; (p = gale_generation_next(g));) {
    if (!utf8_valid(p->text, p->length)) abort();
    const byte_list *c = &to->content;
    if (p->kind == GALE_PIECE_CONTENT)
      bytes_add(&to->content, (slice){p->text, p->length});
    else if (c->n == 0 || c->bytes[c->n - 1] != END)
      bytes_add(&to->content, (slice){&END, 1});
  }
}

static told generate(const gale_tokenizer *t, const gale_generation_options *o, const uint8_t *data, size_t size,
                     size_t pull) {
  told to = {0};
  gale_generation *g;
  if (gale_generation_open(NULL, t, o, &g, NULL)) abort();
  for (size_t i = 0; i < size && !to.result.finish; i++) {
    bool control = data[i] < ' ' && data[i] != '\n' && data[i] < FUZZ_CONTROL;
    if (gale_generation_accept(g, control ? data[i] : FUZZ_CONTROL + data[i], NULL)) abort();
    if (i % pull == 0) take(g, &to);
    gale_generation_get_result(g, &to.result);
  }
  if (gale_generation_end(g, GALE_FINISH_CANCELLED, NULL)) abort();
  take(g, &to);
  gale_generation_get_result(g, &to.result);
  if (gale_generation_next(g) || !to.result.finish || to.content.failed) abort();
  gale_generation_close(&g);
  return to;
}

/* Where the first stop text to end begins in content, of those that end together the longest; n if there is none. */
static size_t find_stop(const byte_list *content, const char *const *stops, size_t n_stops, int *which) {
  *which = -1;
  for (size_t end = 1; end <= content->n; end++) {
    size_t longest = 0;
    for (size_t i = 0; i < n_stops; i++) {
      size_t length = strlen(stops[i]);
      if (length <= longest || length > end || memcmp(content->bytes + end - length, stops[i], length) != 0) continue;
      longest = length;
      *which = (int)i;
    }
    if (longest) return end - longest;
  }
  return content->n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *const *names = gale_chat_templates();
  size_t n_names = 0;
  while (names[n_names]) n_names++;
  if (size < 2) return 0;
  const gale_tokenizer *t = fuzz_bytes();
  gale_generation_options o;
  gale_generation_defaults(&o);
  o.form = data[0] % (n_names + 1) ? names[data[0] % (n_names + 1) - 1] : NULL;
  told whole = generate(t, &o, data + 2, size - 2, 1);
  o.stop = STOPS + data[1] % N_STOPS;
  o.n_stop = 1 + (size_t)(data[1] / N_STOPS) % (N_STOPS - data[1] % N_STOPS);
  for (size_t pull = 1; pull < 4; pull++) {
    int which;
    told stopped = generate(t, &o, data + 2, size - 2, pull);
    size_t expected = find_stop(&whole.content, o.stop, o.n_stop, &which);
    if (stopped.content.n != expected ||
        (expected && memcmp(stopped.content.bytes, whole.content.bytes, expected) != 0))
      abort();
    if ((stopped.result.finish == GALE_FINISH_STOP) != (which >= 0) || stopped.result.stop != which) abort();
    free(stopped.content.bytes);
  }
  free(whole.content.bytes);
  return 0;
}
