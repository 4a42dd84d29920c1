#include "schedule/schedule.h"

#include "base/error.h"
#include "engine/generation.h"
#include "gale_tools.h"
#include "schedule/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A common beginning that is shorter is computed again, rather than waited for. */
enum { LEAST_SHARED = KV_PAGE };

/* So many tokens of prompts are in a step in any case, so that they get done. */
enum { LEAST_OF_PROMPTS = 8 };

gale_status scheduler_open(scheduler *s, gale_session *session, const scheduler_options *options, gale_error *error) {
  int32_t chunk = session->options.chunk;
  s->session = session;
  s->pace.most = options->slowdown;
  s->most_running = options->most_running < chunk ? options->most_running : chunk;
  s->inputs = calloc((size_t)s->most_running, sizeof *s->inputs);
  s->of = calloc((size_t)s->most_running, sizeof *s->of);
  s->kept_back = calloc((size_t)s->most_running, sizeof *s->kept_back);
  atomic_init(&s->queued_requests, 0);
  atomic_init(&s->queued_tokens, 0);
  s->marks = malloc((size_t)session->cache.n_pages * sizeof *s->marks);
  s->drafts = calloc((size_t)s->most_running, sizeof *s->drafts);
  s->outlooks = calloc((size_t)s->most_running, sizeof *s->outlooks);
  s->wanted = calloc((size_t)s->most_running, sizeof *s->wanted);
  s->fit = calloc((size_t)s->most_running, sizeof *s->fit);
  if (!s->inputs || !s->of || !s->kept_back || !s->marks || !s->drafts || !s->outlooks || !s->wanted || !s->fit)
    return error_memory(error, (size_t)s->most_running * sizeof *s->inputs);
  gale_status status = prefix_cache_open(&s->prefixes, session, options->most_kept, error);
  if (status || !options->cache_dir) return status;
  return disk_cache_open(&s->disk, session, options->cache_dir, options->cache_limit, error);
}

void scheduler_close(scheduler *s) {
  disk_cache_close(&s->disk);
  prefix_cache_close(&s->prefixes);
  gale_session_close(&s->session);
  free(s->inputs);
  free(s->of);
  free(s->drafts);
  free(s->outlooks);
  free(s->wanted);
  free(s->fit);
  draft_model_close(&s->drafting);
  free(s->marks);
  free(s->kept_back);
}

/* ---- Pages ---- */

/* The most pages that a sequence holds while it grows to a length, one token at a time or in chunks. */
static int64_t pages_for(const scheduler *s, int32_t length, bool chunks) {
  const cache *c = &s->session->cache;
  int64_t pages = 0, all = (length + KV_PAGE - 1) / KV_PAGE;
  for (int32_t i = 0; i < c->n_groups; i++) {
    const cache_group *g = &c->groups[i];
    int64_t most = chunks || g->window == 0 ? g->n_slots : (g->window + KV_PAGE - 2) / KV_PAGE + 1;
    pages += all < most ? all : most;
  }
  return pages;
}

gale_status scheduler_check(const scheduler *s, int32_t n_prompt, gale_error *error) {
  const gale_session_options *o = &s->session->options;
  if (n_prompt > o->context)
    return error_set(error, GALE_E_CONTEXT, "a prompt of %d tokens exceeds the context of %d", n_prompt, o->context);
  int64_t pages = pages_for(s, n_prompt, false);
  if (pages > s->session->cache.n_pages)
    return error_set(error, GALE_E_CONTEXT,
                     "a prompt of %d tokens needs %lld pages of the cache, which has %d (kv_bytes is %llu)", n_prompt,
                     (long long)pages, s->session->cache.n_pages, (unsigned long long)o->kv_bytes);
  return GALE_OK;
}

/* ---- Lists ---- */

static bool before(const answering *a, const answering *b) {
  if (a->of->priority != b->of->priority) return a->of->priority > b->of->priority;
  return a->of != b->of ? a->of->order < b->of->order : a->index < b->index;
}

static void insert(answering **list, answering *a) {
  while (*list && before(*list, a)) list = &(*list)->next;
  a->next = *list;
  *list = a;
}

static void take_out(answering **list, const answering *a) {
  while (*list && *list != a) list = &(*list)->next;
  if (*list) *list = a->next;
}

static int32_t computed(const scheduler *s, const answering *a) {
  return gale_sequence_length(s->session, a->sequence);
}

