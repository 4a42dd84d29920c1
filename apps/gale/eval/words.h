/* Operations on text as Python does them, since published prompts were made by it. Texts are valid UTF-8. */
#ifndef GALE_EVAL_WORDS_H
#define GALE_EVAL_WORDS_H

#include "json/value.h"

/* str.strip(), and str.rstrip() alone. */
slice words_strip(slice text);
slice words_strip_end(slice text);

/* len(): code points. */
size_t words_length(slice text);

/* Appends str.capitalize(). */
void words_capitalize(byte_list *to, slice text);

/* HellaSwag's cleaning: stripped; " [title]" becomes ". "; what stands in brackets on one line goes; each two blanks
 * become one, in one pass. The result is in memory; s NULL when out of it. */
slice words_clean(arena *memory, slice text);

/* A copy in memory; s NULL when out of it. */
slice words_keep(arena *memory, slice text);

#endif
