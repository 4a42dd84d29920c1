/* Shell completions, written from the tables: gale help --completion SHELL. */
#include "gale/cli/console.h"
#include "gale/commands/command.h"

#include <string.h>

static bool listed(const command *c, option_id id) {
  return options_have(c->options, id) && !option_table[id].hidden;
}

/* The values that are offered for an option, ended by NULL: its choices, or of an open set those with a name. */
static const char *const *offered(option_id id) {
  static const char *const types[] = {"f32",  "f16",  "bf16", "q8_0",   "q4_0",   "q4_1",   "q5_0", "q5_1",
                                      "q4_k", "q5_k", "q6_k", "q4_k_s", "q4_k_m", "q5_k_m", NULL};
  if (id == OPTION_TEMPLATE) return gale_chat_templates();
  if (id == OPTION_TYPE || id == OPTION_QUANT) return types;
  return option_table[id].choices;
}

static void print_offered(option_id id) {
  const char *const *values = offered(id);
  for (const char *const *c = values; *c; c++) out_printf("%s%s", c == values ? "" : " ", *c);
}

static void print_flags(const option_spec *s) {
  if (s->letter) out_printf("-%c ", s->letter);
  out_printf("--%s", s->name);
}

static void print_command_names(void) {
  for (const command *c = command_table; c->name; c++) out_printf("%s%s", c == command_table ? "" : " ", c->name);
}

/* ---- bash ---- */

static void bash_values(void) {
  out_printf("  case $before in\n");
  for (option_id id = 0; id < OPTION_COUNT; id++) {
    const option_spec *s = &option_table[id];
    if (s->hidden || s->kind == KIND_FLAG) continue;
    out_printf("    ");
    if (s->letter) out_printf("-%c|", s->letter);
    out_printf("--%s) ", s->name);
    if (offered(id)) {
      out_printf("COMPREPLY=($(compgen -W '");
      print_offered(id);
      out_printf("' -- \"$word\")); return ;;\n");
    } else if (s->kind == KIND_FILE) {
      out_printf("_gale_files \"$word\"; return ;;\n");
    } else {
      out_printf("return ;;\n");
    }
  }
  out_printf("  esac\n");
}

static void bash_print(void) {
  out_printf("# bash completion for gale; printed by: gale help --completion bash\n"
             "# Files whose names begin with a word as it is typed: its escapes and quotes are no part of a name.\n"
             "_gale_files() {\n"
             "  local typed=${1//\\\\/} name\n"
             "  typed=${typed#[\\\"\\']}\n"
             "  while IFS= read -r name; do COMPREPLY+=(\"$name\"); done < <(compgen -f -- \"$typed\")\n"
             "}\n\n_gale() {\n"
             "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=\n"
             "  COMPREPLY=()\n"
             "  if ((COMP_CWORD == 1)); then\n    COMPREPLY=($(compgen -W '");
  print_command_names();
  out_printf(" --version --help' -- \"$word\"))\n    return\n  fi\n");
  bash_values();
  out_printf("  case ${COMP_WORDS[1]} in\n");
  for (const command *c = command_table; c->name; c++) {
    out_printf("    %s) words='", c->name);
    for (option_id id = 0, n = 0; id < OPTION_COUNT; id++) {
      if (!listed(c, id)) continue;
      out_printf("%s", n++ ? " " : "");
      print_flags(&option_table[id]);
    }
    out_printf("' ;;\n");
  }
  out_printf("  esac\n"
             "  if [[ $word == -* ]]; then\n    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
             "  elif [[ ${COMP_WORDS[1]} == help ]]; then\n    COMPREPLY=($(compgen -W '");
  print_command_names();
  out_printf("' -- \"$word\"))\n"
             "  else\n"
             "    local models=${XDG_CACHE_HOME:-$HOME/.cache}/gale/models\n"
             "    COMPREPLY=($(compgen -W \"$(command ls \"$models\" 2>/dev/null)\" -- \"$word\"))\n"
             "    _gale_files \"$word\"\n"
             "  fi\n}\ncomplete -o filenames -F _gale gale\n");
}

/* ---- zsh ---- */

