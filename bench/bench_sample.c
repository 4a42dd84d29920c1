/* Time to choose one token from a row of logits, by vocabulary and settings, in microseconds of processor time: the
 * median of many. Rows are like a model's: most logits within some 20 of the largest, few near it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/random.h"
#include "engine/sampler.h"

enum { ROUNDS = 200, ROWS = 4 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static float make_logit(uint64_t row, uint64_t i) {
  double sum = 0;
  for (uint64_t j = 0; j < 6; j++) sum += (double)(random_at(row, 6 * i + j) >> 11) * 0x1p-53;
  bool likely = random_at(row + 99, i) % 4096 == 0;
  return (float)(3.5 * (sum - 3) + (likely ? 10 : 0));
}

static void check(gale_status status, const gale_error *error) {
  if (!status) return;
  fprintf(stderr, "bench_sample: %s\n", error->message);
  exit(1);
}

static double measure(const gale_sampler_options *o, int32_t n, const float *rows, sampler_scratch *scratch,
                      const uint32_t *mask) {
  sampler *s = NULL;
  gale_error error = {0};
  double times[ROUNDS];
  check(sampler_open(o, n, &s, &error), &error);
  for (int i = 0; i < ROUNDS; i++) {
    int32_t token;
    double start = now();
    check(sampler_choose(s, scratch, rows + (size_t)(i % ROWS) * (size_t)n, i, mask, &token, &error), &error);
    times[i] = (now() - start) * 1e6;
    check(sampler_accept(s, token, true, &error), &error);
  }
  sampler_close(&s);
  qsort(times, ROUNDS, sizeof *times, by_value);
  return times[ROUNDS / 2];
}

typedef struct setting {
  const char *name;
  gale_sampler_options o;
  bool masked;
} setting;

static gale_sampler_options off(void) {
  gale_sampler_options o;
  gale_sampler_defaults(&o);
  o.temperature = 1;
  o.top_k = 0;
  o.top_p = 1;
  o.min_p = 0;
  return o;
}

int main(void) {
  const char *names[] = {"greedy",     "defaults", "all off",      "top-p 0.95", "min-p 0.05",
                         "top-k 2000", "typical",  "sigma 1",      "mirostat 2", "penalties",
                         "DRY",        "mask",     "logprobs, 20", "top-p, hot"};
  enum { SETTINGS = sizeof names / sizeof *names };
  setting all[SETTINGS];
  for (int i = 0; i < SETTINGS; i++) all[i] = (setting){names[i], off(), i == 11};
  all[0].o.temperature = 0;
  gale_sampler_defaults(&all[1].o);
  all[3].o.top_p = 0.95;
  all[4].o.min_p = 0.05;
  all[5].o.top_k = 2000;
  all[6].o.typical_p = 0.9;
  all[7].o.top_n_sigma = 1;
  all[8].o.mirostat = 2;
  all[9].o.repeat_penalty = 1.1, all[9].o.presence_penalty = 0.5;
  all[10].o.dry_multiplier = 0.8;
  all[13].o.top_p = 0.95, all[13].o.temperature = 10;
  const int32_t sizes[] = {32000, 131072, 262144};
  printf("%-14s", "vocabulary");
  for (int v = 0; v < 3; v++) printf("%10d", sizes[v]);
  printf("\n");
  double us[SETTINGS][3];
  for (int v = 0; v < 3; v++) {
    size_t n = (size_t)sizes[v];
    float *rows = malloc(ROWS * n * sizeof *rows);
    uint32_t *mask = malloc(n / 32 * sizeof *mask);
    sampler_scratch *scratch = NULL;
    gale_error error = {0};
    check(sampler_scratch_open(sizes[v], NULL, &scratch, &error), &error);
    if (!rows || !mask) return 1;
    for (size_t r = 0; r < ROWS; r++)
      for (size_t i = 0; i < n; i++) rows[r * n + i] = make_logit(r, i);
    for (size_t i = 0; i < n / 32; i++) mask[i] = (uint32_t)random_at(7, i);
    for (int i = 0; i < SETTINGS; i++)
      us[i][v] = measure(&all[i].o, sizes[v], rows, scratch, all[i].masked ? mask : NULL);
    double start = now();
    for (int i = 0; i < ROUNDS; i++) {
      gale_logprob best[20], chosen = {.token = 5};
      size_t n_best;
      check(sampler_logprobs(scratch, rows, sizes[v], &chosen, 20, best, &n_best, &error), &error);
    }
    us[12][v] = (now() - start) * 1e6 / (double)ROUNDS;
    sampler_scratch_close(&scratch);
    free(rows);
    free(mask);
  }
  for (int i = 0; i < SETTINGS; i++) printf("%-14s%10.1f%10.1f%10.1f\n", all[i].name, us[i][0], us[i][1], us[i][2]);
  return 0;
}
