/* Expressions over bytes: the one form that schemas, patterns, grammars and choices are compiled to, and at the same
 * time the states of the automaton that reads a text. The state behind a byte is the expression's derivative by it
 * (Brzozowski): what may still follow.
 *
 * Expressions are hash-consed: equal ones are the same pointer. What is known of one - its derivatives, whether
 * anything can follow at all - is kept with it, so a state's work is done once. Alternatives are kept as sets whose
 * members share no first and no last part, by which ambiguous grammars keep few states. A sequence leans to the right:
 * its tail is the stack of what is to come. */
#ifndef CONSTRAINT_EXPR_H
#define CONSTRAINT_EXPR_H

#include <stddef.h>

#include "constraint/byte_set.h"
#include "gale.h"

typedef enum expr_kind {
  EXPR_VOID,   /* no text at all */
  EXPR_EMPTY,  /* the empty text */
  EXPR_SET,    /* one byte of a set */
  EXPR_TEXT,   /* these bytes */
  EXPR_SEQ,    /* head, then tail; head is no SEQ */
  EXPR_ALT,    /* any of its members, which are sorted by id */
  EXPR_AND,    /* what all members match */
  EXPR_NOT,    /* any bytes but what `of` matches */
  EXPR_REPEAT, /* `of`, least to most times */
  EXPR_CALL,   /* what the rule stands for */
  EXPR_EXCEPT, /* what `base` matches, but for some texts */
  EXPR_LAZY,   /* what a maker makes of a number, once it is needed */
} expr_kind;

enum { REPEAT_ALWAYS = UINT32_MAX };

typedef struct expr expr;

/* Texts in memory of the pool, sorted by their bytes. */
typedef struct expr_texts {
  const char *const *s;
  const uint32_t *n;
} expr_texts;
typedef struct expr_pool expr_pool;

/* Makes expressions of which there may be too many to make them all: a state's number is all that tells them apart. It,
 * and what it points at, lives as long as the pool. None of what it makes matches the empty text. */
typedef struct expr_maker expr_maker;
typedef struct expr_number {
  uint64_t half[2];
} expr_number;
struct expr_maker {
  expr *(*make)(expr_pool *p, const expr_maker *maker, expr_number number);
  expr **parts;       /* [n_parts] that it is made of; those that match nothing become VOID */
  expr_number needed; /* bit i: nothing is matched where part i matches nothing; i < 128 */
  uint32_t n_parts;
};

/* The derivatives of an expression. Bytes of one class lead to one target; targets are found when they are asked for.
 */
typedef struct expr_table {
  const uint8_t *map;  /* class of each byte; NULL: class 1 is `only`, class 0 the other bytes */
  const uint8_t *byte; /* one of each class */
  expr **target;       /* NULL: not asked for yet */
  uint16_t n;
  uint8_t only;
} expr_table;

typedef enum expr_life { LIFE_UNKNOWN, LIFE_SURE, LIFE_NONE } expr_life;

struct expr {
  uint8_t kind;
  bool nullable; /* matches the empty text */
  uint8_t life;  /* LIFE_SURE: it and, at its front, all parts of it match something */
  bool alive;    /* it matches something; parts at its front may not */
  bool asked;
  uint8_t within; /* what expr_within() found, two bits for each kind */
  uint8_t free;   /* of the masks: whether any characters may follow, 1: yes, 2: no */
  uint32_t id, hash;
  uint64_t mark, visit; /* scratch */
  union {
    const byte_set *set;
    struct {
      const char *s;
      uint32_t n;
    } text;
    struct {
      expr *head, *tail;
    } seq;
    struct {
      expr **items;
      uint32_t n;
    } list;
    struct {
      expr *of; /* NOT has this alone */
      uint32_t least, most;
    } repeat;
    uint32_t rule;
    struct {
      expr *base;
      const expr_texts *texts; /* of these, numbers first to last - 1, without their first `depth` bytes */
      uint32_t first, last, depth;
    } except;
    struct {
      const expr_maker *maker;
      expr_number number;
      expr *body; /* NULL: not made yet */
    } lazy;
  };
  expr *chain; /* of the hash table */
  expr_table *table;
  expr *after;    /* of expr_after_character(), once `asked` */
  uint32_t *mask; /* of the mask cache, or NULL */
};

typedef struct expr_rule {
  expr *body; /* NULL: not set */
  bool nullable, productive;
} expr_rule;

