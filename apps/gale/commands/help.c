/* gale help, written from the tables. */
#include "gale/cli/console.h"
#include "gale/commands/command.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 79

/* Prints paragraphs (parted by newlines) wrapped at WIDTH, each line after indent blanks; the first line's
 * are taken as printed already. */
static void print_wrapped(const char *text, int indent) {
  int column = indent;
  for (const char *p = text; *p;) {
    int n = (int)strcspn(p, " \n");
    if (column > indent && column + 1 + n > WIDTH) {
      out_printf("\n%*s", indent, "");
      column = indent;
    }
    column += (int)(column > indent) + n;
    out_printf("%s%.*s", column > indent + n ? " " : "", n, p);
    p += n;
    if (*p == '\n') {
      out_printf("\n%*s", indent, "");
      column = indent;
    }
    p += *p != 0;
  }
  out_printf("\n");
}

/* Prints the options of a list that are common, or those that are not. */
static void print_options(const char *title, const option_id *list, bool common) {
  bool any = false;
  for (option_id id = 0; id < OPTION_COUNT; id++) {
    const option_spec *s = &option_table[id];
    if (!options_have(list, id) || options_have(common_options, id) != common || s->hidden) continue;
    if (!any) out_printf("\n%s:\n", title);
    any = true;
    char letter[5] = "    ", left[64];
    if (s->letter) snprintf(letter, sizeof letter, "-%c, ", s->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", letter, s->name, s->argument ? " " : "", s->argument ? s->argument : "");
    out_printf("  %-25s ", left);
    if (strlen(left) > 25) out_printf("\n%28s", "");
    print_wrapped(s->help, 28);
  }
}

static void print_overview(void) {
  out_printf("usage: gale COMMAND [ARGUMENTS] [OPTIONS]\n\nInference for the Mistral family of language models.\n\n"
             "Commands:\n");
  for (const command *c = command_table; c->name; c++) out_printf("  %-12s%s\n", c->name, c->summary);
  out_printf("\n");
  print_wrapped(model_help, 0);
  print_options("Common options", common_options, true);
  out_printf("\n'gale help COMMAND' tells more. 'gale --version' prints the version.\n"
             "Results go to standard output, all else to standard error. Exit status: 0 done,\n"
             "1 an error in the input, 2 wrong usage, 130 interrupted.\n");
}

void help_print(const command *c) {
  if (!c || strcmp(c->name, "help") == 0) {
    print_overview();
    return;
  }
  out_printf("usage: gale %s %s%s[OPTIONS]\n\n", c->name, c->arguments, *c->arguments ? " " : "");
  print_wrapped(c->description, 0);
  if (strncmp(c->arguments, "MODEL", 5) == 0) {
    out_printf("\n");
    print_wrapped(model_help, 0);
  }
  print_options("Options", c->options, false);
  print_options("Common options", c->options, true);
}

int help_main(const options *o) {
  if (o->man)
    manual_print();
  else if (o->completion)
    completion_print(o->completion);
  else if (!o->n_arguments)
    help_print(NULL);
  else {
    const command *c = command_find(o->arguments[0]);
    const char *near = c ? NULL : command_suggest(o->arguments[0]);
    if (near) return usage_error(o, "unknown command '%s'; did you mean '%s'?", o->arguments[0], near);
    if (!c) return usage_error(o, "unknown command '%s'", o->arguments[0]);
    help_print(c);
  }
  return 0;
}