/* Text inside single quotes and brackets of a zsh or fish word. */
static void print_quoted(const char *text, const char *escaped) {
  for (const char *p = text; *p; p++) {
    bool escape = strchr(escaped, *p) != NULL;
    if (escape) out_printf("\\");
    if (*p == '\'' && !escape)
      out_printf("'\\''");
    else
      out_write(p, 1);
  }
}

static void zsh_option(option_id id) {
  const option_spec *s = &option_table[id];
  out_printf(" \\\n        ");
  if (s->letter)
    out_printf("'(-%c --%s)'{-%c,--%s}'", s->letter, s->name, s->letter, s->name);
  else
    out_printf("'%s--%s", s->kind == KIND_TEXTS ? "*" : "", s->name);
  out_printf("[");
  print_quoted(s->help, "[]:");
  out_printf("]");
  if (s->kind != KIND_FLAG) out_printf(":%s:", s->argument);
  if (s->kind == KIND_FILE) out_printf("_files");
  if (offered(id)) {
    out_printf("(");
    print_offered(id);
    out_printf(")");
  }
  out_printf("'");
}

static void zsh_print(void) {
  out_printf("#compdef gale\n# zsh completion for gale; printed by: gale help --completion zsh\n\n"
             "_gale_models() {\n"
             "  local -a names=(${XDG_CACHE_HOME:-$HOME/.cache}/gale/models/*(N:t))\n"
             "  compadd -a names\n  _files\n}\n\n"
             "_gale() {\n  local -a commands=(\n");
  for (const command *c = command_table; c->name; c++) {
    out_printf("    '%s:", c->name);
    print_quoted(c->summary, ":");
    out_printf("'\n");
  }
  out_printf("  )\n  if ((CURRENT == 2)); then\n    _describe command commands\n    return\n  fi\n"
             "  local name=$words[2]\n  shift words\n  ((CURRENT--))\n  case $name in\n");
  for (const command *c = command_table; c->name; c++) {
    out_printf("    %s)\n      _arguments", c->name);
    for (option_id id = 0; id < OPTION_COUNT; id++)
      if (listed(c, id)) zsh_option(id);
    if (strncmp(c->arguments, "MODEL", 5) == 0) out_printf(" \\\n        '1:MODEL:_gale_models'");
    if (c->max_arguments == 2) out_printf(" \\\n        '2: :_files'");
    if (strcmp(c->name, "help") == 0) {
      out_printf(" \\\n        '1:command:(");
      print_command_names();
      out_printf(")'");
    }
    out_printf(" ;;\n");
  }
  out_printf("  esac\n}\n\n_gale \"$@\"\n");
}

/* ---- fish ---- */

static void fish_print(void) {
  out_printf("# fish completion for gale; printed by: gale help --completion fish\n");
  for (const command *c = command_table; c->name; c++) {
    out_printf("complete -c gale -n __fish_use_subcommand -f -a %s -d '", c->name);
    print_quoted(c->summary, "'\\");
    out_printf("'\n");
  }
  out_printf("set -l models 'command ls (set -q XDG_CACHE_HOME; and echo $XDG_CACHE_HOME; or echo ~/.cache)"
             "/gale/models 2>/dev/null'\n");
  for (const command *c = command_table; c->name; c++) {
    if (strncmp(c->arguments, "MODEL", 5) == 0)
      out_printf("complete -c gale -n '__fish_seen_subcommand_from %s' -a \"($models)\"\n", c->name);
    for (option_id id = 0; id < OPTION_COUNT; id++) {
      const option_spec *s = &option_table[id];
      if (!listed(c, id)) continue;
      out_printf("complete -c gale -n '__fish_seen_subcommand_from %s' -l %s", c->name, s->name);
      if (s->letter) out_printf(" -s %c", s->letter);
      if (s->kind != KIND_FLAG) out_printf(s->kind == KIND_FILE ? " -rF" : " -x");
      if (offered(id)) {
        out_printf(" -a '");
        print_offered(id);
        out_printf("'");
      }
      out_printf(" -d '");
      print_quoted(s->help, "'\\");
      out_printf("'\n");
    }
  }
}

void completion_print(const char *shell) {
  if (strcmp(shell, "bash") == 0)
    bash_print();
  else if (strcmp(shell, "zsh") == 0)
    zsh_print();
  else
    fish_print();
}
