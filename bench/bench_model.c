/* Times prefill and decode of a model through the public interface and prints one JSON object.
 *
 *   bench_model [MODEL] [-t THREADS] [-p PROMPT_TOKENS] [-n DECODED_TOKENS] [-s SECONDS]
 *   bench_model --probe | --probes [-t THREADS]
 *
 * MODEL is whatever gale_model_open() takes, by default synthetic weights of SmolLM2-135M's shape in Q4_1.
 * Each test (none where its number of tokens is 0) is repeated from an empty sequence until SECONDS have
 * passed, at least three times, after a run that is not counted; the figures are tokens per second, one for
 * each repeat. --probe measures the machine instead: reading memory, and arithmetic in registers; --probes does so
 * for each line of standard input, with an object on a line for each. Figures of different programs compare only
 * where the probes around them agree. */
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
  bool probe, each_line;
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

static void print_rates(const gale_rates *r) {
  printf("\"read_bytes_per_second\": %.6g, \"int8_ops_per_second\": %.6g, \"float_ops_per_second\": %.6g",
         r->read_bytes_per_second, r->int8_ops_per_second, r->float_ops_per_second);
}

static void probe(const settings *s) {
  gale_error error = {0};
  gale_probe_options options;
  gale_probe_defaults(&options);
  options.threads = s->threads;
  gale_probe *machine;
  gale_limits l;
  if (gale_probe_open(&options, &machine, &error)) die(error.message);
  char line[64];
  do {
    if (s->each_line && !fgets(line, sizeof line, stdin)) break;
    gale_probe_run(machine, &l);
    printf("{\"cpu\": \"%s\", \"threads\": %d, ", l.cpu, l.threads);
    print_rates(&l.best);
    printf(", \"sustained\": {");
    print_rates(&l.sustained);
    printf("}}\n");
    fflush(stdout);
  } while (s->each_line);
  gale_probe_close(&machine);
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
    } else if (strcmp(word, "--probes") == 0) {
      s->probe = s->each_line = true;
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
    fprintf(stderr,
            "usage: bench_model [MODEL | --probe | --probes] [-t threads] [-p prompt] [-n decoded] [-s seconds]\n");
    return 2;
  }
  if (s.probe)
    probe(&s);
  else
    run_tests(&s);
  return 0;
}
