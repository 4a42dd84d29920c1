/* An answer on standard output while it comes: content as it is, thinking and tool calls told apart by colour, or,
 * where there is none, by what stands around them. */
#ifndef GALE_CHAT_DISPLAY_H
#define GALE_CHAT_DISPLAY_H

#include "gale.h"

typedef struct display {
  bool colour;
  gale_piece_kind kind; /* of what was written last; a call's name counts as arguments */
  bool begun;           /* something was written */
  bool line_open;       /* the last byte was no newline */
} display;

void display_start(display *d);

/* Each returns false once standard output is lost. */

bool display_piece(display *d, const gale_piece *piece);
/* The end of the last line. */
bool display_end(display *d);

#endif