struct expr_pool {
  expr *none, *empty, *any; /* VOID, EMPTY, and NOT of VOID */
  expr_rule *rules;
  uint32_t n_rules, rules_capacity;
  size_t used, limit; /* bytes */
  uint64_t steps, step_limit;
  const char *failed; /* why nothing more can be had, or NULL; expressions are then VOID */
  bool no_memory;     /* ... since the system refused some */
  int depth;
  struct expr_memory *memory;
  expr **buckets;
  uint32_t n_buckets, n_exprs;
  uint64_t epoch;    /* of marks */
  expr *single[256]; /* TEXT of one byte */
  /* NULL, or what follows where a pattern was searched for and found: any text of a string. A sequence of a nullable
   * head and this is this alone: who makes such heads sees to it that they add nothing. */
  expr *rest;
  struct shared_map *maps; /* scratch of table_of_parts() */
  uint16_t *pairs;         /* scratch of refine() */
  struct json_parts *json;
};

gale_status expr_pool_open(size_t limit, expr_pool **pool, gale_error *error);
void expr_pool_close(expr_pool **pool);
/* Memory of the pool's, given back with it; NULL where the limit is reached, which then is the pool's failure. */
void *expr_alloc(expr_pool *p, size_t n);
void expr_fail(expr_pool *p, const char *why);

expr *expr_set(expr_pool *p, byte_set set);
expr *expr_range(expr_pool *p, unsigned first, unsigned last);
expr *expr_text(expr_pool *p, const char *s, size_t n); /* copied */
expr *expr_string(expr_pool *p, const char *s);
expr *expr_seq(expr_pool *p, expr *a, expr *b);
expr *expr_list(expr_pool *p, expr *const *items, size_t n); /* one after the other */
expr *expr_or(expr_pool *p, expr *a, expr *b);
expr *expr_alt(expr_pool *p, expr *const *items, size_t n); /* items are left as they are */
expr *expr_optional(expr_pool *p, expr *a);
/* Of AND and NOT, operands must be regular: their rules refer to one another at the end of a sequence alone. Emptiness
 * is then decided as states are made; expr_and() and expr_not() decide it for what they give. */
expr *expr_and(expr_pool *p, expr *a, expr *b);
expr *expr_not(expr_pool *p, expr *a);
/* What base matches but for n texts, which are copied. base matches more than these behind whatever each begins with,
 * so that there is always something left. */
expr *expr_except(expr_pool *p, expr *base, const char *const *texts, const size_t *lengths, size_t n);
/* most may be REPEAT_ALWAYS */
expr *expr_repeat(expr_pool *p, expr *a, uint32_t least, uint32_t most);

/* A rule, whose body comes later; whether it matches the empty text must be known now. */
uint32_t expr_rule_new(expr_pool *p, bool nullable);
void expr_rule_set(expr_pool *p, uint32_t rule, expr *body);
expr *expr_call(expr_pool *p, uint32_t rule);
expr *expr_lazy(expr_pool *p, const expr_maker *maker, expr_number number);
static inline bool expr_number_has(const expr_number *n, uint32_t bit) {
  return n->half[bit / 64] >> (bit % 64) & 1;
}
expr *expr_lazy_body(expr_pool *p, expr *lazy);
expr *expr_rule_body(expr_pool *p, uint32_t rule);
/* The same language as a call of a new rule, so that a set around it has one member for it. */
expr *expr_box(expr_pool *p, expr *body);

/* Call when all rules are set: finds which of them match anything at all; others become VOID. Returns start without
 * these. */
expr *expr_settle_rules(expr_pool *p, expr *start);
/* A rule that begins with itself, or UINT32_MAX. */
uint32_t expr_left_recursion(expr_pool *p);

/* ---- Reading ---- */

expr *expr_next_slow(expr_pool *p, expr *e, unsigned byte);

static inline unsigned expr_class(const expr_table *t, unsigned byte) {
  return t->map ? t->map[byte] : byte == t->only;
}

/* The state behind a byte; the pool's `none` where none can follow. Every other state has a completion. */
static inline expr *expr_next(expr_pool *p, expr *e, unsigned byte) {
  const expr_table *t = e->table;
  if (t) {
    expr *to = t->target[expr_class(t, byte)];
    if (to && to->life == LIFE_SURE) return to;
  }
  return expr_next_slow(p, e, byte);
}

/* e's table. */
const expr_table *expr_table_of(expr_pool *p, expr *e);

/* Where every character that JSON strings hold unescaped - not ", \ or below U+0020 - leads to the same state, that
 * state (which may be `none`); else NULL. */
expr *expr_after_character(expr_pool *p, expr *e);

/* Kinds of text that leave many states as they are, or nearly so. */
typedef enum expr_text_kind {
  TEXT_STRING, /* such characters */
  TEXT_WORD,   /* letters and digits of ASCII */
  TEXT_LOWER,  /* its small letters */
  TEXT_KINDS
} expr_text_kind;

bool text_kind_has(expr_text_kind kind, uint32_t c);

/* Whether any MOST_WITHIN characters of this kind may follow, whichever they are. False also where that is not easily
 * found. */
enum { MOST_WITHIN = 24 };
bool expr_within(expr_pool *p, expr *e, expr_text_kind kind);

#endif
