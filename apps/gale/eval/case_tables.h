/* Capital and small letters, as Python changes them. */
#ifndef GALE_EVAL_CASE_TABLES_H
#define GALE_EVAL_CASE_TABLES_H

#include <stdint.h>

/* Characters first, first + step ... last each become the one `by` further on. */
typedef struct case_run {
  uint32_t first, last, step;
  int32_t by;
} case_run;

/* A character that becomes several. */
typedef struct case_text {
  uint32_t c;
  const char *text; /* UTF-8 */
} case_text;

/* In ascending order; each ended by an entry of zeros. */
extern const case_run case_lower[], case_title[];
extern const case_text case_lower_longer[], case_title_longer[];

#endif
