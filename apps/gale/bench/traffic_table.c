/* What gale bench --serve can measure. */
#include "gale/bench/traffic.h"

#include <stdio.h>

#define ASKED(n_clients, n_requests) .clients = (n_clients), .requests = (n_requests)
#define TOKENS(least, most, of_answer) .least_prompt = (least), .most_prompt = (most), .answer = (of_answer)

#define EDITED                                                                                                         \
  "The meeting began at nine in the morning in the large hall. Mrs Baker welcomed the members and read the minutes "   \
  "of "                                                                                                                \
  "the last meeting, which were accepted. Mr Cole then reported on the repair of the bridge over the river. The work " \
  "had begun in the second week of March and would be finished before the end of May. The costs had risen by two "     \
  "hundred pounds, because the timber of the eastern pier was found to be rotten. Miss Dale asked whether the road "   \
  "could be kept open in the meantime. Mr Cole answered that carts would have to use the ford until the planks had "   \
  "been laid. The members then spoke about the fair. It was agreed that it should be held on the first Saturday of "   \
  "June, on the meadow behind the mill, and that the school should have the day off. Mr Evans offered to bring the "   \
  "tables and the benches. The meeting ended at a quarter past eleven."

/* An answer that repeats most of its prompt, */
static const char editing[] =
    "Minutes of the meeting, as they were taken down:\n\n" EDITED
    "\n\nMinutes of the meeting, a clean copy with all names in capital letters:\n\n"
    "The meeting began at nine in the morning in the large hall. Mrs BAKER welcomed the members and read";
/* and one that repeats nothing. */
static const char prose[] = "The old lighthouse had stood empty for thirty years when, one evening in";

const traffic_mix traffic_mixes[] = {
    {"clients-1", "", ASKED(1, 4), TOKENS(200, 1000, 128), .cache = true},
    {"clients-4", "", ASKED(4, 8), TOKENS(200, 1000, 128), .cache = true},
    {"clients-8", "", ASKED(8, 16), TOKENS(200, 1000, 128), .cache = true},
    {"clients-32", "", ASKED(32, 32), TOKENS(200, 1000, 128), .cache = true},
    {"open", "closed", ASKED(8, 16), TOKENS(200, 1000, 128), .cache = true},
    {"open", "poisson", ARRIVE_POISSON, ASKED(8, 24), TOKENS(200, 1000, 128), .cache = true, .load = 0.7},
    {"running", "engine", ASKED(8, 8), TOKENS(32, 32, 128), .cache = true},
    {"running", "bare", ARRIVE_BARE, ASKED(8, 8), TOKENS(32, 32, 128)},
    {"long", "streams", ASKED(8, 8), TOKENS(32, 32, 4200), .cache = true, .late_prompt = 4000, .settled = 64},
    {"long", "alone", ASKED(1, 1), TOKENS(4000, 4000, 1)},
    {"again", "", ASKED(1, 2), TOKENS(4000, 4000, 4), .same = true, .cache = true},
    {"shared", "together", ASKED(8, 200), TOKENS(20, 60, 16), .prefix = 1500, .cache = true},
    {"shared", "alone", ASKED(1, 8), TOKENS(20, 60, 16), .prefix = 1500},
    {"editing", "drafts", ASKED(1, 2), .answer = 128, .text = editing, .speculate = 32},
    {"editing", "plain", ASKED(1, 2), .answer = 128, .text = editing},
    {"prose", "drafts", ASKED(1, 2), .answer = 256, .text = prose, .temperature = 0.8, .speculate = 32},
    {"prose", "plain", ASKED(1, 2), .answer = 256, .text = prose, .temperature = 0.8},
    {0},
};

/* 0 where there is nothing to compare with: answers can be over before all clients have asked. */
static double ratio(double a, double b) {
  return b > 0 ? a / b : 0;
}

static double over_bare(const traffic_run *parts) {
  return ratio(parts[0].steady_rate, parts[1].steady_rate);
}

static double slowest_over_median(const traffic_run *parts) {
  return ratio(series_percentile(&parts[0].during, 99), series_percentile(&parts[0].between, 50));
}

/* The time that the prompt takes alone, and the tokens that streamed meanwhile without it. */
static double over_one_by_one(const traffic_run *parts) {
  double streaming = ratio((double)parts[0].late_tokens, parts[0].steady_rate);
  return ratio(parts[1].first.items[0] + streaming, parts[0].late_seconds);
}

static double second_over_first(const traffic_run *parts) {
  return ratio(parts[0].first.items[1], parts[0].first.items[0]);
}

static double over_alone(const traffic_run *parts) {
  return ratio(parts[0].request_rate, parts[1].request_rate);
}

static double over_plain(const traffic_run *parts) {
  return ratio(parts[0].stream_rate, parts[1].stream_rate);
}

const traffic_comparison traffic_comparisons[] = {
    {"running", "over_bare", "tokens/s over those of bare steps", over_bare},
    {"long", "p99_over_median", "99th percentile between tokens while it is computed, over the median before",
     slowest_over_median},
    {"long", "throughput", "throughput meanwhile, over one after the other", over_one_by_one},
    {"again", "over_cold", "time to the first token, over the first time", second_over_first},
    {"shared", "over_alone", "requests/s over each alone without a cache", over_alone},
    {"editing", "over_plain", "tokens/s after the first, over those without drafts", over_plain},
    {"prose", "over_plain", "tokens/s after the first, over those without drafts", over_plain},
    {0},
};

void traffic_title(const traffic_mix *mix, char title[64]) {
  snprintf(title, 64, "%s%s%s", mix->scenario, *mix->part ? ", " : "", mix->part);
}