/* Tokens of its text that are not computed. */
static int32_t missing(const scheduler *s, const answering *a) {
  return rows_goal(a) - computed(s, a);
}

static void leave_queue(scheduler *s, gale_request *r) {
  if (r->begun) return;
  r->begun = true;
  atomic_fetch_sub(&s->queued_requests, 1);
  atomic_fetch_sub(&s->queued_tokens, r->n_prompt);
}

/* Whether its pages are being read from disk, so that it takes part in nothing else. */
static bool is_reading(const answering *a) {
  return a->disk && a->disk->sequence >= 0;
}

/* Hands out whole pages that it has computed to be written. */
static void save(scheduler *s, const answering *a, int32_t most) {
  if (!a->disk) return;
  a->disk->ids = a->text;
  disk_cache_save(&s->disk, a->disk, a->sequence, computed(s, a), most);
}

/* Whether each whole page is to be written before windows let go of it. A step with a draft, which takes itself back to
 * an end that is not known before, does not go beyond the page. */
static bool holds_windows(const scheduler *s) {
  return s->disk.session && s->prefixes.windows;
}

/* Takes the sequence away. What it has computed stays in the prefix cache. */
static void stop(scheduler *s, answering *a) {
  if (is_reading(a)) {
    disk_cache_stop(&s->disk, a->disk);
    session_give_up(s->session, a->sequence);
  } else {
    save(s, a, INT32_MAX);
  }
  disk_text_close(a->disk);
  a->disk = NULL;
  draft_model_leave(&s->drafting, a);
  prefix_cache_keep(&s->prefixes, a->sequence, a->of->salt, a->text);
  a->sequence = -1;
  take_out(&s->running, a);
  s->n_running--;
}

static void wait_again(scheduler *s, answering *a) {
  insert(&s->waiting, a);
  s->n_waiting++;
}

/* The answer is over. */
static void finish(scheduler *s, answering *a, const gale_error *error) {
  gale_request *r = a->of;
  gale_generation_result result = {0};
  if (a->generation) gale_generation_get_result(a->generation, &result);
  s->mask_seconds += result.mask_seconds;
  if (a->sequence >= 0) {
    stop(s, a);
  } else {
    take_out(&s->waiting, a);
    s->n_waiting--;
  }
  leave_queue(s, r);
  if (answering_end(a, error)) request_release(r);
}

/* Ends an answer from outside. */
static void end(scheduler *s, answering *a, gale_finish why) {
  gale_error error = {0};
  gale_status status = GALE_OK;
  if (a->generation && !answering_scores(a)) {
    status = gale_generation_end(a->generation, why, &error);
    if (!status) status = answering_tell(a, -1, &error);
  } else if (!a->finish) {
    a->finish = why;
  }
  finish(s, a, status ? &error : NULL);
}

void scheduler_add(scheduler *s, gale_request *r) {
  for (int32_t i = 0; i < r->n; i++) wait_again(s, &r->answers[i]);
}

/* Ends those of a list that are cancelled, late, or were over before they began. */
static void end_unwanted(scheduler *s, answering *list, int64_t now) {
  for (answering *a = list, *next; a; a = next) {
    next = a->next;
    bool late = a->of->deadline && now >= a->of->deadline;
    if (late || atomic_load(&a->of->cancelled) || answering_finish(a)) end(s, a, GALE_FINISH_CANCELLED);
  }
}

void scheduler_cancel(scheduler *s) {
  while (s->waiting) end(s, s->waiting, GALE_FINISH_CANCELLED);
  while (s->running) end(s, s->running, GALE_FINISH_CANCELLED);
}

/* ---- Who gets a sequence ---- */

/* How long the beginning is that an answer's text has in common with b's, at most up to the token whose row it wants:
 * that one has to be computed. Texts with different salts share nothing. */
static int32_t common(const answering *a, const answering *b) {
  int32_t n = a->row < b->length ? a->row : b->length, i = 0;
  if (strcmp(a->of->salt, b->of->salt) != 0) return 0;
  while (i < n && a->text[i] == b->text[i]) i++;
  return i;
}

/* A sequence from which an answer's can begin. */
typedef struct source {
  int32_t sequence, length; /* 0: none */
  int32_t known;            /* as in prefix_found */
  bool kept;                /* of the prefix cache */
} source;

