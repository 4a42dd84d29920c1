/* What is asked: the prompts of a mix. */
#ifndef GALE_BENCH_TRAFFIC_PROMPTS_H
#define GALE_BENCH_TRAFFIC_PROMPTS_H

#include "gale/bench/traffic.h"

typedef struct traffic_prompt {
  int32_t *tokens; /* [n] */
  int32_t n;
} traffic_prompt;

/* The mix with its sizes as --scale has them. */
traffic_mix traffic_scaled(const options *o, const traffic_mix *mix);

/* The prompts of a mix whose sizes are scaled, in the order in which they are asked, a late one last; the same ones for
 * equal seeds. Returns 0 or an exit status; *prompts is to be freed in any case. */
int traffic_make_prompts(const traffic_setting *s, const traffic_mix *mix, traffic_prompt **prompts, int32_t *n);
void traffic_free_prompts(traffic_prompt *prompts, int32_t n);

/* In (0, 1], evenly distributed. */
double traffic_draw_share(uint64_t *random);

#endif
