/* How gale perplexity shows its figures. */
#ifndef GALE_QUALITY_PERPLEXITY_REPORT_H
#define GALE_QUALITY_PERPLEXITY_REPORT_H

#include "gale/quality/divergence.h"
#include "gale/quality/passages.h"

typedef struct perplexity_report {
  const char *model, *base; /* names; base is NULL if there is none */
  const passages *passages;
  samples *samples; /* reporting sorts some of them */
} perplexity_report;

/* Text for people, or a JSON object, to standard output. Each returns 0 or an exit status. */
int perplexity_print(const perplexity_report *r);
int perplexity_print_json(const perplexity_report *r);

#endif
