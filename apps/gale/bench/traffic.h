/* gale bench --serve: mixes of requests to an engine in this process, and their figures. */
#ifndef GALE_BENCH_TRAFFIC_H
#define GALE_BENCH_TRAFFIC_H

#include "gale/bench/bench.h"
#include "gale/bench/series.h"

typedef enum traffic_arrival {
  ARRIVE_CLOSED,  /* each client asks again when its answer is over */
  ARRIVE_POISSON, /* at random times, whether or not answers are over */
  ARRIVE_BARE,    /* nobody asks: steps of a session with a token of each text, without the engine */
} traffic_arrival;

/* One mix of requests. A scenario is what has the same name: its parts take turns, and its figures compare them.
 * Prompts are random tokens unless a text is given, answers are greedy unless a temperature is, and no answer ends
 * before its length. Sizes are tokens, as they are with --scale 1. */
typedef struct traffic_mix {
  const char *scenario, *part; /* part "": the scenario has no other */
  traffic_arrival arrival;
  int32_t clients;  /* requests at a time; of POISSON, the most that are computed together */
  int32_t requests; /* in all */
  int32_t least_prompt, most_prompt, answer;
  int32_t prefix; /* with which all prompts begin, beside that */
  bool same;      /* there is one prompt */
  bool cache;     /* what is computed of texts is kept for later ones */
  /* One more request, for one token, that comes when each client has had `settled` tokens. When it is answered, the
   * others are cancelled. 0: none. */
  int32_t late_prompt, settled;
  const char *text; /* the prompt; only for models with a tokenizer */
  double temperature;
  int32_t speculate; /* as in gale_generation_options */
  double load;       /* of POISSON: share of the requests a second of the part before that come, unless --rate says */
} traffic_mix;

/* One time that a mix was run. */
typedef struct traffic_run {
  double seconds;      /* from the first request to the last token */
  double token_rate;   /* of answers, a second */
  double request_rate; /* requests that were answered, a second */
  double steady_rate;  /* token_rate while all clients stream, before a late request; 0: never */
  double stream_rate;  /* tokens of an answer a second, after its first; 0: none has more */
  series first;        /* [requests] seconds to the first token, in the order in which they were asked */
  series between;      /* sorted: seconds between tokens of an answer, but for */
  series during;       /* those that end between a late request and its first token */
  double late_seconds; /* that were between those */
  int64_t late_tokens; /* and tokens of the other answers that came meanwhile */
  int64_t prompt_tokens, cached_tokens, answer_tokens;
  int64_t drafted, right; /* tokens that were computed on trial, and those of them that were right */
} traffic_run;

typedef struct traffic_result {
  int model;
  const traffic_mix *mix;
  int32_t requests;                                      /* of a run */
  double offered;                                        /* of POISSON: requests a second that came, of the last run */
  series token_rate, request_rate, stream_rate, seconds; /* a sample a run */
  series first, between, during;                         /* of all runs, sorted */
  int64_t prompt_tokens, cached_tokens, answer_tokens, drafted, right; /* of all runs */
} traffic_result;

/* How one mix of a scenario compares with another. */
typedef struct traffic_figure {
  int model;
  const struct traffic_comparison *is;
  series samples; /* a sample for each time that all parts were run */
} traffic_figure;

enum { MAX_PARTS = 2, MAX_TRAFFIC = 16 };

typedef struct traffic_report {
  const bench_report *bench; /* machine and models */
  traffic_result results[MAX_ARGUMENTS * MAX_TRAFFIC];
  size_t n_results;
  traffic_figure figures[MAX_ARGUMENTS * MAX_TRAFFIC];
  size_t n_figures;
} traffic_report;

/* ---- The table of mixes ---- */

extern const traffic_mix traffic_mixes[]; /* those of a scenario side by side; ended by one without a name */

/* What is computed of one turn of a scenario's parts. */
typedef struct traffic_comparison {
  const char *scenario, *name, *says;
  double (*of)(const traffic_run *parts);
} traffic_comparison;
extern const traffic_comparison traffic_comparisons[]; /* ended by one without a name */

/* "clients-8", "shared, alone" */
void traffic_title(const traffic_mix *mix, char title[64]);

/* ---- Running a mix ---- */

typedef struct traffic_setting {
  const options *o;
  const gale_model *model;
} traffic_setting;

/* A mix with what it needs, open for all its runs. */
typedef struct traffic_stage traffic_stage;

/* Each returns 0 or an exit status. */
int traffic_open(const traffic_setting *s, const traffic_mix *mix, traffic_stage **stage);
/* offered: of POISSON, requests that come a second. Runs of a stage are alike: the same prompts come in the same order,
 * and nothing is kept of the run before. */
int traffic_run_once(traffic_stage *stage, double offered, traffic_run *run);
void traffic_close(traffic_stage **stage);
void traffic_run_free(traffic_run *run);
int32_t traffic_requests(const traffic_stage *stage);

/* ---- The whole ---- */

/* Each returns 0 or an exit status. */
int traffic_check_usage(const options *o);
/* Measures the scenarios that the options name with each model, and prints; adds the models to the report. */
int traffic_bench(const options *o, bench_report *bench);

int traffic_print(const traffic_report *r, const options *o);
int traffic_plot(const traffic_report *r, const char *path);

#endif
