/* The figures of gale bench, for its ways of printing. */
#ifndef GALE_BENCH_BENCH_H
#define GALE_BENCH_BENCH_H

#include "gale/cli/options.h"
#include "gale_tools.h"

#include <jansson.h>

typedef enum bench_kind { BENCH_LOAD, BENCH_PREFILL, BENCH_DECODE } bench_kind;

/* What is measured: `tokens` of prompt, or as many decoded steps of `batch` texts, after `depth` positions. */
typedef struct bench_test {
  bench_kind kind;
  int32_t tokens, batch, depth;
  bool without_window; /* though the model has one and none is asked for */
  bool kept;           /* of loading: from packed weights that were kept */
} bench_test;

typedef struct bench_result {
  int model; /* index into bench_report.models */
  bench_test test;
  int32_t window;  /* in effect, in the layers that have one; 0: none */
  double *samples; /* [n_samples] tokens a second; of loading, seconds */
  size_t n_samples;
  double median;                   /* of those */
  double of_memory, of_arithmetic; /* shares of the time that reading and computing need at least; medians too */
  double of_sustained;             /* the larger of the two, at the sustained rates */
} bench_result;

typedef struct bench_model {
  const char *argument; /* as the user wrote it */
  char types[64];
  uint64_t packed_bytes;
} bench_model;

typedef struct bench_report {
  bench_model models[MAX_ARGUMENTS];
  int n_models;
  bench_result *results;
  size_t n_results;
  gale_limits *probes; /* in the order of time; the first comes before all tests */
  size_t n_probes;
  double probed;       /* when the last one ended, by seconds_now() */
  gale_limits limits;  /* the better of all probes in everything */
  gale_rates lowest;   /* the worst of their best passes */
  char processor[128]; /* as the system calls it, with its family */
} bench_report;

/* Adds a model, of which no more is known yet than its name. */
bench_model *bench_add_model(bench_report *b, const char *argument);
void bench_describe_model(bench_model *m, const gale_model_info *info);

/* The larger share; 0 for loading, which has no limit. */
double bench_of_limit(const bench_result *r);
bool bench_by_memory(const bench_result *r);

/* The first model's result of the same test, or NULL: none, or r itself. */
const bench_result *bench_first(const bench_report *b, const bench_result *r);
/* How many times faster r is than that. */
double bench_ratio(const bench_result *first, const bench_result *r);

/* "decode 64 x 4 at depth 8,192, no window" */
void bench_title(const bench_result *r, char title[96]);

/* The machine and its limits in one line. */
void bench_machine(const bench_report *b, char line[256]);
/* The same with the models, above a table. */
void bench_print_title(const bench_report *b, bool markdown);
json_t *bench_machine_json(const bench_report *b);
void bench_print_quoted(const char *text); /* as a field of CSV */
int bench_print_object(json_t *object);    /* and gives it back; NULL: making it failed */

/* Each returns 0 or an exit status. */
int bench_print_text(const bench_report *b);
int bench_print_markdown(const bench_report *b);
int bench_print_csv(const bench_report *b);
int bench_print_json(const bench_report *b);
int bench_plot(const bench_report *b, const char *path);

/* Measuring one test. */
typedef struct bench_setting {
  const options *o;
  const gale_model *model;
  gale_probe *probe;
  bench_report *report;
} bench_setting;

/* Runs a test, with the machine probed around each run unless it just was, and appends its result. */
int bench_measure(const bench_setting *s, const bench_test *test);
int bench_add_probe(bench_report *b, gale_probe *probe);
/* Room for one more result, or NULL after saying that there is none. */
bench_result *bench_add_result(bench_report *b);

#endif
