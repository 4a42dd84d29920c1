/* The commands: one table. Help, usage errors, the man page and the shells' completions come from it
 * and from option_table. */
#ifndef GALE_COMMANDS_COMMAND_H
#define GALE_COMMANDS_COMMAND_H

#include "gale/cli/options.h"

extern const command command_table[];    /* ended by an entry without a name */
extern const option_id common_options[]; /* of every command that computes with a model; ended by OPTION_COUNT */
extern const char model_help[];          /* what MODEL may be */

/* NULL if there is none. */
const command *command_find(const char *name);
/* The name of the command nearest to `name`, or NULL. */
const char *command_suggest(const char *name);

int run_main(const options *o);
int serve_main(const options *o);
int batch_main(const options *o);
int info_main(const options *o);
int tokenize_main(const options *o);
int detokenize_main(const options *o);
int constrain_main(const options *o);
int logits_main(const options *o);
int bench_main(const options *o);
int perplexity_main(const options *o);
int eval_main(const options *o);
int quantize_main(const options *o);
int synth_main(const options *o);
int list_main(const options *o);
int pull_main(const options *o);
int rm_main(const options *o);
int help_main(const options *o);

/* Help on one command (or NULL: on gale) to standard output. */
void help_print(const command *c);
/* The man page, and the completions of "bash", "zsh" or "fish", to standard output. */
void manual_print(void);
void completion_print(const char *shell);

#endif
