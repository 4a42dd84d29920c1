#include "schedule/pace.h"

#include <math.h>

/* Until a step has told: 10 GB/s and 50 Gop/s, of a small machine. */
static const double BYTE_TIME = 1e-10, OP_TIME = 2e-11;

/* Weight of the last step in what is learned: other programs disturb single ones. */
static const double WEIGHT = 0.25;

/* Prompts count for so much of a step's time at least, which can be too little to be measured. */
static const double LEAST_PART = 1.0 / 16;

double pace_room(const pace *p, double bytes) {
  if (p->most == 0) return INFINITY;
  double alone = bytes * (p->byte_time > 0 ? p->byte_time : BYTE_TIME);
  return fmax(0, p->most - 1) * alone / (p->op_time > 0 ? p->op_time : OP_TIME);
}

static void learn(double *value, double now) {
  *value = *value > 0 ? *value + WEIGHT * (now - *value) : now;
}

void pace_note(pace *p, double bytes, double ops, double seconds) {
  if (ops == 0) {
    if (bytes > 0) learn(&p->byte_time, seconds / bytes);
    return;
  }
  double alone = bytes * (p->byte_time > 0 ? p->byte_time : BYTE_TIME);
  learn(&p->op_time, fmax(LEAST_PART * seconds, seconds - alone) / ops);
}
