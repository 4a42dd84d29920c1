/* Times prefill and decode of a model through the public interface and prints one JSON object.
 *
 *   bench_model [MODEL] [-t THREADS] [-p PROMPT_TOKENS] [-n DECODED_TOKENS] [-s SECONDS] [-c CPU] [-k f32|f16|q8]
 *   bench_model [MODEL] --stretches CONTEXT [-t THREADS] [-c CPU] [-k f32|f16|q8]
 *   bench_model --probe | --probes [-t THREADS]
 *
 * MODEL is whatever gale_model_open() takes, by default synthetic weights of SmolLM2-135M's shape in Q4_1.
 * Each test (none where its number of tokens is 0) is repeated from an empty sequence until SECONDS have
 * passed, at least three times, after a run that is not counted; the figures are tokens per second, one for
 * each repeat. Every position is attended to, whatever the model's window. With --stretches the model stays open, and
 * each line of standard input asks for a test of as many seconds, `prefill TOKENS DEPTH SECONDS` or `decode TEXTS DEPTH
 * SECONDS`, that starts from sequences with DEPTH positions; the answer is an array of tokens per second on a line.
 * `uneven TEXTS DEPTH SECONDS` decodes sequences whose depths lie evenly between DEPTH / 128 and DEPTH; `decode` at the
 * mean of these reads and computes as much. No test there may have a depth and a prompt of more than CONTEXT tokens
 * together. --probe measures the machine instead: reading memory, and arithmetic in registers; --probes does so for
 * each line of standard input, with an object on a line for each. Figures of different programs compare only where the
 * probes around them agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gale_tools.h"

enum { MAX_THREADS = 256, MAX_REPEATS = 4096, MIN_REPEATS = 3, MAX_TEXTS = 64, DECODED = 8 };

typedef struct settings {
  const char *model, *cpu;
  gale_kv_type kv_type;
  int threads;
  int32_t n_prompt, n_decoded, context;
  double seconds;
  bool probe, each_line;
} settings;

/* One sequence gets n_tokens at once, or each of n_texts one token n_tokens times. depth: of the deepest sequence. */
typedef struct test {
  bool decode, uneven;
  int32_t n_tokens, n_texts, depth;
  double seconds;
} test;

typedef struct bench {
  gale_model *model;
  gale_session *session;
  gale_model_info info;
  int32_t *ids; /* [settings.context] */
} bench;

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

static void prefill(const bench *b, const test *t, const int32_t *sequences) {
  gale_error error = {0};
  check(gale_prefill(b->session, sequences[0], b->ids, (size_t)t->n_tokens, NULL, NULL, &error), &error);
}

/* The tokens are given, not chosen: what a sampler costs is not the model's speed. */
static void decode(const bench *b, const test *t, const int32_t *sequences) {
  gale_error error = {0};
  for (int32_t i = 0; i < t->n_tokens; i++) {
    gale_input inputs[MAX_TEXTS];
    for (int32_t k = 0; k < t->n_texts; k++) inputs[k] = (gale_input){sequences[k], &b->ids[i], 1, GALE_LOGITS_LAST};
    check(gale_step(b->session, inputs, (size_t)t->n_texts, &error), &error);
  }
}

static int32_t depth_of(const test *t, int32_t k) {
  int32_t least = t->uneven ? t->depth / 128 : t->depth;
  return t->n_texts > 1 ? least + (int32_t)((int64_t)(t->depth - least) * k / (t->n_texts - 1)) : t->depth;
}

/* Tokens per second. */
static double run_once(const bench *b, const test *t) {
  gale_error error = {0};
  int32_t sequences[MAX_TEXTS];
  for (int32_t k = 0; k < t->n_texts; k++) {
    check(gale_sequence_open(b->session, &sequences[k], &error), &error);
    int32_t depth = depth_of(t, k);
    if (depth > 0) check(gale_sequence_pretend(b->session, sequences[k], depth, &error), &error);
  }
  double start = now();
  (t->decode ? decode : prefill)(b, t, sequences);
  double seconds = now() - start;
  for (int32_t k = 0; k < t->n_texts; k++) check(gale_sequence_close(b->session, sequences[k], &error), &error);
  return t->n_tokens * t->n_texts / seconds;
}

static void print_repeats(const bench *b, const test *t, int least) {
  printf("[");
  double start = now();
  for (int i = 0; t->n_tokens > 0 && i < MAX_REPEATS && (i < least || now() - start < t->seconds); i++)
    printf("%s%.2f", i ? ", " : "", run_once(b, t));
  printf("]");
}

