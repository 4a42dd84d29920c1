/* Files of sequences: what is loaded is sound, and what is refused leaves the sequence empty. The first byte chooses
 * what the others are: the whole file; or what stands behind the pages of one, with the sums that a writer would give
 * it, so that more than the sums is tried, and how many pages there are. */
#include "fuzz_file.h"

#include "base/summed_file.h"
#include "engine/session.h"
#include "engine/state_key.h"
#include "gale_tools.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static gale_model *model;
static gale_session *session;
static uint64_t kind;
static const char directory[] = "/tmp";

/* A model, and a session whose sequences are loaded. */
static void open_once(void) {
  gale_session_options o;
  gale_model_options mo;
  if (model) return;
  gale_model_defaults(&mo);
  mo.threads = 1;
  gale_session_defaults(&o);
  o.threads = 1;
  o.context = 128;
  o.chunk = 16;
  if (gale_model_open("shape:tiny@q8_0", &mo, &model, NULL) || gale_session_open(model, &o, &session, NULL)) abort();
  memcpy(&kind, "Session", sizeof kind);
}

/* A file with so many pages and these words, with the right sums. */
static void write_file(const uint8_t *data, size_t size, int n_pages, char *path) {
  static char page[1 << 16];
  summed_writer w;
  const digest key = state_model(model);
  if (summed_create(&w, directory, "fuzz-", NULL)) abort();
  for (int i = 0; i < n_pages; i++)
    if (summed_put(&w, page, session->cache.page_bytes, NULL)) abort();
  if (summed_finish(&w, kind, &key, data, size, NULL)) abort();
  sprintf(path, "%s/fuzz-session-%d", directory, (int)getpid());
  if (fresh_commit(&w.file, path, NULL)) abort();
  summed_writer_close(&w);
}

/* What is loaded must be sound. */
static void load(const char *path) {
  int32_t *ids = NULL;
  char *text = NULL;
  size_t n_text = 0;
  int32_t sequence;
  if (gale_sequence_open(session, &sequence, NULL)) abort();
  gale_status status = gale_sequence_load(session, sequence, path, &ids, &text, &n_text, NULL);
  int32_t n = gale_sequence_length(session, sequence);
  if (status && (n != 0 || ids || text)) abort();
  if (!status && text[n_text] != 0) abort();
  for (int32_t i = 0; i < n; i++)
    if (ids[i] < 0 || ids[i] >= model->config.vocab_size) abort();
  gale_free(ids);
  gale_free(text);
  if (gale_sequence_close(session, sequence, NULL)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  memory_file m;
  open_once();
  if (size == 0) return 0;
  if (data[0] % 4 == 0) {
    if (!memory_file_open(&m, data + 1, size - 1)) return 0;
    load(m.path);
    memory_file_close(&m);
    return 0;
  }
  /* The layout's digest, which is part of the words, is put right: nobody guesses it. */
  uint8_t *words = malloc(size);
  const digest layout = state_layout(session);
  if (!words) return 0;
  memcpy(words, data + 1, size - 1);
  if (size - 1 >= sizeof layout && data[0] % 4 < 3) memcpy(words, &layout, sizeof layout);
  write_file(words, size - 1, data[0] / 4 % 4, path);
  load(path);
  unlink(path);
  free(words);
  return 0;
}