static source find_source(scheduler *s, const answering *a) {
  prefix_found kept = prefix_cache_find(&s->prefixes, a->of->salt, a->text, a->row);
  source found = {kept.sequence, kept.length, kept.known, true};
  for (const answering *b = s->running; b; b = b->next) {
    if (is_reading(b)) continue;
    int32_t shared = common(a, b), now = computed(s, b);
    if (now < shared) shared = now;
    if (shared > found.length && cache_reaches(&s->session->cache, b->sequence, shared))
      found = (source){b->sequence, shared, kept.known, false};
  }
  return found;
}

/* Whether it waits for one that computes what it begins with, and has not got there. */
static bool still_waits(const scheduler *s, const answering *a) {
  const answering *b = s->running;
  while (b && (a->waits_for == 0 || b->start != a->waits_for)) b = b->next;
  return b && missing(s, b) > 1 && computed(s, b) < a->waits_until;
}

/* Whether another one is about to compute more of its text than is there; notes which one. */
static bool waits_for_another(const scheduler *s, answering *a, const source *there) {
  a->waits_for = 0;
  for (const answering *b = s->running; b; b = b->next) {
    if (missing(s, b) == 1 || b->of->priority < a->of->priority) continue;
    int32_t shared = common(a, b);
    bool enough = shared >= LEAST_SHARED || (a->of == b->of && shared > 0);
    if (!enough || shared <= there->length || computed(s, b) >= shared) continue;
    a->waits_for = b->start;
    a->waits_until = shared;
    return true;
  }
  return false;
}

/* Pages that running answers of at least that priority hold. */
static int32_t pages_held(const scheduler *s, int32_t priority) {
  int32_t n = 0;
  memset(s->marks, 0, (size_t)s->session->cache.n_pages * sizeof *s->marks);
  for (const answering *a = s->running; a && a->of->priority >= priority; a = a->next)
    n += cache_mark(&s->session->cache, a->sequence, s->marks);
  return n;
}

int32_t scheduler_active_pages(const scheduler *s) {
  return pages_held(s, INT32_MIN);
}

/* Whether there is a place, and pages for all of its text and for a token of each of the others, where those that run
 * are the ones of at least that priority; pages of the prefix cache can be had. */
static bool has_room(const scheduler *s, const answering *a, int32_t priority) {
  const cache *c = &s->session->cache;
  int32_t n = 0;
  for (const answering *b = s->running; b && b->of->priority >= priority; b = b->next) n++;
  if (n == 0) return true;
  if (n == s->most_running) return false;
  return pages_for(s, a->length, true) + (int64_t)n * c->n_groups <= c->n_pages - pages_held(s, priority);
}

static gale_status open_sequence(scheduler *s, answering *a, const source *from, gale_error *error) {
  int32_t kept = 0;
  if (from->length == 0) return gale_sequence_open(s->session, &a->sequence, error);
  gale_status status = gale_sequence_fork(s->session, from->sequence, &a->sequence, error);
  if (status) return status;
  status = gale_sequence_truncate(s->session, a->sequence, from->length, &kept, error);
  if (status) {
    gale_sequence_close(s->session, a->sequence, NULL);
    a->sequence = -1;
  }
  if (status || a->begun) return status;
  *(from->kept ? &s->cached_tokens : &s->shared_tokens) += (uint64_t)kept;
  a->n_cached = kept;
  return GALE_OK;
}

/* Begins to read what is on disk of its text, if that is more than is in memory. False: there is nothing to read, or no
 * room for it; making room may have changed what is in memory. */
static bool read_beginning(scheduler *s, answering *a, source *from) {
  int32_t most = a->row, kept = 0;
  if (!(a->disk = disk_text_open(&s->disk, a->of->salt, a->text))) return false;
  if (a->unreadable) {
    a->disk->doubted = (a->unreadable - 1) / KV_PAGE;
    if (a->unreadable - 1 < most) most = a->unreadable - 1;
  }
  int32_t length = disk_cache_find(&s->disk, a->disk, most);
  if (length <= from->length) return false;
  if (s->prefixes.windows || from->length < KV_PAGE) {
    if (gale_sequence_open(s->session, &a->sequence, NULL)) return false;
  } else {
    if (gale_sequence_fork(s->session, from->sequence, &a->sequence, NULL)) return false;
    gale_sequence_truncate(s->session, a->sequence, from->length / KV_PAGE * KV_PAGE, &kept, NULL);
  }
  const cache *c = &s->session->cache;
  int64_t pages = pages_for(s, length, true) - (int64_t)kept / KV_PAGE * c->n_groups;
  prefix_cache_shrink(&s->prefixes, (uint64_t)pages * c->page_bytes);
  if (session_reserve(s->session, a->sequence, length)) {
    disk_cache_read(&s->disk, a->disk, a->sequence, length);
    return true;
  }
  gale_sequence_close(s->session, a->sequence, NULL);
  a->sequence = -1;
  *from = find_source(s, a);
  return false;
}

