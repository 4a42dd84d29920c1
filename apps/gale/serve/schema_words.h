/* Keywords of JSON schemas that are refused in requests, since not all engines that speak these APIs enforce them: an
 * answer should not depend on whose server it is. */
#ifndef GALE_SERVE_SCHEMA_WORDS_H
#define GALE_SERVE_SCHEMA_WORDS_H

#include "gale/serve/fields.h"

/* Refuses the request for the first such keyword in the schema at this place. */
void schema_words_check(place schema);

#endif