static void print_test(const bench *b, const test *t) {
  if (t->n_tokens > 0) run_once(b, t);
  print_repeats(b, t, MIN_REPEATS);
}

static bench bench_open(const settings *s) {
  gale_error error = {0};
  bench b;
  gale_model_options model;
  gale_model_defaults(&model);
  model.cpu = s->cpu;
  check(gale_model_open(s->model, &model, &b.model, &error), &error);
  gale_session_options options;
  gale_session_defaults(&options);
  options.threads = s->threads;
  options.max_sequences = s->each_line ? MAX_TEXTS : 1;
  options.context = s->context;
  options.kv_type = s->kv_type;
  options.window = GALE_WINDOW_NONE;
  check(gale_session_open(b.model, &options, &b.session, &error), &error);
  gale_model_get_info(b.model, &b.info);
  b.ids = prompt_make((size_t)s->context, b.info.vocab_size);
  return b;
}

static void bench_close(bench *b) {
  free(b->ids);
  gale_session_close(&b->session);
  gale_model_close(&b->model);
}

static void run_tests(const settings *s) {
  bench b = bench_open(s);
  printf("{\"cpu\": \"%s\", \"threads\": %d, \"prompt\": %d, \"decoded\": %d, \"prefill\": ", b.info.cpu, s->threads,
         s->n_prompt, s->n_decoded);
  print_test(&b, &(test){.n_tokens = s->n_prompt, .n_texts = 1, .seconds = s->seconds});
  printf(", \"decode\": ");
  print_test(&b, &(test){.decode = true, .n_tokens = s->n_decoded, .n_texts = 1, .seconds = s->seconds});
  printf("}\n");
  bench_close(&b);
}

static bool test_read(const char *line, int32_t context, test *t) {
  char kind[8];
  int32_t n;
  *t = (test){.n_tokens = DECODED, .n_texts = 1};
  if (sscanf(line, "%7s %d %d %lf", kind, &n, &t->depth, &t->seconds) != 4) return false;
  t->uneven = strcmp(kind, "uneven") == 0;
  t->decode = t->uneven || strcmp(kind, "decode") == 0;
  if (t->decode)
    t->n_texts = n;
  else if (strcmp(kind, "prefill") == 0)
    t->n_tokens = n;
  else
    return false;
  return n > 0 && t->n_texts <= MAX_TEXTS && t->depth >= 0 && t->n_tokens <= context - t->depth;
}

static void run_stretches(const settings *s) {
  bench b = bench_open(s);
  char line[128];
  while (fgets(line, sizeof line, stdin)) {
    test t;
    if (!test_read(line, s->context, &t)) die("no such test, or the context is too small");
    print_repeats(&b, &t, 1);
    printf("\n");
    fflush(stdout);
  }
  bench_close(&b);
}

static bool kv_type_read(const char *name, gale_kv_type *type) {
  static const char *const names[] = {[GALE_KV_F32] = "f32", [GALE_KV_F16] = "f16", [GALE_KV_Q8] = "q8"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(name, names[i]) == 0) return *type = (gale_kv_type)i, true;
  return false;
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
      else if (strcmp(word, "-c") == 0)
        s->cpu = value;
      else if (strcmp(word, "--stretches") == 0)
        s->each_line = true, s->context = atoi(value) + DECODED;
      else if (strcmp(word, "-k") != 0 || !kv_type_read(value, &s->kv_type))
        return false;
      i++;
    }
  }
  if (!s->each_line) s->context = s->n_prompt > s->n_decoded ? s->n_prompt : s->n_decoded;
  int32_t least = s->each_line ? MAX_TEXTS : 1; /* a step has at most as many tokens as the context */
  if (s->context < least) s->context = least;
  return s->threads >= 1 && s->threads <= MAX_THREADS && s->n_prompt >= 0 && s->n_decoded >= 0;
}

int main(int argc, char **argv) {
  settings s = {.model = "shape:smollm2-135m@q4_1",
                .kv_type = GALE_KV_F16,
                .threads = 2,
                .n_prompt = 512,
                .n_decoded = 64,
                .seconds = 5};
  if (!settings_read(&s, argc, argv)) {
    fprintf(
        stderr,
        "usage: bench_model [MODEL | --probe | --probes] [-t threads] [-p prompt] [-n decoded] [-s seconds] [-c cpu]\n"
        "                   [-k f32|f16|q8] [--stretches context]\n");
    return 2;
  }
  if (s.probe)
    probe(&s);
  else if (s.each_line)
    run_stretches(&s);
  else
    run_tests(&s);
  return 0;
}