/* Where layers have windows, others can begin at the end of its prompt, or where it parts from a text that is known,
 * only if a fork is kept there: the windows move on. */
static void set_marks(const scheduler *s, answering *a, const source *from) {
  int32_t last = a->row < a->of->n_prompt ? a->row : a->of->n_prompt - 1;
  a->marks[0] = s->prefixes.windows ? from->known / KV_PAGE * KV_PAGE : 0;
  a->marks[1] = s->prefixes.windows ? last / KV_PAGE * KV_PAGE : 0;
}

static void note_begun(scheduler *s, answering *a) {
  if (a->reached > computed(s, a)) s->recomputed += (uint64_t)(a->reached - computed(s, a));
  a->begun = true;
}

static void start(scheduler *s, answering *a, source *from) {
  gale_error error = {0};
  if (!read_beginning(s, a, from) && open_sequence(s, a, from, &error)) {
    disk_text_close(a->disk);
    a->disk = NULL;
    finish(s, a, &error);
    return;
  }
  take_out(&s->waiting, a);
  s->n_waiting--;
  insert(&s->running, a);
  s->n_running++;
  leave_queue(s, a->of);
  set_marks(s, a, from);
  a->start = ++s->starts;
  if (!a->begun) a->begin = time_now();
  if (!is_reading(a)) note_begun(s, a);
}

static void preempt_last(scheduler *s) {
  answering *a = s->running;
  while (a->next) a = a->next;
  stop(s, a);
  wait_again(s, a);
  s->preemptions++;
}

/* Nobody overtakes one that waits for pages: it would wait for ever. Where that is enough, those of lower priority lose
 * their places to it. */
static void admit(scheduler *s) {
  for (answering *a = s->waiting, *next; a; a = next) {
    next = a->next;
    if (s->n_running == s->most_running && !has_room(s, a, a->of->priority)) return;
    const answering *first = &a->of->answers[0];
    if (a != first && !first->ended && answering_scores(first)) continue;
    if (still_waits(s, a)) continue;
    source from = find_source(s, a);
    if (waits_for_another(s, a, &from)) continue;
    if (!has_room(s, a, INT32_MIN)) {
      if (!has_room(s, a, a->of->priority)) return;
      while (!has_room(s, a, INT32_MIN)) preempt_last(s);
      from = find_source(s, a);
    }
    start(s, a, &from);
  }
}

/* Those whose pages were read go on from there; where that failed, they begin anew. */
static void take_read(scheduler *s) {
  for (answering *a = s->running, *next; a; a = next) {
    next = a->next;
    disk_reading reading = is_reading(a) ? disk_cache_state(&s->disk, a->disk) : DISK_READING;
    if (reading == DISK_READING) continue;
    if (reading == DISK_FAILED) {
      a->unreadable = a->disk->failed * KV_PAGE + 1;
      stop(s, a);
      wait_again(s, a);
      continue;
    }
    disk_text *t = a->disk;
    session_restored(s->session, a->sequence, t->end * KV_PAGE);
    t->sequence = -1;
    t->saved = t->end;
    if (!a->begun) {
      a->n_cached = t->end * KV_PAGE;
      s->cached_tokens += (uint64_t)t->first * KV_PAGE;
      s->disk_tokens += (uint64_t)(t->end - t->first) * KV_PAGE;
    }
    note_begun(s, a);
  }
}

/* ---- What is computed ---- */

/* Rows are computed from the first that is wanted on, so that a step ends where they begin, unless that is its last. */
static void add_input(scheduler *s, answering *a, int32_t n) {
  int32_t first = computed(s, a);
  const int32_t cuts[] = {a->marks[0], a->marks[1], a->row + 1 < first + n ? a->row : 0};
  for (int i = 0; i < 3; i++)
    if (cuts[i] > first && cuts[i] < first + n) n = cuts[i] - first;
  s->inputs[s->n_inputs] = (gale_input){
      .sequence = a->sequence, .tokens = a->text + first, .n_tokens = n, .logits = rows_wanted(a, first, n)};
  s->drafts[s->n_inputs] = 0;
  s->of[s->n_inputs++] = a;
  s->n_planned += n;
}

