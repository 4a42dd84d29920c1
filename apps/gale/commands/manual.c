/* The man page, written from the tables: gale help --man. */
#include "gale/cli/console.h"
#include "gale/commands/command.h"

#include <string.h>

/* Text as roff takes it: a newline parts paragraphs. */
static void print_text(const char *text) {
  bool line_start = true;
  for (const char *p = text; *p; p++) {
    if (line_start && (*p == '.' || *p == '\'')) out_printf("\\&");
    line_start = false;
    if (*p == '\\')
      out_printf("\\e");
    else if (*p == '-')
      out_printf("\\-");
    else if (*p == '\n') {
      out_printf("\n.PP\n");
      line_start = true;
    } else
      out_write(p, 1);
  }
  out_printf("\n");
}

/* --help, which every command takes, stands with the common ones. */
static bool is_common(option_id id) {
  return id == OPTION_HELP || options_have(common_options, id);
}

static bool takes_all_common(const command *c) {
  for (const option_id *id = common_options; *id != OPTION_COUNT; id++)
    if (!options_have(c->options, *id)) return false;
  return true;
}

/* The options of a command that are not common; of NULL those that are. */
static void print_options(const command *c) {
  for (option_id id = 0; id < OPTION_COUNT; id++) {
    const option_spec *s = &option_table[id];
    if (s->hidden || is_common(id) == (c != NULL) || (c && !options_have(c->options, id))) continue;
    out_printf(".TP\n");
    if (s->letter) out_printf("\\fB\\-%c\\fR, ", s->letter);
    out_printf("\\fB\\-\\-");
    for (const char *p = s->name; *p; p++) out_printf(*p == '-' ? "\\-" : "%c", *p);
    out_printf("\\fR%s%s%s\n", s->argument ? " \\fI" : "", s->argument ? s->argument : "", s->argument ? "\\fR" : "");
    print_text(s->help);
  }
}

void manual_print(void) {
  out_printf(".TH GALE 1 \"\" \"gale %s\" \"User commands\"\n.SH NAME\n"
             "gale \\- inference for the Mistral family of language models\n"
             ".SH SYNOPSIS\n\\fBgale\\fR \\fICOMMAND\\fR [\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n",
             gale_version());
  print_text(model_help);
  out_printf(".PP\nResults go to standard output and nothing else does; progress, statistics and warnings go to "
             "standard error.\n.SH COMMANDS\n");
  for (const command *c = command_table; c->name; c++) {
    out_printf(".SS \"gale %s%s", c->name, *c->arguments ? " " : "");
    for (const char *p = c->arguments; *p; p++) out_printf(*p == '-' ? "\\-" : "%c", *p);
    out_printf("\"\n");
    print_text(c->description);
    print_options(c);
    if (takes_all_common(c)) out_printf(".PP\nTakes the common options.\n");
  }
  out_printf(".SH \"COMMON OPTIONS\"\n");
  print_options(NULL);
  out_printf(".SH \"EXIT STATUS\"\n0 done, 1 an error in the input, 2 wrong usage, 130 interrupted.\n"
             ".SH FILES\n.TP\n${XDG_CACHE_HOME:\\-~/.cache}/gale/models/\\fINAME\\fR/\nfetched models\n"
             ".TP\n${XDG_STATE_HOME:\\-~/.local/state}/gale/history\nlines typed in chats\n");
}
