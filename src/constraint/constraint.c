/* Constraints and the states of texts in them. */
#include "constraint/constraint.h"
#include "base/sized.h"
#include "base/utf8.h"
#include "constraint/call_form.h"
#include "constraint/compile.h"
#include "constraint/json_text.h"
#include "constraint/mask.h"
#include "tokenizer/built.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
  MOST_MEMORY = 48 << 20, /* bytes of a constraint's expressions */
  COMPILE_STEPS = 5 << 17,
  MASK_STEPS = 1 << 20,
  BYTE_STEPS = 1 << 12,
  KEPT_MASKS = 32,
  MOST_CHOICES = 1024,
  MOST_FORCED = 65536,
};

/* What a constraint is compiled to, and what reading has made of it so far. When its memory is used up another takes
 * its place, to which states move as they go on. */
typedef struct automaton {
  expr_pool *pool;
  expr *start;
  size_t compiled; /* bytes of the pool that compiling took */
  size_t users;    /* its states, and the constraint whose present one it is */
  /* Masks of the states that were asked for last: expr.mask points into them. */
  uint32_t *masks;
  expr *masked[KEPT_MASKS];
  size_t next_mask;
} automaton;

/* What changes as texts are read. */
typedef struct learned {
  pthread_mutex_t lock; /* of what follows, and of the automata */
  automaton *present;
  mask_walk walk;
} learned;

struct gale_constraint {
  const gale_mask_table *table;
  gale_constraint_options options; /* all they point at is its own */
  arena memory;                    /* of what the options point at */
  call_marks marks;                /* control tokens that it lets through */
  struct learned *learned;
};

struct gale_constraint_state {
  const gale_constraint *constraint;
  automaton *in;
  size_t spent; /* bytes of its pool that this state's text took */
  expr *at;
  byte_list text; /* that has come */
  bool started;   /* a token with a text has come */
  byte_list forced;
};

void gale_constraint_defaults_sized(gale_constraint_options *options, size_t size) {
  const gale_constraint_options defaults = {.kind = GALE_CONSTRAINT_JSON};
  sized_write(options, size, &defaults, sizeof defaults);
}

/* ---- Compiling ---- */

