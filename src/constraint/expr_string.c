/* What characters of JSON strings do to states. */
#include "constraint/expr_build.h"

#include <stdlib.h>

typedef struct lead_bytes {
  uint8_t first, last, low, high; /* of the first byte, of the second */
  uint8_t more;                   /* bytes behind the second */
} lead_bytes;

static const lead_bytes LEADS[] = {
    {0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1}, {0xE1, 0xEC, 0x80, 0xBF, 1},
    {0xED, 0xED, 0x80, 0x9F, 1}, {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2},
    {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2}, {0x80, 0xBF, 0x80, 0xBF, 0}, /* further bytes */
};

enum { CONTINUED = sizeof LEADS / sizeof *LEADS - 1 };

/* Where all bytes of a range lead, or NULL where that is not one place. */
static expr *next_of_range(expr_pool *p, expr *e, unsigned first, unsigned last) {
  const expr_table *t = expr_table_of(p, e);
  unsigned c = expr_class(t, first);
  for (unsigned b = first + 1; b <= last; b++)
    if (expr_class(t, b) != c) return NULL;
  return expr_next(p, e, first);
}

static expr *find_after(expr_pool *p, expr *e) {
  expr *to = next_of_range(p, e, 0x23, 0x5B);
  if (!to || next_of_range(p, e, 0x20, 0x21) != to || next_of_range(p, e, 0x5D, 0x7F) != to) return NULL;
  for (size_t i = 0; i < CONTINUED; i++) {
    const lead_bytes *lead = &LEADS[i];
    expr *at = next_of_range(p, e, lead->first, lead->last);
    if (at) at = next_of_range(p, at, lead->low, lead->high);
    for (int k = 0; at && k < lead->more; k++) at = next_of_range(p, at, 0x80, 0xBF);
    if (at != to) return NULL;
  }
  return to;
}

expr *expr_after_character(expr_pool *p, expr *e) {
  if (e->asked) return e->after;
  expr *to;
  if (e->kind == EXPR_SEQ && !e->seq.head->nullable) {
    to = expr_after_character(p, e->seq.head);
    if (to) to = expr_settle(p, expr_seq(p, to, e->seq.tail));
  } else {
    to = find_after(p, e);
  }
  if (p->failed) return NULL;
  e->after = to;
  e->asked = true;
  return to;
}

/* ---- Any characters ---- */

enum { MOST_STATES = 300 };

typedef struct spread {
  expr_pool *p;
  const struct text_kind *kind;
  expr_vector states; /* that were found; those from `level` on at this distance */
  uint64_t visit;
} spread;

static void add_state(spread *s, expr *e) {
  if (e->visit == s->visit) return;
  e->visit = s->visit;
  vector_add(s->p, &s->states, e);
}

/* Adds what all bytes of a range lead to, or of each their continuation bytes. False where some lead nowhere. */
static bool spread_range(spread *s, expr *e, unsigned first, unsigned last, const lead_bytes *lead, int more) {
  const expr_table *t = expr_table_of(s->p, e);
  unsigned before = UINT32_MAX;
  for (unsigned b = first; b <= last && !s->p->failed; b++) {
    unsigned c = expr_class(t, b);
    if (c == before) continue;
    before = c;
    expr *to = expr_next(s->p, e, b);
    if (to == s->p->none) return false;
    if (more > 0) {
      if (!spread_range(s, to, lead->low, lead->high, &LEADS[CONTINUED], more - 1)) return false;
    } else {
      add_state(s, to);
    }
  }
  return !s->p->failed;
}

/* Ranges of ASCII; letters that are none have more bytes. */
typedef struct text_kind {
  uint8_t ranges[3][2];
  bool beyond; /* and all characters beyond ASCII */
} text_kind;

static const text_kind KINDS[TEXT_KINDS] = {
    [TEXT_STRING] = {{{0x5D, 0x7F}, {0x20, 0x21}, {0x23, 0x5B}}, true},
    [TEXT_WORD] = {{{'a', 'z'}, {'A', 'Z'}, {'0', '9'}}, false},
    [TEXT_LOWER] = {{{'a', 'z'}, {'a', 'z'}, {'a', 'z'}}, false},
};

bool text_kind_has(expr_text_kind kind, uint32_t c) {
  const text_kind *k = &KINDS[kind];
  for (int i = 0; i < 3; i++)
    if (k->ranges[i][0] <= c && c <= k->ranges[i][1]) return true;
  return k->beyond && c >= 0x80;
}

static bool spread_characters(spread *s, expr *e) {
  for (int i = 0; i < 3; i++)
    if (!spread_range(s, e, s->kind->ranges[i][0], s->kind->ranges[i][1], NULL, 0)) return false;
  if (!s->kind->beyond) return true;
  for (size_t i = 0; i < CONTINUED; i++)
    if (!spread_range(s, e, LEADS[i].first, LEADS[i].last, &LEADS[i], 1 + LEADS[i].more)) return false;
  return true;
}

enum { NOT_KNOWN, NO, YES };

static uint8_t known_within(const expr *e, expr_text_kind kind) {
  return e->within >> (2 * kind) & 3;
}

static void set_within(expr *e, expr_text_kind kind, uint8_t answer) {
  e->within = (uint8_t)((e->within & ~(3 << (2 * kind))) | answer << (2 * kind));
}

static bool find_within(expr_pool *p, expr *e, expr_text_kind kind) {
  spread s = {.p = p, .kind = &KINDS[kind], .visit = ++p->epoch};
  bool yes = true;
  size_t done = 0;
  vector_begin(&s.states);
  add_state(&s, e);
  for (int level = 0; level < MOST_WITHIN && yes && done < s.states.n; level++)
    for (size_t end = s.states.n; done < end && yes; done++) {
      expr *at = s.states.items[done];
      uint8_t known = known_within(at, kind);
      yes = known != NO && (known == YES || spread_characters(&s, at)) && s.states.n < MOST_STATES;
    }
  /* Where no state is left to look at, all of them can go on for ever. */
  for (size_t i = 0; yes && done == s.states.n && i < done; i++) set_within(s.states.items[i], kind, YES);
  vector_end(&s.states);
  return yes;
}

bool expr_within(expr_pool *p, expr *e, expr_text_kind kind) {
  uint8_t known = known_within(e, kind);
  if (known) return known == YES;
  bool yes =
      e->kind == EXPR_SEQ && !e->seq.head->nullable ? expr_within(p, e->seq.head, kind) : find_within(p, e, kind);
  if (p->failed) return false;
  set_within(e, kind, yes ? YES : NO);
  return yes;
}
