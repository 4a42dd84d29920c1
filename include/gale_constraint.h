/* gale_constraint.h - which tokens may come next, so that an answer satisfies a JSON schema, a regular expression or a
 * grammar, or is one of some choices. docs/CONSTRAINTS.md says what is accepted.
 *
 *   gale_mask_table        what constraints need of a vocabulary; immutable, shared freely between threads
 *   gale_constraint        one compiled constraint; shared freely between threads
 *   gale_constraint_state  where one text stands in it; one caller at a time
 *
 * Conventions are those of gale.h. Texts are bytes: a token counts by the bytes that gale_detokenize() gives for it at
 * its place; control tokens and the unknown token have none, and no constraint lets them through. */
#ifndef GALE_CONSTRAINT_H
#define GALE_CONSTRAINT_H

#include "gale.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Built once for a tokenizer, which must outlive it: some 20 MB and 0.2 s for 128,000 tokens. */
typedef struct gale_mask_table gale_mask_table;
GALE_API gale_status gale_mask_table_open(const gale_tokenizer *tokenizer, gale_mask_table **table, gale_error *error);
/* Every constraint of the table must be closed first. */
GALE_API void gale_mask_table_close(gale_mask_table **table);
/* 32-bit words of a mask: one bit for each token of the tokenizer. */
GALE_API size_t gale_mask_table_words(const gale_mask_table *table);

typedef enum gale_constraint_kind {
  GALE_CONSTRAINT_JSON,        /* a JSON object; text is not used */
  GALE_CONSTRAINT_JSON_SCHEMA, /* text: a schema */
  GALE_CONSTRAINT_REGEX,       /* text: a regular expression for all of the answer */
  GALE_CONSTRAINT_CHOICE,      /* choices: texts */
  GALE_CONSTRAINT_GRAMMAR,     /* text: GBNF with a rule `root` */
  GALE_CONSTRAINT_CALLS,       /* calls of tools; text: a JSON list of tools as in OpenAI's requests */
} gale_constraint_kind;

typedef struct gale_constraint_options {
  size_t size; /* of this struct, as the caller knows it: gale_constraint_defaults() sets it */
  gale_constraint_kind kind;
  const char *text; /* length bytes of UTF-8 */
  size_t length;
  const char *const *choices; /* [n_choices], 1 to 1024 different ones, none empty */
  size_t n_choices;
  bool lenient; /* schemas: keywords that cannot be enforced are ignored instead of refused */
  /* Schemas: objects whose `properties` stand without `additionalProperties` may have other members, as the standard
   * says. Else they are closed, as schemas that are written for models mean it. */
  bool open;
  /* Schemas: members of an object may come in any order, where at most 112 are named; else they come in the schema's,
   * and those that it does not name behind them. */
  bool any_order;
  /* Calls, as the template `form` has them: whole JSON, which meets the schema of a tool that is strict, or of any
   * where calls are required. Keywords that cannot be enforced are refused in strict tools alone. The form's control
   * tokens are let through where it has them. */
  const char *form;     /* name of a template */
  bool generic_tools;   /* as in gale_chat_options */
  const char *function; /* the one that may be called; NULL: any */
  bool required;        /* the answer is calls; else it is a text, in front of them too where the form has that */
  bool single;          /* one call at most */
  /* What a text without calls must satisfy; NULL: nothing. Not of this kind itself. */
  const struct gale_constraint_options *content;
} gale_constraint_options;

#define gale_constraint_defaults(options) gale_constraint_defaults_sized(options, sizeof *(options))
GALE_API void gale_constraint_defaults_sized(gale_constraint_options *options, size_t size);

/* Compiles; options are not needed afterwards, table is. A text that is malformed or asks for what gale does not have
 * gives GALE_E_ARGUMENT or GALE_E_UNSUPPORTED, and one that would take too much memory or time GALE_E_UNSUPPORTED;
 * error->message begins with the place: a JSON pointer into the schema, "byte N" of a pattern or a grammar. */
typedef struct gale_constraint gale_constraint;
GALE_API gale_status gale_constraint_open(const gale_mask_table *table, const gale_constraint_options *options,
                                          gale_constraint **constraint, gale_error *error);
/* Every state of it must be ended first. */
GALE_API void gale_constraint_close(gale_constraint **constraint);

/* A state at the beginning of an answer. */
typedef struct gale_constraint_state gale_constraint_state;
GALE_API gale_status gale_constraint_begin(const gale_constraint *constraint, gale_constraint_state **state,
                                           gale_error *error);
/* A second state at the place of the first. */
GALE_API gale_status gale_constraint_fork(const gale_constraint_state *state, gale_constraint_state **fork,
                                          gale_error *error);
GALE_API void gale_constraint_end(gale_constraint_state **state);

/* Sets bit i % 32 of mask[i / 32] where token i may come next: where some answer that satisfies the constraint goes on
 * with its bytes. The tokenizer's end tokens may come exactly where the text is complete. At least one token may,
 * unless the vocabulary has none for what must follow. mask has gale_mask_table_words() words, all of which are
 * written. GALE_E_UNSUPPORTED where the work or the memory that one mask may take does not suffice. */
GALE_API gale_status gale_constraint_mask(gale_constraint_state *state, uint32_t *mask, gale_error *error);

/* Takes a token. GALE_E_ARGUMENT, with nothing changed, if it may not come here. An end token changes nothing. */
GALE_API gale_status gale_constraint_accept(gale_constraint_state *state, int32_t token, gale_error *error);

/* Takes bytes, whatever tokens they come from. *taken of them fit; the state stands behind these. */
GALE_API gale_status gale_constraint_accept_bytes(gale_constraint_state *state, const char *bytes, size_t n,
                                                  size_t *taken, gale_error *error);

/* Whether the text may end here, and whether it must. */
GALE_API bool gale_constraint_complete(const gale_constraint_state *state);
GALE_API bool gale_constraint_final(const gale_constraint_state *state);

/* The bytes that must follow, up to where there is a choice or the text may end; *n is 0 where there is one at once,
 * and at most 65536. *text is owned by the state, until the next call with it that is not gale_constraint_complete().
 */
GALE_API gale_status gale_constraint_forced(gale_constraint_state *state, const char **text, size_t *n,
                                            gale_error *error);

#ifdef __cplusplus
}
#endif
#endif
