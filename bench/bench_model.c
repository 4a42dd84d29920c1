/* Times prefill and decode of a model through the public interface and prints one JSON object.
 *
 *   bench_model [MODEL] [-t THREADS] [-p PROMPT_TOKENS] [-n DECODED_TOKENS] [-s SECONDS]
 *   bench_model --probe [-t THREADS]
 *
 * MODEL is whatever gale_model_open() takes, by default synthetic weights of SmolLM2-135M's shape in Q4_1.
 * Each test (none where its number of tokens is 0) is repeated from an empty sequence until SECONDS have
 * passed, at least three times, after a run that is not counted; the figures are tokens per second, one for
 * each repeat. --probe measures the machine instead: reading memory, and arithmetic in registers. Figures of
 * different programs compare only where the probes around them agree. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gale.h"

enum { MAX_THREADS = 256, MAX_REPEATS = 4096, MIN_REPEATS = 3 };

typedef struct settings {
  const char *model;
  int threads;
  int32_t n_prompt, n_decoded;
  double seconds;
  bool probe;
} settings;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *message) {
  fprintf(stderr, "bench_model: %s\n", message);
  exit(1);
}

/* ---- Probes ---- */

enum { PROBE_BYTES = 128 << 20, PROBE_LANES = 128, PROBE_ROUNDS = 400000 };

/* One thread's share of a probe: results keep the compiler from dropping the work. */
typedef struct share {
  const uint64_t *words;
  size_t n_words;
  uint64_t sum;
  float lanes[PROBE_LANES];
} share;

static void *read_memory(void *argument) {
  share *s = argument;
  uint64_t sums[32] = {0};
  for (size_t i = 0; i + 32 <= s->n_words; i += 32)
    for (size_t lane = 0; lane < 32; lane++) sums[lane] += s->words[i + lane];
  for (size_t lane = 0; lane < 32; lane++) s->sum += sums[lane];
  return NULL;
}

static void *multiply_and_add(void *argument) {
  share *s = argument;
  float lanes[PROBE_LANES];
  memcpy(lanes, s->lanes, sizeof lanes);
  for (int round = 0; round < PROBE_ROUNDS; round++)
    for (int lane = 0; lane < PROBE_LANES; lane++) lanes[lane] = lanes[lane] * 0.999f + 0.001f;
  memcpy(s->lanes, lanes, sizeof lanes);
  return NULL;
}

/* Seconds that the fastest of five runs of work on all threads takes. */
static double time_threads(void *(*work)(void *), share *shares, int threads) {
  double best = 1e9;
  for (int repeat = 0; repeat < 5; repeat++) {
    pthread_t ids[MAX_THREADS];
    double start = now();
    for (int t = 0; t < threads; t++)
      if (pthread_create(&ids[t], NULL, work, &shares[t])) die("cannot start a thread");
    for (int t = 0; t < threads; t++) pthread_join(ids[t], NULL);
    double seconds = now() - start;
    if (seconds < best) best = seconds;
  }
  return best;
}

static void probe(const settings *s) {
  uint64_t *words = aligned_alloc(4096, PROBE_BYTES);
  share *shares = calloc((size_t)s->threads, sizeof *shares);
  if (!words || !shares) die("out of memory");
  memset(words, 1, PROBE_BYTES);
  size_t each = PROBE_BYTES / sizeof *words / (size_t)s->threads;
  for (int t = 0; t < s->threads; t++) shares[t] = (share){.words = words + (size_t)t * each, .n_words = each};
  double reading = time_threads(read_memory, shares, s->threads);
  double arithmetic = time_threads(multiply_and_add, shares, s->threads);
  printf("{\"threads\": %d, \"read_gb_per_s\": %.2f, \"gflops\": %.2f}\n", s->threads, PROBE_BYTES / reading * 1e-9,
         2.0 * PROBE_LANES * PROBE_ROUNDS * s->threads / arithmetic * 1e-9);
  free(words);
  free(shares);
}

/* ---- Tests ---- */

static void check(gale_status status, const gale_error *error) {
  if (status != GALE_OK) die(error->message);
}

