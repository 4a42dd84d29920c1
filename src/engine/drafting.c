#include "engine/drafting.h"

/* Until steps of different sizes were measured, each token of a step is taken to add this much to the time of one. */
#define TOKEN_SHARE 0.15
/* Drafts must be worth so much more than none: measured times are uncertain. */
#define LEAST_GAIN 1.05
/* A single step can be held up by other programs. */
#define MOST_CHANGE 2.0

/* Steps after which a size is forgotten, and how many of a size are tried before it is known: other programs make
 * single ones longer, never shorter. */
enum { FORGOTTEN = 512, TRIALS = 3 };

/* ---- Times ---- */

static double known(const step_times *t, size_t n) {
  bool is = n >= 1 && n <= STEP_TIMES && t->of[n].n == TRIALS && t->clock - t->of[n].noted < FORGOTTEN;
  return is ? t->of[n].time : 0;
}

static double guess(size_t n) {
  return 1 + TOKEN_SHARE * (double)(n - 1);
}

/* On the line between the nearest sizes that are known, or beyond the first and the last of them. */
double step_times_expect(const step_times *t, size_t n) {
  size_t below = n < STEP_TIMES ? n : STEP_TIMES, above = n + 1, first = 1;
  while (below > 0 && known(t, below) == 0) below--;
  while (above <= STEP_TIMES && known(t, above) == 0) above++;
  if (below == 0 && above > STEP_TIMES) return n <= STEP_TIMES ? t->of[n].time : 0;
  if (below == n) return known(t, n);
  if (below == 0) return known(t, above) * guess(n) / guess(above);
  double time = known(t, below);
  if (above <= STEP_TIMES) return time + (known(t, above) - time) * (double)(n - below) / (double)(above - below);
  while (known(t, first) == 0) first++;
  if (first == below) return time * guess(n) / guess(below);
  double more = (time - known(t, first)) / (double)(below - first);
  return time + (more > 0 ? more : 0) * (double)(n - below);
}

void step_times_note(step_times *t, size_t n, double time) {
  t->clock++;
  if (n > STEP_TIMES || !(time > 0)) return;
  step_time *of = &t->of[n];
  if (t->clock - of->noted >= FORGOTTEN) *of = (step_time){0};
  double expected = of->n < TRIALS ? step_times_expect(t, n) : 0;
  of->noted = t->clock;
  if (time > MOST_CHANGE * of->time && of->n > 0) time = MOST_CHANGE * of->time;
  if (of->n == 0 || (of->n < TRIALS && time < of->time))
    of->time = time;
  else if (of->n >= TRIALS)
    of->time += (time - of->time) / 8;
  if (of->n < TRIALS) of->n = time <= expected ? TRIALS : of->n + 1;
}

/* ---- Sizes ---- */

/* Sizes are tried from the smallest up: one is a candidate when half of it, or more, is known. */
static bool is_candidate(const step_times *t, size_t base, size_t total) {
  if (total == 1) return true;
  for (size_t n = base + total / 2; n <= STEP_TIMES; n++)
    if (known(t, n) > 0) return true;
  return false;
}

static void clear(draft_outlook *drafts, size_t n_drafts) {
  for (size_t i = 0; i < n_drafts; i++) {
    drafts[i].n = 0;
    drafts[i].next = drafts[i].right;
  }
}

/* Gives a token to the draft whose next one is the likeliest to be right. Returns how likely that is; 0: none has a
 * further one. */
static double grow_likeliest(draft_outlook *drafts, size_t n_drafts) {
  draft_outlook *best = NULL;
  for (size_t i = 0; i < n_drafts; i++)
    if (drafts[i].n < drafts[i].most && (!best || drafts[i].next > best->next)) best = &drafts[i];
  if (!best) return 0;
  double likely = best->next;
  best->n++;
  best->next *= best->right;
  return likely;
}

/* What drafting takes before the step. */
static double time_before(const draft_outlook *drafts, size_t n_drafts) {
  double most = 0;
  for (size_t i = 0; i < n_drafts; i++)
    if ((double)drafts[i].n * drafts[i].round > most) most = (double)drafts[i].n * drafts[i].round;
  return most;
}

void drafts_choose(const step_times *t, size_t base, size_t room, draft_outlook *drafts, size_t n_drafts) {
  double plain = known(t, base), tokens = (double)base, best = LEAST_GAIN;
  size_t size = 0;
  clear(drafts, n_drafts);
  if (plain == 0) return;
  for (size_t total = 1; total <= room && base + total <= STEP_TIMES; total++) {
    double likely = grow_likeliest(drafts, n_drafts);
    if (likely == 0) break;
    tokens += likely;
    if (total & (total - 1)) continue;
    if (!is_candidate(t, base, total)) break;
    double gain = tokens / (double)base * plain / (step_times_expect(t, base + total) + time_before(drafts, n_drafts));
    if (gain <= best) continue;
    best = gain;
    size = total;
  }
  clear(drafts, n_drafts);
  while (size-- > 0) grow_likeliest(drafts, n_drafts);
}
