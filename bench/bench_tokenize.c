/* Speed of encoding on one thread: reads texts, divided by NUL bytes, and gives each to gale_tokenize(). Prints one
 * JSON object with the megabytes (10^6 bytes) of text per second of processor time in each round, the seconds that
 * loading took, and the number and a hash of the ids. bench/compare_tokenizers.py runs it beside other tokenizers. */
#include <gale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ROUNDS = 1000 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(gale_status status, const gale_error *error) {
  if (!status) return;
  fprintf(stderr, "bench_tokenize: %s\n", error->message);
  exit(1);
}

/* The whole file and a NUL. */
static char *read_file(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  long size = f && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
  char *bytes = size >= 0 ? malloc((size_t)size + 1) : NULL;
  if (!bytes || fseek(f, 0, SEEK_SET) != 0 || fread(bytes, 1, (size_t)size, f) != (size_t)size) {
    fprintf(stderr, "bench_tokenize: %s: cannot be read\n", path);
    exit(1);
  }
  fclose(f);
  bytes[size] = 0;
  *n = (size_t)size;
  return bytes;
}

typedef struct totals {
  size_t bytes, ids;
  uint64_t hash; /* of the ids, FNV-1a by ids; 0: not wanted */
} totals;

/* Encodes every text once. */
static totals encode_all(const gale_tokenizer *t, const char *texts, size_t n, bool hash) {
  totals sum = {.hash = hash ? UINT64_C(14695981039346656037) : 0};
  gale_error error = {0};
  for (size_t at = 0; at <= n;) {
    size_t length = strlen(texts + at), n_ids;
    int32_t *ids;
    check(gale_tokenize(t, texts + at, length, false, &ids, &n_ids, &error), &error);
    for (size_t i = 0; hash && i < n_ids; i++) sum.hash = (sum.hash ^ (uint32_t)ids[i]) * UINT64_C(1099511628211);
    sum.bytes += length;
    sum.ids += n_ids;
    gale_free(ids);
    at += length + 1;
  }
  return sum;
}

int main(int argc, char **argv) {
  if (argc == 1) {
    puts("bench_tokenize: needs a tokenizer and texts; bench/compare_tokenizers.py has both");
    return 0;
  }
  int rounds = argc == 4 ? atoi(argv[3]) : 3;
  if (argc < 3 || argc > 4 || rounds < 1 || rounds > MAX_ROUNDS) {
    fprintf(stderr, "usage: bench_tokenize TOKENIZER TEXTS [ROUNDS]\n");
    return 2;
  }
  size_t n;
  char *texts = read_file(argv[2], &n);
  gale_tokenizer *t;
  gale_error error = {0};
  double start = now();
  check(gale_tokenizer_open(argv[1], &t, &error), &error);
  printf("{\"load_seconds\": %.4f", now() - start);
  totals sum = encode_all(t, texts, n, true);
  printf(", \"bytes\": %zu, \"ids\": %zu, \"hash\": \"%016llx\", \"mb_per_s\": [", sum.bytes, sum.ids,
         (unsigned long long)sum.hash);
  for (int i = 0; i < rounds; i++) {
    start = now();
    encode_all(t, texts, n, false);
    printf("%s%.3f", i ? ", " : "", (double)sum.bytes / 1e6 / (now() - start));
  }
  puts("]}");
  gale_tokenizer_close(&t);
  free(texts);
  return 0;
}