/* Whether it misses more than a token, and can compute it. */
static bool has_part(const scheduler *s, const answering *a) {
  return missing(s, a) > 1 && !is_reading(a);
}

/* How many answers from a on are of its priority and have a part of a prompt to compute. */
static int32_t count_alike(const scheduler *s, const answering *a) {
  int32_t n = 0, priority = a->of->priority;
  for (; a && a->of->priority == priority; a = a->next) n += has_part(s, a);
  return n;
}

/* Operations of a token behind so many. */
static double token_ops(const scheduler *s, int32_t length) {
  gale_cost cost;
  gale_step_cost(s->session, 1, length, 1, &cost);
  return cost.int8_ops + cost.float_ops + cost.attention_ops;
}

/* Lists a token of each answer that misses one. */
static void plan_singles(scheduler *s) {
  int64_t length = 0;
  for (answering *a = s->running; a; a = a->next) {
    if (missing(s, a) != 1) continue;
    length += computed(s, a);
    add_input(s, a, 1);
  }
  s->n_singles = s->n_planned;
  s->single_bytes = 0;
  if (s->n_planned == 0) return;
  gale_cost cost;
  gale_step_cost(s->session, s->n_planned, (int32_t)(length / s->n_planned), 1, &cost);
  s->single_bytes = cost.weight_bytes + cost.cache_bytes;
}

/* A draft of n tokens stands behind the text of a single token's answer. */
static void add_draft(scheduler *s, size_t input, size_t n) {
  answering *a = s->of[input];
  s->inputs[input].tokens = a->text + computed(s, a); /* which may have moved to make room */
  if (n == 0) return;
  s->drafts[input] = (int32_t)n;
  s->inputs[input].n_tokens += (int32_t)n;
  s->inputs[input].logits = GALE_LOGITS_ALL;
  s->n_planned += (int32_t)n;
  s->n_drafted += (int32_t)n;
}

/* What can be drafted behind a single token: what was said or is forced, or what the draft model says if that is
 * likelier to be right. */
static draft_outlook outlook_of(scheduler *s, size_t input) {
  answering *a = s->of[input];
  draft_outlook found = {0};
  int32_t room = s->session->options.context - computed(s, a) - 1, in_page = KV_PAGE - 1 - computed(s, a) % KV_PAGE;
  if (holds_windows(s) && in_page < room) room = in_page;
  a->by_model = false;
  if (s->inputs[input].logits != GALE_LOGITS_LAST || room <= 0) return found;
  generation_outlook(a->generation, (size_t)room, &found, NULL);
  draft_outlook other =
      draft_model_outlook(&s->drafting, a, generation_room(a->generation, (size_t)room), (size_t)s->n_singles);
  if (other.most == 0 || (found.most > 0 && found.right >= other.right)) return found;
  a->by_model = true;
  other.round /= s->single_bytes;
  return other;
}

/* Puts drafts behind the single tokens that are listed, in at most half of what is left of the step. */
static void plan_drafts(scheduler *s, int32_t most) {
  size_t n = s->n_inputs;
  for (size_t i = 0; i < n; i++) s->outlooks[i] = outlook_of(s, i);
  drafts_choose(&s->pace.singles, n, (size_t)(most - s->n_planned) / 2, s->outlooks, n);
  for (size_t i = 0; i < n; i++) s->wanted[i] = s->of[i]->by_model ? s->outlooks[i].n : 0;
  if (s->drafting.session) draft_model_run(&s->drafting, s->of, n, s->wanted, s->fit);
  for (size_t i = 0; i < n; i++) {
    size_t fit = s->fit[i];
    if (!s->of[i]->by_model && (s->outlooks[i].n == 0 || rows_draft(s->of[i], s->outlooks[i].n, &fit, NULL))) fit = 0;
    add_draft(s, i, fit);
  }
}

/* How many tokens of prompts the step may have, where it may have `most` in all. */
static int32_t prompt_room(const scheduler *s, int32_t most, double ops_of_one) {
  int32_t left = most - s->n_planned;
  if (s->n_planned == 0) return left;
  double room = fmax(LEAST_OF_PROMPTS, pace_room(&s->pace, (size_t)s->n_planned, s->single_bytes) / ops_of_one);
  return room < left ? (int32_t)room : left;
}

/* Lists single tokens and drafts, then parts of longer texts: what is left goes to those of the highest priority,
 * evenly. */
