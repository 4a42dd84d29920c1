/* What comes of the rows that a step gave: tokens of answers, log-probabilities of prompts, embeddings. Of each place
 * of a text one row is used, once, in their order: answering.row is the next. */
#ifndef SCHEDULE_ROWS_H
#define SCHEDULE_ROWS_H

#include "schedule/request.h"

/* How many tokens of its text have to be computed. */
int32_t rows_goal(const answering *a);

/* Which rows of the text's tokens first .. first + n - 1 are wanted. */
gale_logits_wanted rows_wanted(const answering *a, int32_t first, int32_t n);

/* Puts a draft of n tokens behind the text, which goes on as it did without; the first *fit of them can be computed. */
gale_status rows_draft(answering *a, size_t n, size_t *fit, gale_error *error);

/* Uses the rows that the session's last step gave the answer, and tells the owner what came of it. */
gale_status rows_use(answering *a, gale_session *session, gale_error *error);

#endif
