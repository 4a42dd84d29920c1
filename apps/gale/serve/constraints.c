#include "gale/serve/constraints.h"

#include "gale/cli/console.h"
#include "json/value.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_KEPT = 32 };

struct compiled {
  byte_list key; /* all that the options say */
  gale_constraint *constraint;
  int holders;
  uint64_t used; /* when last */
};

struct constraints {
  gale_mask_table *table;
  compiled *kept[MOST_KEPT]; /* NULL: none */
  uint64_t clock;
  double seconds;
};

gale_status constraints_open(const gale_tokenizer *tokenizer, constraints **opened, gale_error *error) {
  constraints *c = calloc(1, sizeof *c);
  if (!c) {
    *error = (gale_error){GALE_E_MEMORY, "out of memory"};
    return GALE_E_MEMORY;
  }
  gale_status status = gale_mask_table_open(tokenizer, &c->table, error);
  if (status)
    free(c);
  else
    *opened = c;
  return status;
}

void constraints_close(constraints **opened) {
  constraints *c = *opened;
  if (!c) return;
  for (int i = 0; i < MOST_KEPT; i++) compiled_release(&c->kept[i]);
  gale_mask_table_close(&c->table);
  free(c);
  *opened = NULL;
}

void compiled_release(compiled **held) {
  compiled *one = *held;
  *held = NULL;
  if (!one || --one->holders > 0) return;
  gale_constraint_close(&one->constraint);
  free(one->key.bytes);
  free(one);
}

const gale_constraint *compiled_get(const compiled *c) {
  return c->constraint;
}

double constraints_seconds(const constraints *c) {
  return c->seconds;
}

static void add_key(byte_list *key, const gale_constraint_options *o) {
  const char facts[] = {(char)o->kind, (char)o->lenient, (char)o->open, (char)o->any_order};
  bytes_add(key, (slice){facts, sizeof facts});
  for (size_t i = 0; i < o->n_choices; i++) bytes_add(key, (slice){o->choices[i], strlen(o->choices[i]) + 1});
  const char more[] = {(char)o->required, (char)o->single, (char)o->generic_tools, o->content != NULL,
                       o->function != NULL};
  bytes_add(key, (slice){more, sizeof more});
  if (o->form) bytes_add(key, (slice){o->form, strlen(o->form) + 1});
  if (o->function) bytes_add(key, (slice){o->function, strlen(o->function) + 1});
  if (o->text) bytes_add(key, (slice){o->text, o->length});
  if (o->content) add_key(key, o->content);
}

/* Its place: where it is, or else the place of the one that was not used for longest. */
static compiled **find(constraints *c, slice key) {
  compiled **oldest = &c->kept[0];
  for (compiled **at = c->kept; at < c->kept + MOST_KEPT; at++) {
    if (*at && slice_equal((slice){(*at)->key.bytes, (*at)->key.n}, key)) return at;
    if (*oldest && (!*at || (*at)->used < (*oldest)->used)) oldest = at;
  }
  return oldest;
}

static gale_status compile(constraints *c, const gale_constraint_options *wanted, compiled **made, gale_error *error) {
  compiled *one = calloc(1, sizeof *one);
  if (!one) {
    *error = (gale_error){GALE_E_MEMORY, "out of memory"};
    return GALE_E_MEMORY;
  }
  double start = seconds_now();
  gale_status status = gale_constraint_open(c->table, wanted, &one->constraint, error);
  c->seconds += seconds_now() - start;
  if (status)
    free(one);
  else
    *made = one;
  return status;
}

gale_status constraints_get(constraints *c, const gale_constraint_options *wanted, compiled **found,
                            gale_error *error) {
  byte_list key = {0};
  add_key(&key, wanted);
  gale_status status = GALE_OK;
  compiled **at = find(c, (slice){key.bytes, key.n}), *made = NULL;
  bool there = *at && slice_equal((slice){(*at)->key.bytes, (*at)->key.n}, (slice){key.bytes, key.n});
  if (key.failed) {
    *error = (gale_error){GALE_E_MEMORY, "out of memory"};
    status = GALE_E_MEMORY;
  } else if (!there) {
    status = compile(c, wanted, &made, error);
  }
  if (made) {
    compiled_release(at);
    made->key = key;
    made->holders = 1;
    *at = made;
  } else {
    free(key.bytes);
  }
  if (status) return status;
  (*at)->holders++;
  (*at)->used = ++c->clock;
  *found = *at;
  return GALE_OK;
}
