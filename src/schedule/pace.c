#include "schedule/pace.h"

#include <math.h>

/* Until a step has told: 10 GB/s and 50 Gop/s, of a small machine. */
static const double BYTE_TIME = 1e-10, OP_TIME = 2e-11;

/* Weight of the last step in what is learned: other programs disturb single ones. */
static const double WEIGHT = 0.25;

/* Prompts count for so much of a step's time at least, which can be too little to be measured. */
static const double LEAST_PART = 1.0 / 16;

/* Seconds of the step without prompts. */
static double alone(const pace *p, size_t n, double bytes) {
  if (n == 0) return 0;
  double byte_time = step_times_expect(&p->singles, n);
  return bytes * (byte_time > 0 ? byte_time : BYTE_TIME);
}

double pace_room(const pace *p, size_t n, double bytes) {
  if (p->most == 0) return INFINITY;
  return fmax(0, p->most - 1) * alone(p, n, bytes) / (p->op_time > 0 ? p->op_time : OP_TIME);
}

void pace_note(pace *p, size_t n, double bytes, double ops, double seconds) {
  if (ops == 0) {
    step_times_note(&p->singles, n, seconds / bytes);
    return;
  }
  double now = fmax(LEAST_PART * seconds, seconds - alone(p, n, bytes)) / ops;
  p->op_time = p->op_time > 0 ? p->op_time + WEIGHT * (now - p->op_time) : now;
}
