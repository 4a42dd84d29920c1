/* How much of prompts a step may take on, so that the answers that stream don't wait long for their next token: learned
 * from what steps took. It decides when things are computed, never what comes out. */
#ifndef SCHEDULE_PACE_H
#define SCHEDULE_PACE_H

typedef struct pace {
  double most;      /* a step's time with prompts over that without; 0: no limit */
  double byte_time; /* seconds for a byte that a step of single tokens reads; 0: not known yet */
  double op_time;   /* seconds for an operation of prompts; 0: not known yet */
} pace;

/* How many operations of prompts fit into a step that reads so many bytes for single tokens; INFINITY if there is no
 * limit. */
double pace_room(const pace *p, double bytes);

/* A step took so long that read so many bytes for single tokens (0: it had none), and did so many operations of
 * prompts. */
void pace_note(pace *p, double bytes, double ops, double seconds);

#endif
