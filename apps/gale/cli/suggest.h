/* "Did you mean": the nearest known word. */
#ifndef GALE_CLI_SUGGEST_H
#define GALE_CLI_SUGGEST_H

/* The one of words (ended by NULL) that is nearest to word, or NULL if none is near enough to have
 * been meant. */
const char *suggest(const char *word, const char *const *words);

#endif
