/* gale: the command line over gale.h. */
#include "gale/cli/console.h"
#include "gale/cli/defaults.h"
#include "gale/commands/command.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

static int unknown_command(const char *name) {
  const char *near = command_suggest(name);
  const char *what = name[0] == '-' ? "option" : "command";
  if (near) return usage_error(NULL, "unknown %s '%s'; did you mean '%s'?", what, name, near);
  return usage_error(NULL, "unknown %s '%s'", what, name);
}

static int dispatch(int argc, char **argv) {
  if (argc < 2) return usage_error(NULL, "no command is given");
  const char *name = argv[1];
  if (strcmp(name, "--version") == 0) {
    if (argc > 2) return usage_error(NULL, "--version takes no arguments");
    out_printf("gale %s\n", gale_version());
    return 0;
  }
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
  const command *c = command_find(name);
  if (!c) return unknown_command(name);
  options o;
  int code = options_parse(&o, c, argc - 2, argv + 2);
  if (code) return code;
  if (o.help) {
    help_print(c);
    return 0;
  }
  defaults_apply(&o);
  return c->run(&o);
}

int main(int argc, char **argv) {
  /* Only characters follow the user's locale; numbers are read and written the same everywhere. */
  setlocale(LC_CTYPE, "");
  signals_start();
  return out_finish(dispatch(argc, argv));
}