static void plan(scheduler *s, int32_t most, bool drafts) {
  s->n_inputs = 0;
  s->n_planned = s->n_drafted = 0;
  s->prompt_ops = 0;
  plan_singles(s);
  if (drafts) plan_drafts(s, most);
  answering *a = s->running;
  while (a && !has_part(s, a)) a = a->next;
  if (!a) return;
  double ops_of_one = token_ops(s, computed(s, a));
  int32_t others = s->n_planned, end = others + prompt_room(s, most, ops_of_one);
  for (; a && s->n_planned < end; a = a->next) {
    if (!has_part(s, a)) continue;
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): a itself counts */
    int32_t share = (end - s->n_planned) / count_alike(s, a), n = missing(s, a);
    if (share < 1) share = 1;
    add_input(s, a, n < share ? n : share);
  }
  s->prompt_ops = ops_of_one * (s->n_planned - others);
}

/* Plans a step for which there are pages. False if nothing is left to compute. */
static bool plan_with_room(scheduler *s) {
  int32_t most = s->session->options.chunk;
  for (bool drafts = true;;) {
    uint64_t needed = 0, available = 0;
    plan(s, most, drafts);
    if (s->n_inputs == 0) return false;
    gale_status status = gale_step_pages(s->session, s->inputs, s->n_inputs, &needed, &available, NULL);
    if (status || needed <= available) return true;
    if (s->n_drafted > 0)
      drafts = false;
    else if (prefix_cache_shrink(&s->prefixes, needed))
      continue;
    else if (s->n_running > 1)
      preempt_last(s);
    else if (s->n_planned > 1)
      most = s->n_planned / 2;
    else
      end(s, s->running, GALE_FINISH_CONTEXT);
  }
}

/* The smallest i with n <= 2^i. */
static int size_class(int32_t n) {
  int i = 0;
  while (i < N_STEP_SIZES - 1 && n > 1 << i) i++;
  return i;
}

/* A step of what was planned. */
static gale_status step(scheduler *s, gale_error *error) {
  for (size_t i = 0; i < s->n_inputs; i++)
    s->kept_back[i] = holds_windows(s) && s->drafts[i] == 0 ? s->inputs[i].n_tokens : s->drafts[i];
  int64_t begin = time_now();
  gale_status status = session_step(s->session, s->inputs, s->n_inputs, s->kept_back, error);
  if (status) return status;
  size_t singles = (size_t)(s->n_singles + s->n_drafted);
  pace_note(&s->pace, singles, s->single_bytes, s->prompt_ops, (double)(time_now() - begin) / 1e9);
  s->step_sizes[size_class(s->n_planned)]++;
  return GALE_OK;
}

/* What came of the step for one of its inputs. */
static void settle(scheduler *s, size_t input) {
  answering *a = s->of[input];
  gale_error error = {0};
  gale_status status = GALE_OK;
  if (s->drafts[input] == 0) {
    save(s, a, s->inputs[input].n_tokens / KV_PAGE + 2);
    if (holds_windows(s)) session_take_back(s->session, a->sequence, 0);
  }
  if (computed(s, a) == a->marks[0] || computed(s, a) == a->marks[1])
    prefix_cache_fork(&s->prefixes, a->sequence, a->of->salt, a->text);
  a->n_draft = s->drafts[input];
  a->n_right = 0;
  if (s->inputs[input].logits) status = rows_use(a, s->session, &error);
  *(a->by_model ? &s->draft_right : &s->lookup_right) += (uint64_t)a->n_right;
  *(a->by_model ? &s->draft_wrong : &s->lookup_wrong) += (uint64_t)(a->n_draft - a->n_right);
  if (a->by_model && a->n_draft > 0) draft_model_judge(a);
  if (computed(s, a) > a->reached) a->reached = computed(s, a);
  if (status || answering_finish(a))
    finish(s, a, status ? &error : NULL);
  else if (s->drafts[input])
    save(s, a, 2);
}

void scheduler_round(scheduler *s) {
  int64_t now = time_now();
  end_unwanted(s, s->waiting, now);
  end_unwanted(s, s->running, now);
  take_read(s);
  admit(s);
  if (!plan_with_room(s)) {
    if (s->disk.session) disk_cache_wait(&s->disk);
    return;
  }
  gale_error error = {0};
  gale_status status = step(s, &error);
  for (size_t i = 0; i < s->n_inputs; i++)
    if (status)
      finish(s, s->of[i], &error);
    else
      settle(s, i);
}
