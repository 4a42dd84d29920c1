/* Schemas as what they say of each kind of value. A schema, or several that all hold, is resolved to a list of shapes:
 * a value satisfies it if it satisfies one of these. A shape is of one kind of value; what is within a value - members,
 * items - stays a list of schemas that all hold, to be resolved when it is needed. */
#ifndef CONSTRAINT_SCHEMA_SHAPE_H
#define CONSTRAINT_SCHEMA_SHAPE_H

#include "base/arena.h"
#include "constraint/decimal.h"
#include "constraint/expr.h"
#include "gale_constraint.h"
#include "json/value.h"

/* A schema that is to hold, or not to. */
typedef struct clause {
  const value *schema;
  bool not ;
  bool open; /* objects with `properties` alone may have other members */
} clause;

/* Clauses that all hold; each list is there once, so that pointers can be compared. */
typedef struct shape shape;
typedef struct shape_list {
  shape **shapes;
  size_t n;
} shape_list;

typedef struct clause_list clause_list;
struct clause_list {
  size_t n;
  uint32_t hash;
  clause_list *next;
  expr *compiled;
  uint32_t rule; /* while it is compiled and was met within itself; else UINT32_MAX */
  bool compiling;
  int8_t possible; /* 0 not known, 1 no, 2 perhaps */
  bool resolved;
  shape_list shapes; /* once it is */
  clause clauses[];
};

typedef enum shape_kind {
  SHAPE_NULL,
  SHAPE_FALSE,
  SHAPE_TRUE,
  SHAPE_NUMBER,
  SHAPE_STRING,
  SHAPE_ARRAY,
  SHAPE_OBJECT,
  SHAPE_KINDS
} shape_kind;

typedef struct bound {
  bool there, exclusive;
  decimal number;
} bound;

/* What one schema says of strings: its pattern, or a format. */
typedef struct text_rule text_rule;
struct text_rule {
  text_rule *next;
  const value *at; /* for messages */
  slice pattern;
  bool not ;
};

/* A value that must not be; or, in a list of literals, one that may. */
typedef struct value_list value_list;
struct value_list {
  value_list *next;
  const value *v;
};

typedef struct number_rule number_rule;
struct number_rule {
  number_rule *next;
  const value *at;
  decimal divisor;
  bool not ;
};

/* What one schema says of items. */
typedef struct item_rule item_rule;
struct item_rule {
  item_rule *next;
  clause_list **prefix; /* [n_prefix] */
  size_t n_prefix;
  clause_list *rest;
};

/* At least so many items, and at most, satisfy these. */
typedef struct contains_rule contains_rule;
struct contains_rule {
  contains_rule *next;
  const value *at;
  clause_list *of;
  uint32_t least, most;
};

typedef struct named_clauses {
  slice name; /* or pattern */
  const value *at;
  clause_list *of;
} named_clauses;

/* What one schema says of members: those it names, those whose names match, and all others. */
typedef struct member_rule member_rule;
struct member_rule {
  member_rule *next;
  named_clauses *named, *matching;
  size_t n_named, n_matching;
  clause_list *others;
};

typedef struct name_list name_list;
struct name_list {
  name_list *next;
  slice name;
};

typedef struct clause_chain clause_chain;
struct clause_chain {
  clause_chain *next;
  clause_list *of;
};

struct shape {
  shape_kind kind;
  bool literal; /* the value is one of `values` */
  value_list *values, *excluded;
  uint32_t least, most; /* characters, items, members */
  /* Numbers */
  bool whole, broken; /* it is an integer; it is none */
  bound low, high;
  number_rule *multiples;
  /* Strings */
  text_rule *texts;
  /* Arrays */
  item_rule *items;
  contains_rule *contains;
  const value *unique; /* the keyword that asks for items that differ, or NULL */
  /* Objects */
  member_rule *members;
  name_list *required;
  clause_chain *names; /* what all names satisfy */
  bool closed;         /* names that no schema mentions are not there */
};

typedef struct compiled_text compiled_text;

typedef struct schema_compiler {
  expr_pool *p;
  arena memory;
  const value *root;
  bool lenient, open, any_order;
  bool strict_integers; /* 1.0 is none, as up to draft 4 */
  bool refs_alone;      /* $ref hides what stands beside it, as up to draft 7 */
  gale_error *error;
  gale_status status;
  clause_list *lists[1024];
  clause_list *anything, *nothing;
  compiled_text *patterns; /* that were compiled before */
  int depth;
  size_t work, nodes;
} schema_compiler;

/* ---- Errors ---- */

/* at: the value that is at fault; the message begins with its place. */
void schema_fail(schema_compiler *s, const value *at, gale_status status, const char *why);
bool schema_failed(const schema_compiler *s);
void *schema_alloc(schema_compiler *s, size_t n);
/* Counts work, and fails where it is too much. */
bool schema_work(schema_compiler *s, size_t n);

/* ---- Clauses and shapes ---- */

clause_list *clauses_of(schema_compiler *s, const clause *clauses, size_t n);
clause_list *clauses_one(schema_compiler *s, const value *schema, bool not, bool open);
clause_list *clauses_join(schema_compiler *s, clause_list *a, clause_list *b);

shape_list schema_resolve(schema_compiler *s, clause_list *clauses);
/* The shapes of both; those that no value satisfies are left out as far as that is seen. */
shape_list shapes_intersect(schema_compiler *s, shape_list a, shape_list b);
shape_list shapes_join(schema_compiler *s, shape_list a, shape_list b);
shape *shape_new(schema_compiler *s, shape_kind kind);
shape_list shapes_all(schema_compiler *s, unsigned kinds); /* bits of shape_kind */
shape_list shapes_add(schema_compiler *s, shape_list to, shape *one);

/* What a schema's own keywords say, without those that hold other schemas for the same value; and what they deny. */
shape_list schema_own(schema_compiler *s, const value *schema, bool open);
shape_list schema_own_not(schema_compiler *s, const value *schema, bool open);

/* Whether a value satisfies clauses or a shape. */
bool clauses_admit(schema_compiler *s, clause_list *clauses, const value *v);
bool shape_admits(schema_compiler *s, const shape *a, const value *v);
/* False where it is sure that no value does. */
bool clauses_possible(schema_compiler *s, clause_list *clauses);
bool shape_possible(schema_compiler *s, const shape *a);

bool values_equal(const value *a, const value *b);
shape_kind kind_of(const value *v);

/* What holds for the member of this name. */
clause_list *member_clauses(schema_compiler *s, const shape *a, slice name, bool *mentioned);
clause_list *item_clauses(schema_compiler *s, const shape *a, size_t i);

/* ---- Expressions ---- */

expr *schema_value(schema_compiler *s, clause_list *clauses);
expr *schema_string_content(schema_compiler *s, const shape *a); /* without quotes */
expr *schema_number(schema_compiler *s, const shape *a);
expr *schema_array(schema_compiler *s, const shape *a);
expr *schema_object(schema_compiler *s, const shape *a);
/* The content of strings in which a pattern is found. */
expr *schema_pattern(schema_compiler *s, slice pattern, const value *at);
/* Whether a text has a pattern in it. */
bool pattern_finds(schema_compiler *s, slice pattern, const value *at, slice text);
/* The pattern of a format's texts; not there for formats that say nothing. */
slice format_pattern(slice name);

#endif