static int32_t *prompt_make(size_t n, int32_t vocab_size) {
  int32_t *ids = malloc((n > 0 ? n : 1) * sizeof *ids);
  if (!ids) die("out of memory");
  uint32_t state = 1;
  for (size_t i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    ids[i] = (int32_t)((state >> 8) % (uint32_t)vocab_size);
  }
  return ids;
}

static double prefill_once(gale_session *session, const int32_t *ids, int32_t n) {
  gale_error error = {0};
  int32_t sequence;
  check(gale_sequence_open(session, &sequence, &error), &error);
  double start = now();
  check(gale_prefill(session, sequence, ids, (size_t)n, NULL, NULL, &error), &error);
  double seconds = now() - start;
  check(gale_sequence_close(session, sequence, &error), &error);
  return n / seconds;
}

/* The tokens are given, not chosen: what a sampler costs is not the model's speed. */
static double decode_once(gale_session *session, const int32_t *ids, int32_t n) {
  gale_error error = {0};
  int32_t sequence;
  check(gale_sequence_open(session, &sequence, &error), &error);
  double start = now();
  for (int32_t i = 0; i < n; i++) {
    gale_input input = {sequence, &ids[i], 1, GALE_LOGITS_LAST};
    check(gale_step(session, &input, 1, &error), &error);
  }
  double seconds = now() - start;
  check(gale_sequence_close(session, sequence, &error), &error);
  return n / seconds;
}

static void repeat(const char *name, double (*once)(gale_session *, const int32_t *, int32_t), gale_session *session,
                   const int32_t *ids, int32_t n, double seconds) {
  printf(", \"%s\": [", name);
  if (n > 0) once(session, ids, n);
  double start = now();
  for (int i = 0; n > 0 && i < MAX_REPEATS && (i < MIN_REPEATS || now() - start < seconds); i++)
    printf("%s%.2f", i ? ", " : "", once(session, ids, n));
  printf("]");
}

static void run_tests(const settings *s) {
  gale_error error = {0};
  gale_model *model;
  gale_session *session;
  check(gale_model_open(s->model, NULL, &model, &error), &error);
  gale_session_options options;
  gale_session_defaults(&options);
  options.threads = s->threads;
  options.max_sequences = 1;
  int32_t longest = s->n_prompt > s->n_decoded ? s->n_prompt : s->n_decoded;
  options.context = longest > 1 ? longest : 1;
  check(gale_session_open(model, &options, &session, &error), &error);
  gale_model_info info;
  gale_model_get_info(model, &info);
  int32_t *ids = prompt_make((size_t)longest, info.vocab_size);
  printf("{\"cpu\": \"%s\", \"threads\": %d, \"prompt\": %d, \"decoded\": %d", info.cpu, s->threads, s->n_prompt,
         s->n_decoded);
  repeat("prefill", prefill_once, session, ids, s->n_prompt, s->seconds);
  repeat("decode", decode_once, session, ids, s->n_decoded, s->seconds);
  printf("}\n");
  free(ids);
  gale_session_close(&session);
  gale_model_close(&model);
}

static bool settings_read(settings *s, int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(word, "--probe") == 0) {
      s->probe = true;
    } else if (word[0] != '-') {
      s->model = word;
    } else if (!*value) {
      return false;
    } else {
      if (strcmp(word, "-t") == 0)
        s->threads = atoi(value);
      else if (strcmp(word, "-p") == 0)
        s->n_prompt = atoi(value);
      else if (strcmp(word, "-n") == 0)
        s->n_decoded = atoi(value);
      else if (strcmp(word, "-s") == 0)
        s->seconds = atof(value);
      else
        return false;
      i++;
    }
  }
  return s->threads >= 1 && s->threads <= MAX_THREADS && s->n_prompt >= 0 && s->n_decoded >= 0;
}

int main(int argc, char **argv) {
  settings s = {.model = "shape:smollm2-135m@q4_1", .threads = 2, .n_prompt = 512, .n_decoded = 64, .seconds = 5};
  if (!settings_read(&s, argc, argv)) {
    fprintf(stderr, "usage: bench_model [MODEL | --probe] [-t threads] [-p prompt] [-n decoded] [-s seconds]\n");
    return 2;
  }
  if (s.probe)
    probe(&s);
  else
    run_tests(&s);
  return 0;
}
