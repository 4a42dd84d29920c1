/* Speed of reading JSON on one thread: gale's reader, and jansson, which it is tested against. bench_json FILE...
 * prints for each file the best of 7 rounds in milliseconds of processor time, without and with giving the tree back.
 * A file safetensors:MEGABYTES, tokenizer:MEGABYTES or tekken:MEGABYTES is made up: a header, or a vocabulary, of that
 * size (10^6 bytes). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "json/value.h"

enum { ROUNDS = 7, LONGEST_LINE = 256 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

typedef struct timing {
  double read, whole;
} timing;

static timing read_ours(const char *text, size_t n) {
  arena memory = {0};
  value *root;
  value_report report;
  const value_form form = {.flags = VALUE_NO_NUL_KEY, .depth = 64};
  double start = now();
  if (value_read(&memory, (slice){text, n}, form, &root, &report)) {
    fprintf(stderr, "bench_json: byte %zu: %s\n", report.at, report.why);
    exit(1);
  }
  double read = now() - start;
  arena_free(&memory);
  return (timing){read, now() - start};
}

static timing read_jansson(const char *text, size_t n) {
  json_error_t why;
  double start = now();
  json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
  if (!root) {
    fprintf(stderr, "bench_json: byte %d: %s\n", why.position, why.text);
    exit(1);
  }
  double read = now() - start;
  json_decref(root);
  return (timing){read, now() - start};
}

static void measure(const char *name, const char *text, size_t n) {
  timing (*const readers[])(const char *, size_t) = {read_ours, read_jansson};
  printf("%s, %.1f MB:", name, 1e-6 * (double)n);
  for (int k = 0; k < 2; k++) {
    timing best = {1e30, 1e30};
    for (int i = 0; i < ROUNDS; i++) {
      timing t = readers[k](text, n);
      if (t.read < best.read) best.read = t.read;
      if (t.whole < best.whole) best.whole = t.whole;
    }
    printf(" %s %.1f ms (%.1f ms with freeing)%s", k ? "jansson" : "gale", best.read, best.whole, k ? "\n" : ",");
  }
}

static size_t write_line(const char *kind, size_t i, char to[LONGEST_LINE]) {
  const char *format =
      strcmp(kind, "safetensors") == 0
          ? "%s\"model.layers.%zu.mlp.experts.gate_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[4096,14336],"
            "\"data_offsets\":[%zu,%zu]}"
      : strcmp(kind, "tekken") == 0
          ? "%s{\"rank\": %zu, \"token_bytes\": \"aGVsbG8gd2%08zx\", \"token_str\": \"hello \xC3\xA9t\xC3\xA9 %zu\"}"
          : "%s\"\xC4\xA0token%zu\": %zu";
  return (size_t)snprintf(to, LONGEST_LINE, format, i ? ",\n" : "", i, i * 117440512, (i + 1) * 117440512);
}

static char *make_up(const char *kind, size_t size, size_t *n) {
  bool list = strcmp(kind, "tekken") == 0;
  char *text = malloc(size + LONGEST_LINE);
  if (!text) exit(1);
  *n = (size_t)sprintf(text, list ? "{\"vocab\": [" : "{");
  for (size_t i = 0; *n < size; i++) *n += write_line(kind, i, text + *n);
  *n += (size_t)sprintf(text + *n, list ? "]}" : "}");
  return text;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: bench_json FILE|safetensors:MB|tokenizer:MB|tekken:MB...\n");
    return 2;
  }
  for (int i = 1; i < argc; i++) {
    char *text = NULL, kind[16];
    size_t n = 0, megabytes;
    gale_error error = {0};
    if (sscanf(argv[i], "%15[a-z]:%zu", kind, &megabytes) == 2 && megabytes <= 1000) {
      text = make_up(kind, megabytes * 1000000, &n);
    } else if (file_load(argv[i], UINT32_MAX, &text, &n, &error)) {
      fprintf(stderr, "bench_json: %s\n", error.message);
      return 1;
    }
    measure(argv[i], text, n);
    free(text);
  }
  return 0;
}
