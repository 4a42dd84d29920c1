/* How much of prompts a step may take on, so that the answers that stream don't wait long for their next token: learned
 * from what steps took. It decides when things are computed, never what comes out. */
#ifndef SCHEDULE_PACE_H
#define SCHEDULE_PACE_H

#include "engine/drafting.h"

typedef struct pace {
  double most;        /* a step's time with prompts over that without; 0: no limit */
  step_times singles; /* of steps without prompts: seconds for a byte that they read */
  double op_time;     /* seconds for an operation of prompts; 0: not known yet */
} pace;

/* How many operations of prompts fit into a step that has n single tokens and drafts and reads so many bytes for them;
 * INFINITY if there is no limit. */
double pace_room(const pace *p, size_t n, double bytes);

/* A step took so long that had n single tokens and drafts, for which it read so many bytes, and did so many operations
 * of prompts. */
void pace_note(pace *p, size_t n, double bytes, double ops, double seconds);

#endif
