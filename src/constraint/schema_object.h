/* What an object's members come down to. */
#ifndef CONSTRAINT_SCHEMA_OBJECT_H
#define CONSTRAINT_SCHEMA_OBJECT_H

#include "constraint/json_text.h"
#include "constraint/schema_shape.h"

/* Members that may come in any order, and members that are counted, at most. */
enum { SHUFFLED_MOST = 112, COUNTED_MOST = 16000 };

typedef struct member {
  slice name;
  clause_list *of;
  bool required;
} member;

typedef struct object_parts {
  schema_compiler *s;
  expr_pool *p;
  const shape *a;
  const json_parts *j;
  member *members; /* [n] that may be there, in order */
  size_t n;
  const char **plain; /* [n_plain] names that are mentioned, of characters that are written in one way */
  size_t *lengths, n_plain;
  expr *declared;       /* other names that are mentioned, as alternatives */
  expr *other;          /* a member that is not, or VOID */
  uint32_t least, most; /* members, as far as they must be counted */
} object_parts;

/* A named member, with what may stand behind it. */
expr *object_member(object_parts *o, size_t i);

/* The members of an object in any order, at most SHUFFLED_MOST of them named, and its end. */
expr *members_in_any_order(object_parts *o);

#endif
