#include "gale/cli/constraining.h"

#include "gale/cli/console.h"
#include "gale/cli/input.h"

int constraints_given(const options *o, bool json) {
  return (o->json_schema != NULL) + (o->regex != NULL) + (o->grammar != NULL) + (o->choices.length > 0) +
         (json && o->json);
}

int open_constraint(const options *o, const gale_mask_table *table, gale_constraint **constraint) {
  gale_constraint_options wanted;
  gale_constraint_defaults(&wanted);
  const char *file = o->json_schema ? o->json_schema : o->grammar;
  const char *name = o->json_schema ? input_name(file)
                     : o->grammar   ? input_name(file)
                     : o->regex     ? "--regex"
                                    : "--choice";
  text t = {0};
  if (file) {
    int code = input_read(file, &t);
    if (code) return code;
    wanted.kind = o->json_schema ? GALE_CONSTRAINT_JSON_SCHEMA : GALE_CONSTRAINT_GRAMMAR;
    wanted.text = t.bytes;
    wanted.length = t.length;
  } else if (o->regex) {
    wanted.kind = GALE_CONSTRAINT_REGEX;
    wanted.text = o->regex;
    wanted.length = strlen(o->regex);
  } else if (o->choices.length > 0) {
    wanted.kind = GALE_CONSTRAINT_CHOICE;
    wanted.choices = o->choices.items;
    wanted.n_choices = o->choices.length;
  } else {
    wanted.kind = GALE_CONSTRAINT_JSON;
    name = "--json";
  }
  gale_error error = {0};
  gale_status status = gale_constraint_open(table, &wanted, constraint, &error);
  free(t.bytes);
  return status ? fail("%s: %s", name, error.message) : 0;
}
