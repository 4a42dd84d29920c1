/* An answer on standard output while it comes: content as it is, thinking and tool calls told apart by colour, or,
 * where there is none, by marks. */
#ifndef GALE_CHAT_DISPLAY_H
#define GALE_CHAT_DISPLAY_H

#include "gale.h"

typedef struct display {
  bool colour;
  gale_answer_kind kind; /* of what was written last */
  size_t calls;          /* that were begun */
  bool begun;            /* something was written */
  bool line_open;        /* the last byte was no newline */
} display;

void display_start(display *d);

/* Each returns false once standard output is lost. */

/* A piece of the answer; calls are those known by now. */
bool display_piece(display *d, const gale_answer_piece *piece, const gale_tool_call *calls, size_t n_calls);
/* Calls that no piece has shown, and the end of the last line. */
bool display_end(display *d, const gale_tool_call *calls, size_t n_calls);

#endif