static int by_choice(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gale_status check_choices(const gale_constraint_options *o, gale_error *error) {
  if (o->n_choices < 1 || o->n_choices > MOST_CHOICES)
    return error_set(error, GALE_E_ARGUMENT, "choices: there are %zu; 1 to %d are accepted", o->n_choices,
                     MOST_CHOICES);
  const char *sorted[MOST_CHOICES];
  for (size_t i = 0; i < o->n_choices; i++) {
    if (!*o->choices[i]) return error_set(error, GALE_E_ARGUMENT, "choices: choice %zu is empty", i);
    if (!utf8_valid(o->choices[i], strlen(o->choices[i])))
      return error_set(error, GALE_E_ARGUMENT, "choices: choice %zu is not UTF-8", i);
    sorted[i] = o->choices[i];
  }
  qsort(sorted, o->n_choices, sizeof *sorted, by_choice);
  for (size_t i = 1; i < o->n_choices; i++)
    if (strcmp(sorted[i - 1], sorted[i]) == 0)
      return error_set(error, GALE_E_ARGUMENT, "choices: \"%s\" is there twice", sorted[i]);
  return GALE_OK;
}

static gale_status compile_choices(expr_pool *p, const gale_constraint_options *o, expr **e, gale_error *error) {
  gale_status status = check_choices(o, error);
  if (status) return status;
  expr *each[MOST_CHOICES];
  for (size_t i = 0; i < o->n_choices; i++) each[i] = expr_string(p, o->choices[i]);
  *e = expr_alt(p, each, o->n_choices);
  return GALE_OK;
}

static gale_status compile_json(expr_pool *p, expr **e) {
  expr *object = json_any_object(p, JSON_DEPTH);
  const json_parts *j = json_parts_of(p);
  *e = j ? expr_list(p, (expr *const[]){j->space, object, j->space}, 3) : p->none;
  return GALE_OK;
}

static gale_status pool_status(const expr_pool *p, const char *what, gale_error *error) {
  if (!p->failed) return GALE_OK;
  if (p->no_memory) return error_memory(error, MOST_MEMORY);
  return error_set(error, GALE_E_UNSUPPORTED, "%s: %s", what, p->failed);
}

static gale_status compile_text(expr_pool *p, const gale_constraint_options *o, expr **e, gale_error *error) {
  slice text = {o->text ? o->text : "", o->text ? o->length : 0};
  switch (o->kind) {
  case GALE_CONSTRAINT_JSON:
    return compile_json(p, e);
  case GALE_CONSTRAINT_JSON_SCHEMA:
    return compile_schema(p, o, e, error);
  case GALE_CONSTRAINT_REGEX:
    return compile_pattern(p, text, PATTERN_WHOLE, e, error);
  case GALE_CONSTRAINT_CHOICE:
    return compile_choices(p, o, e, error);
  case GALE_CONSTRAINT_GRAMMAR:
    return compile_grammar(p, text, e, error);
  default:
    return error_set(error, GALE_E_ARGUMENT, "kind is %d: 0 to 5 is accepted", (int)o->kind);
  }
}

static gale_status compile_all(expr_pool *p, const gale_constraint_options *o, expr **e, gale_error *error) {
  if (o->kind != GALE_CONSTRAINT_CALLS) return compile_text(p, o, e, error);
  expr *content = NULL;
  gale_status status = o->content ? compile_text(p, o->content, &content, error) : GALE_OK;
  return status ? status : compile_calls(p, o, content, e, error);
}

static gale_status compile(automaton *a, const gale_constraint_options *o, gale_error *error) {
  expr_pool *p = a->pool;
  expr *e = p->none;
  p->step_limit = COMPILE_STEPS;
  gale_status status = compile_all(p, o, &e, error);
  if (!status) status = pool_status(p, "byte 0", error);
  if (!status && e == p->none) status = error_set(error, GALE_E_ARGUMENT, "byte 0: no text can satisfy the constraint");
  a->start = e;
  a->compiled = p->used;
  return status;
}

/* ---- Automata ---- */

static void leave_automaton(automaton *a) {
  if (!a || --a->users > 0) return;
  expr_pool_close(&a->pool);
  free(a->masks);
  free(a);
}

static gale_status make_automaton(const gale_constraint_options *o, automaton **made, gale_error *error) {
  automaton *a = calloc(1, sizeof *a);
  if (!a) return error_memory(error, sizeof *a);
  a->users = 1;
  gale_status status = expr_pool_open(MOST_MEMORY, &a->pool, error);
  if (!status) status = compile(a, o, error);
  if (status)
    leave_automaton(a);
  else
    *made = a;
  return status;
}

/* Options with all they point at, of which the caller's need not last. */
static bool copy_options(arena *memory, const gale_constraint_options *o, gale_constraint_options *to) {
  const char **choices = arena_array(memory, o->n_choices + 1, sizeof *choices);
  bool good = choices;
  *to = *o;
  to->choices = choices;
  to->content = NULL;
  for (size_t i = 0; good && i < o->n_choices; i++)
    good = (choices[i] = arena_string(memory, o->choices[i], strlen(o->choices[i])));
  if (good && o->text) good = (to->text = arena_string(memory, o->text, o->length));
  if (good && o->form) good = (to->form = arena_string(memory, o->form, strlen(o->form)));
  if (good && o->function) good = (to->function = arena_string(memory, o->function, strlen(o->function)));
  return good;
}

static gale_status keep_options(gale_constraint *c, const gale_constraint_options *o, gale_error *error) {
  gale_constraint_options *content = o->content ? arena_alloc(&c->memory, sizeof *content) : NULL;
  bool good = copy_options(&c->memory, o, &c->options) && (!o->content || content);
  if (good && content) good = copy_options(&c->memory, o->content, content);
  c->options.content = content;
  return good ? GALE_OK : error_memory(error, o->length);
}

gale_status gale_constraint_open(const gale_mask_table *table, const gale_constraint_options *options,
                                 gale_constraint **constraint, gale_error *error) {
  gale_constraint_options o;
  gale_constraint_defaults(&o);
  gale_status status = sized_read(&o, sizeof o, options, "gale_constraint_options", error);
  if (status) return status;
  gale_constraint_options content;
  gale_constraint_defaults(&content);
  if (o.kind != GALE_CONSTRAINT_CHOICE) o.n_choices = 0;
  if (o.kind != GALE_CONSTRAINT_CALLS) o.content = NULL;
  if (o.content) {
    status = sized_read(&content, sizeof content, o.content, "gale_constraint_options", error);
    if (status) return status;
    if (content.kind != GALE_CONSTRAINT_CHOICE) content.n_choices = 0;
    content.content = NULL;
    o.content = &content;
  }
  gale_constraint *c = calloc(1, sizeof *c);
  learned *l = calloc(1, sizeof *l);
  if (!c || !l) {
    free(c);
    free(l);
    return error_memory(error, sizeof *c + sizeof *l);
  }
  pthread_mutex_init(&l->lock, NULL);
  c->table = table;
  c->learned = l;
  for (int i = 0; i < MOST_MARKS; i++) c->marks.tokens[i] = -1;
  if (o.kind == GALE_CONSTRAINT_CALLS) status = call_marks_find(table->tokenizer, &o, &c->marks, error);
  if (!status) status = make_automaton(&o, &l->present, error);
  if (!status) status = keep_options(c, &o, error);
  if (status)
    gale_constraint_close(&c);
  else
    *constraint = c;
  return status;
}

void gale_constraint_close(gale_constraint **constraint) {
  if (!constraint || !*constraint) return;
  gale_constraint *c = *constraint;
  leave_automaton(c->learned->present);
  pthread_mutex_destroy(&c->learned->lock);
  free(c->learned->walk.path);
  free(c->learned->walk.other);
  free(c->learned);
  arena_free(&c->memory);
  free(c);
  *constraint = NULL;
}

const gale_mask_table *constraint_table(const gale_constraint *c) {
  return c->table;
}

const gale_tokenizer *constraint_tokenizer(const gale_constraint *c) {
  return c->table->tokenizer;
}

/* ---- States ---- */

static gale_status new_state(const gale_constraint *c, automaton *in, gale_constraint_state **state,
                             gale_error *error) {
  gale_constraint_state *s = calloc(1, sizeof *s);
  if (!s) return error_memory(error, sizeof *s);
  s->constraint = c;
  s->in = in;
  s->at = in->start;
  in->users++;
  *state = s;
  return GALE_OK;
}

gale_status gale_constraint_begin(const gale_constraint *constraint, gale_constraint_state **state, gale_error *error) {
  learned *l = constraint->learned;
  pthread_mutex_lock(&l->lock);
  gale_status status = new_state(constraint, l->present, state, error);
  pthread_mutex_unlock(&l->lock);
  return status;
}

gale_status gale_constraint_fork(const gale_constraint_state *state, gale_constraint_state **fork, gale_error *error) {
  learned *l = state->constraint->learned;
  pthread_mutex_lock(&l->lock);
  gale_status status = new_state(state->constraint, state->in, fork, error);
  pthread_mutex_unlock(&l->lock);
  if (status) return status;
  (*fork)->at = state->at;
  (*fork)->started = state->started;
  (*fork)->spent = state->spent;
  bytes_add(&(*fork)->text, (slice){state->text.bytes, state->text.n});
  if ((*fork)->text.failed) {
    gale_constraint_end(fork);
    return error_memory(error, state->text.n);
  }
  return GALE_OK;
}

void constraint_continue(gale_constraint_state *state) {
  state->started = true;
}

void gale_constraint_end(gale_constraint_state **state) {
  if (!state || !*state) return;
  gale_constraint_state *s = *state;
  learned *l = s->constraint->learned;
  pthread_mutex_lock(&l->lock);
  leave_automaton(s->in);
  pthread_mutex_unlock(&l->lock);
  free(s->text.bytes);
  free(s->forced.bytes);
  free(s);
  *state = NULL;
}

/* ---- Working with a state ---- */

static expr *take(expr_pool *p, expr *at, const char *bytes, size_t n, size_t *taken) {
  size_t i = 0;
  for (; i < n; i++) {
    expr *to = expr_next(p, at, (unsigned char)bytes[i]);
    if (to == p->none) break;
    at = to;
  }
  *taken = i;
  return at;
}

/* A failure is of the work at hand alone: what is there stays whole. */
static gale_status settle(expr_pool *p, gale_error *error) {
  gale_status status = pool_status(p, "constraint", error);
  p->failed = NULL;
  p->no_memory = false;
  return status;
}

static uint64_t byte_steps(size_t n) {
  return MASK_STEPS + BYTE_STEPS * (uint64_t)n;
}

/* Brings a state to the constraint's present automaton, by reading its text again. */
static gale_status move(gale_constraint_state *s, gale_error *error) {
  automaton *to = s->constraint->learned->present;
  size_t taken;
  size_t used = to->pool->used;
  to->pool->step_limit = to->pool->steps + byte_steps(s->text.n);
  expr *at = take(to->pool, to->start, s->text.bytes, s->text.n, &taken);
  gale_status status = settle(to->pool, error);
  if (status) return status;
  to->users++;
  leave_automaton(s->in);
  s->in = to;
  s->at = at;
  s->spent = to->pool->used - used;
  return GALE_OK;
}

/* What is done with a state under the lock; the state's pool may have failed then. */
typedef struct work {
  gale_status (*run)(gale_constraint_state *s, struct work *w, gale_error *error);
  uint64_t steps;
  const char *bytes;
  size_t n, taken;
  uint32_t *mask;
  expr *at;
  int ways;
} work;

static gale_status attempt(gale_constraint_state *s, work *w, gale_error *error) {
  expr_pool *p = s->in->pool;
  size_t used = p->used;
  p->step_limit = p->steps + w->steps;
  gale_status status = w->run(s, w, error), worked = settle(p, error);
  s->spent += p->used - used;
  return status ? status : worked;
}

/* Whether much of the pool is what other texts left there. */
static bool others_filled(const gale_constraint_state *s) {
  return s->in->pool->used - s->in->compiled - s->spent > MOST_MEMORY / 4;
}

/* Where a pool fails that other texts have filled, the work is done again in a fresh one. */
static gale_status with_state(gale_constraint_state *s, work *w, gale_error *error) {
  learned *l = s->constraint->learned;
  pthread_mutex_lock(&l->lock);
  gale_status status = s->in == l->present ? GALE_OK : move(s, error);
  if (!status) status = attempt(s, w, error);
  if (status == GALE_E_UNSUPPORTED && s->in == l->present && others_filled(s)) {
    automaton *fresh = NULL;
    status = make_automaton(&s->constraint->options, &fresh, error);
    if (!status) {
      l->present->users--; /* s is another of them */
      l->present = fresh;
      status = move(s, error);
    }
    if (!status) status = attempt(s, w, error);
  }
  pthread_mutex_unlock(&l->lock);
  return status;
}

/* ---- Masks ---- */

static gale_status get_scratch(const gale_constraint *c, automaton *a, gale_error *error) {
  mask_walk *walk = &c->learned->walk;
  size_t states = (size_t)c->table->longest + 1, words = c->table->words;
  if (!walk->path) walk->path = malloc(states * sizeof *walk->path);
  if (!walk->other) walk->other = malloc(states * sizeof *walk->other);
  if (!a->masks) a->masks = malloc(KEPT_MASKS * words * sizeof *a->masks);
  if (!walk->path || !walk->other || !a->masks) return error_memory(error, KEPT_MASKS * words * sizeof *a->masks);
  walk->pool = a->pool;
  walk->table = c->table;
  return GALE_OK;
}

static bool has_marks(const gale_constraint *c) {
  for (int i = 0; i < MOST_MARKS; i++)
    if (c->marks.tokens[i] >= 0) return true;
  return false;
}

/* No text has the byte that marks begin with. */
static void clear_mark_byte(const gale_mask_table *t, uint32_t *mask) {
  const token_trie *all = &t->all;
  for (uint32_t i = 0; i < all->n_nodes; i++) {
    if (all->nodes[i].byte != MARK_BYTE) continue;
    uint32_t end = all->nodes[all->nodes[i].skip].first;
    for (uint32_t k = all->nodes[i].first; k < end; k++) mask[all->ids[k] / 32] &= ~(UINT32_C(1) << (all->ids[k] % 32));
  }
}

static void mask_marks(const gale_constraint *c, const gale_constraint_state *s, uint32_t *mask) {
  expr_pool *p = s->in->pool;
  if (!has_marks(c)) return;
  clear_mark_byte(c->table, mask);
  expr *behind = expr_next(p, s->at, MARK_BYTE);
  for (int i = 0; i < MOST_MARKS && behind != p->none; i++) {
    int32_t token = c->marks.tokens[i];
    if (token >= 0 && expr_next(p, behind, (unsigned)('0' + i)) != p->none)
      mask[token / 32] |= UINT32_C(1) << (token % 32);
  }
}

static void make_mask(const gale_constraint *c, const gale_constraint_state *s, uint32_t *mask) {
  mask_walk *walk = &c->learned->walk;
  memset(mask, 0, c->table->words * sizeof *mask);
  walk->mask = mask;
  if (s->started)
    mask_of(walk, s->at);
  else
    mask_of_start(walk, s->at);
  for (size_t i = 0; i < c->table->n_ends && s->at->nullable; i++)
    mask[c->table->ends[i] / 32] |= UINT32_C(1) << (c->table->ends[i] % 32);
  mask_marks(c, s, mask);
}

static gale_status find_mask(gale_constraint_state *s, work *w, gale_error *error) {
  const gale_constraint *c = s->constraint;
  automaton *a = s->in;
  size_t words = c->table->words;
  gale_status status = get_scratch(c, a, error);
  if (status) return status;
  if (!s->started && c->table->drops_space) {
    make_mask(c, s, w->mask);
  } else if (s->at->mask) {
    memcpy(w->mask, s->at->mask, words * sizeof *w->mask);
  } else {
    size_t slot = a->next_mask++ % KEPT_MASKS;
    uint32_t *kept = a->masks + slot * words;
    if (a->masked[slot]) a->masked[slot]->mask = NULL;
    a->masked[slot] = NULL;
    make_mask(c, s, kept);
    memcpy(w->mask, kept, words * sizeof *w->mask);
    if (!a->pool->failed) {
      a->masked[slot] = s->at;
      s->at->mask = kept;
    }
  }
  return GALE_OK;
}

gale_status gale_constraint_mask(gale_constraint_state *s, uint32_t *mask, gale_error *error) {
  return with_state(s, &(work){.run = find_mask, .steps = MASK_STEPS, .mask = mask}, error);
}

/* ---- Taking ---- */

static gale_status take_bytes(gale_constraint_state *s, work *w, gale_error *error) {
  (void)error;
  w->at = take(s->in->pool, s->at, w->bytes, w->n, &w->taken);
  return GALE_OK;
}

/* The state stands behind what was taken. */
static gale_status go_on(gale_constraint_state *s, const work *w, gale_error *error) {
  bytes_add(&s->text, (slice){w->bytes, w->taken});
  if (s->text.failed) {
    s->text.failed = false;
    return error_memory(error, w->taken);
  }
  s->at = w->at;
  return GALE_OK;
}

static int mark_of(const gale_constraint *c, int32_t token) {
  for (int i = 0; i < MOST_MARKS; i++)
    if (c->marks.tokens[i] == token) return i;
  return -1;
}

gale_status gale_constraint_accept(gale_constraint_state *s, int32_t token, gale_error *error) {
  const gale_tokenizer *t = s->constraint->table->tokenizer;
  if (token < 0 || token >= gale_tokenizer_size(t))
    return error_set(error, GALE_E_ARGUMENT, "token is %d: 0 to %d is accepted", token, gale_tokenizer_size(t) - 1);
  if (gale_tokenizer_is_end(t, token))
    return s->at->nullable ? GALE_OK
                           : error_set(error, GALE_E_ARGUMENT, "token %d ends a text that is not complete", token);
  token_type type = (token_type)t->types[token];
  size_t n;
  const char *text = texts_get(&t->plain, (uint32_t)token, &n);
  const char sign[2] = {(char)MARK_BYTE, (char)('0' + mark_of(s->constraint, token))};
  bool mark = mark_of(s->constraint, token) >= 0;
  if (mark) {
    text = sign;
    n = sizeof sign;
  } else if (n == 0 || type == TOKEN_CONTROL || type == TOKEN_UNKNOWN ||
             (has_marks(s->constraint) && memchr(text, MARK_BYTE, n))) {
    return error_set(error, GALE_E_ARGUMENT, "token %d has no text that the constraint could let through", token);
  } else if (!s->started && t->add_space_prefix && *text == ' ' && type != TOKEN_BYTE) {
    text++;
    n--;
  }
  work w = {.run = take_bytes, .steps = MASK_STEPS, .bytes = text, .n = n};
  gale_status status = with_state(s, &w, error);
  if (status) return status;
  if (w.taken < n) return error_set(error, GALE_E_ARGUMENT, "token %d may not come here", token);
  status = go_on(s, &w, error);
  /* Behind a control token a text begins anew. */
  if (!status) s->started = !mark;
  return status;
}

gale_status gale_constraint_accept_bytes(gale_constraint_state *s, const char *bytes, size_t n, size_t *taken,
                                         gale_error *error) {
  work w = {.run = take_bytes, .steps = byte_steps(n), .bytes = bytes, .n = n};
  gale_status status = with_state(s, &w, error);
  if (!status) status = go_on(s, &w, error);
  if (status) return status;
  s->started |= w.taken > 0;
  *taken = w.taken;
  return GALE_OK;
}

/* ---- Looking ahead ---- */

bool gale_constraint_complete(const gale_constraint_state *state) {
  return state->at->nullable;
}

static bool one_byte(const expr_table *t, unsigned c) {
  if (!t->map) return c == 1;
  const uint8_t *first = memchr(t->map, (int)c, 256);
  return first && !memchr(first + 1, (int)c, (size_t)(t->map + 256 - first - 1));
}

/* How many classes of bytes may come: 0, 1 with its number, or 2 for more. */
static int ways(expr_pool *p, expr *e, unsigned *way) {
  const expr_table *t = expr_table_of(p, e);
  int n = 0;
  for (unsigned c = 0; c < t->n && n < 2 && !p->failed; c++)
    if (expr_next(p, e, t->byte[c]) != p->none) {
      n++;
      *way = c;
    }
  return n;
}

static gale_status count_ways(gale_constraint_state *s, work *w, gale_error *error) {
  unsigned way;
  (void)error;
  w->ways = ways(s->in->pool, s->at, &way);
  return GALE_OK;
}

bool gale_constraint_final(const gale_constraint_state *state) {
  if (!state->at->nullable) return false;
  work w = {.run = count_ways, .steps = MASK_STEPS};
  gale_constraint_state there = *state;
  pthread_mutex_lock(&state->constraint->learned->lock);
  gale_status status = attempt(&there, &w, NULL);
  pthread_mutex_unlock(&state->constraint->learned->lock);
  return status == GALE_OK && w.ways == 0;
}

static gale_status find_forced(gale_constraint_state *s, work *w, gale_error *error) {
  expr_pool *p = s->in->pool;
  (void)w;
  s->forced.n = 0;
  unsigned way;
  for (expr *at = s->at; !at->nullable && s->forced.n < MOST_FORCED && ways(p, at, &way) == 1;) {
    const expr_table *t = expr_table_of(p, at);
    if (!one_byte(t, way)) break;
    char byte = (char)t->byte[way];
    bytes_add(&s->forced, (slice){&byte, 1});
    at = expr_next(p, at, (unsigned char)byte);
  }
  return s->forced.failed ? error_memory(error, s->forced.n) : GALE_OK;
}

gale_status gale_constraint_forced(gale_constraint_state *s, const char **text, size_t *n, gale_error *error) {
  gale_status status = with_state(s, &(work){.run = find_forced, .steps = MASK_STEPS}, error);
  if (status) return status;
  *text = s->forced.bytes;
  *n = s->forced.n;
  return GALE_OK;
}
