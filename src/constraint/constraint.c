/* Constraints and the states of texts in them. */
#include "constraint/constraint.h"
#include "base/sized.h"
#include "base/utf8.h"
#include "constraint/compile.h"
#include "constraint/json_text.h"
#include "constraint/mask.h"
#include "tokenizer/built.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
  MOST_MEMORY = 48 << 20, /* bytes of a constraint's expressions */
  COMPILE_STEPS = 1 << 20,
  MASK_STEPS = 1 << 20,
  BYTE_STEPS = 1 << 12,
  KEPT_MASKS = 32,
  MOST_CHOICES = 1024,
  MOST_FORCED = 65536,
};

struct gale_constraint {
  const gale_mask_table *table;
  expr_pool *pool;
  expr *start;
  pthread_mutex_t lock;
  mask_walk walk;
  /* Masks of the states that were asked for last: expr.mask points into them. */
  uint32_t *masks;
  expr *masked[KEPT_MASKS];
  size_t next_mask;
};

struct gale_constraint_state {
  gale_constraint *constraint;
  expr *at;
  bool started; /* a token with a text has come */
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

static gale_status compile(gale_constraint *c, const gale_constraint_options *o, gale_error *error) {
  expr_pool *p = c->pool;
  expr *e = p->none;
  slice text = {o->text ? o->text : "", o->text ? o->length : 0};
  gale_status status;
  p->step_limit = COMPILE_STEPS;
  switch (o->kind) {
  case GALE_CONSTRAINT_JSON:
    status = compile_json(p, &e);
    break;
  case GALE_CONSTRAINT_JSON_SCHEMA:
    status = compile_schema(p, o, &e, error);
    break;
  case GALE_CONSTRAINT_REGEX:
    status = compile_pattern(p, text, PATTERN_WHOLE, &e, error);
    break;
  case GALE_CONSTRAINT_CHOICE:
    status = compile_choices(p, o, &e, error);
    break;
  case GALE_CONSTRAINT_GRAMMAR:
    status = compile_grammar(p, text, &e, error);
    break;
  default:
    status = error_set(error, GALE_E_ARGUMENT, "kind is %d: 0 to 4 is accepted", (int)o->kind);
  }
  if (!status) status = pool_status(p, "byte 0", error);
  if (!status && e == p->none) status = error_set(error, GALE_E_ARGUMENT, "byte 0: no text can satisfy the constraint");
  c->start = e;
  return status;
}

gale_status gale_constraint_open(const gale_mask_table *table, const gale_constraint_options *options,
                                 gale_constraint **constraint, gale_error *error) {
  gale_constraint_options o;
  gale_constraint_defaults(&o);
  gale_status status = sized_read(&o, sizeof o, options, "gale_constraint_options", error);
  if (status) return status;
  gale_constraint *c = calloc(1, sizeof *c);
  if (!c) return error_memory(error, sizeof *c);
  pthread_mutex_init(&c->lock, NULL);
  c->table = table;
  status = expr_pool_open(MOST_MEMORY, &c->pool, error);
  if (!status) status = compile(c, &o, error);
  if (status)
    gale_constraint_close(&c);
  else
    *constraint = c;
  return status;
}

void gale_constraint_close(gale_constraint **constraint) {
  if (!constraint || !*constraint) return;
  gale_constraint *c = *constraint;
  expr_pool_close(&c->pool);
  pthread_mutex_destroy(&c->lock);
  free(c->walk.path);
  free(c->walk.other);
  free(c->masks);
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

gale_status gale_constraint_begin(const gale_constraint *constraint, gale_constraint_state **state, gale_error *error) {
  gale_constraint_state *s = calloc(1, sizeof *s);
  if (!s) return error_memory(error, sizeof *s);
  s->constraint = (gale_constraint *)(uintptr_t)constraint; /* what it learns as it goes is behind its lock */
  s->at = constraint->start;
  *state = s;
  return GALE_OK;
}

gale_status gale_constraint_fork(const gale_constraint_state *state, gale_constraint_state **fork, gale_error *error) {
  gale_constraint_state *s = calloc(1, sizeof *s);
  if (!s) return error_memory(error, sizeof *s);
  *s = (gale_constraint_state){.constraint = state->constraint, .at = state->at, .started = state->started};
  *fork = s;
  return GALE_OK;
}

void gale_constraint_end(gale_constraint_state **state) {
  if (!state || !*state) return;
  free((*state)->forced.bytes);
  free(*state);
  *state = NULL;
}

static expr_pool *enter(gale_constraint *c, uint64_t steps) {
  pthread_mutex_lock(&c->lock);
  c->pool->step_limit = c->pool->steps + steps;
  return c->pool;
}

/* A failure is of the work at hand alone: what is there stays whole. */
static gale_status leave(gale_constraint *c, gale_error *error) {
  gale_status status = pool_status(c->pool, "constraint", error);
  c->pool->failed = NULL;
  c->pool->no_memory = false;
  pthread_mutex_unlock(&c->lock);
  return status;
}

/* ---- Masks ---- */

static gale_status get_scratch(gale_constraint *c, gale_error *error) {
  if (c->masks) return GALE_OK;
  size_t states = (size_t)c->table->longest + 1, words = c->table->words;
  if (!c->walk.path) c->walk.path = malloc(states * sizeof *c->walk.path);
  if (!c->walk.other) c->walk.other = malloc(states * sizeof *c->walk.other);
  if (c->walk.path && c->walk.other) c->masks = malloc(KEPT_MASKS * words * sizeof *c->masks);
  if (!c->masks) return error_memory(error, KEPT_MASKS * words * sizeof *c->masks);
  c->walk.pool = c->pool;
  c->walk.table = c->table;
  return GALE_OK;
}

static void make_mask(gale_constraint *c, const gale_constraint_state *s, uint32_t *mask) {
  memset(mask, 0, c->table->words * sizeof *mask);
  c->walk.mask = mask;
  if (s->started)
    mask_of(&c->walk, s->at);
  else
    mask_of_start(&c->walk, s->at);
  for (size_t i = 0; i < c->table->n_ends && s->at->nullable; i++)
    mask[c->table->ends[i] / 32] |= UINT32_C(1) << (c->table->ends[i] % 32);
}

gale_status gale_constraint_mask(gale_constraint_state *s, uint32_t *mask, gale_error *error) {
  gale_constraint *c = s->constraint;
  enter(c, MASK_STEPS);
  gale_status status = get_scratch(c, error);
  size_t words = c->table->words;
  if (!status && !s->started && c->table->drops_space) {
    make_mask(c, s, mask);
  } else if (!status && s->at->mask) {
    memcpy(mask, s->at->mask, words * sizeof *mask);
  } else if (!status) {
    size_t slot = c->next_mask++ % KEPT_MASKS;
    uint32_t *kept = c->masks + slot * words;
    if (c->masked[slot]) c->masked[slot]->mask = NULL;
    c->masked[slot] = NULL;
    make_mask(c, s, kept);
    memcpy(mask, kept, words * sizeof *mask);
    if (!c->pool->failed) {
      c->masked[slot] = s->at;
      s->at->mask = kept;
    }
  }
  gale_status worked = leave(c, error);
  return status ? status : worked;
}

/* ---- Taking ---- */

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

gale_status gale_constraint_accept(gale_constraint_state *s, int32_t token, gale_error *error) {
  gale_constraint *c = s->constraint;
  const gale_tokenizer *t = c->table->tokenizer;
  if (token < 0 || token >= gale_tokenizer_size(t))
    return error_set(error, GALE_E_ARGUMENT, "token is %d: 0 to %d is accepted", token, gale_tokenizer_size(t) - 1);
  if (gale_tokenizer_is_end(t, token))
    return s->at->nullable ? GALE_OK
                           : error_set(error, GALE_E_ARGUMENT, "token %d ends a text that is not complete", token);
  token_type type = (token_type)t->types[token];
  size_t n, taken;
  const char *text = texts_get(&t->plain, (uint32_t)token, &n);
  if (n == 0 || type == TOKEN_CONTROL || type == TOKEN_UNKNOWN)
    return error_set(error, GALE_E_ARGUMENT, "token %d has no text that the constraint could let through", token);
  if (!s->started && t->add_space_prefix && *text == ' ' && type != TOKEN_BYTE) {
    text++;
    n--;
  }
  expr_pool *p = enter(c, MASK_STEPS);
  expr *at = take(p, s->at, text, n, &taken);
  gale_status status = leave(c, error);
  if (status) return status;
  if (taken < n) return error_set(error, GALE_E_ARGUMENT, "token %d may not come here", token);
  s->at = at;
  s->started = true;
  return GALE_OK;
}

gale_status gale_constraint_accept_bytes(gale_constraint_state *s, const char *bytes, size_t n, size_t *taken,
                                         gale_error *error) {
  expr_pool *p = enter(s->constraint, MASK_STEPS + BYTE_STEPS * (uint64_t)n);
  size_t count;
  expr *at = take(p, s->at, bytes, n, &count);
  gale_status status = leave(s->constraint, error);
  if (status) return status;
  s->at = at;
  s->started |= count > 0;
  *taken = count;
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

bool gale_constraint_final(const gale_constraint_state *state) {
  if (!state->at->nullable) return false;
  unsigned way;
  expr_pool *p = enter(state->constraint, MASK_STEPS);
  int n = ways(p, state->at, &way);
  return leave(state->constraint, NULL) == GALE_OK && n == 0;
}

gale_status gale_constraint_forced(gale_constraint_state *s, const char **text, size_t *n, gale_error *error) {
  expr_pool *p = enter(s->constraint, MASK_STEPS);
  s->forced.n = 0;
  unsigned way;
  for (expr *at = s->at; !at->nullable && s->forced.n < MOST_FORCED && ways(p, at, &way) == 1;) {
    const expr_table *t = expr_table_of(p, at);
    if (!one_byte(t, way)) break;
    char byte = (char)t->byte[way];
    bytes_add(&s->forced, (slice){&byte, 1});
    at = expr_next(p, at, (unsigned char)byte);
  }
  gale_status status = leave(s->constraint, error);
  if (!status && s->forced.failed) status = error_memory(error, s->forced.n);
  if (status) return status;
  *text = s->forced.bytes;
  *n = s->forced.n;
  return GALE_OK;
}
