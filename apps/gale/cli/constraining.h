/* The constraint that a command line asks for: --json-schema FILE, --json, --regex TEXT, --choice TEXT, --grammar FILE.
 */
#ifndef GALE_CLI_CONSTRAINING_H
#define GALE_CLI_CONSTRAINING_H

#include "gale/cli/options.h"
#include "gale_constraint.h"

/* How many of them are given; each --choice counts for the same one. json says whether --json is one. */
int constraints_given(const options *o, bool json);

/* Compiles it; exactly one is given, or with json none but --json. Returns 0, or an exit status after saying what is
 * wrong. The caller closes *constraint. */
int open_constraint(const options *o, const gale_mask_table *table, gale_constraint **constraint);

#endif
