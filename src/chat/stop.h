/* Stop texts: finds the first of several texts in a stream of text, and gives out everything that
 * cannot belong to one. */
#ifndef CHAT_STOP_H
#define CHAT_STOP_H

#include "base/error.h"

typedef struct stop_matcher stop_matcher;

/* texts: n of them, NUL-terminated UTF-8, none empty; n may be 0. GALE_E_ARGUMENT otherwise. */
gale_status stop_open(const char *const *texts, size_t n, stop_matcher **matcher, gale_error *error);
void stop_close(stop_matcher **matcher);

/* Adds the next bytes of the text. *out points at *out_length bytes that are sure: not part of a stop text, nor of
 * what may become one; valid until the next call. *stopped becomes the index of the stop text that
 * has ended in these bytes or before (of those that end first, the longest), or -1; *out is then what stood in front of
 * it, and everything behind it is dropped, also from later calls. Time: linear in the length, for each text. */
gale_status stop_push(stop_matcher *matcher, const char *text, size_t length, const char **out, size_t *out_length,
                      int *stopped, gale_error *error);

/* What is held back at the end of the stream; the matcher is then as new. */
void stop_finish(stop_matcher *matcher, const char **out, size_t *out_length);

#endif
