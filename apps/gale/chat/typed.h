/* What is typed in a chat: lines that make a message, and commands. */
#ifndef GALE_CHAT_TYPED_H
#define GALE_CHAT_TYPED_H

#include "gale/cli/input.h"

/* A message in the making; begin with zero, and free text.bytes. */
typedef struct typed {
  text text;
  bool quoted; /* it began with """: line breaks are kept until the next """, and it is no command */
} typed;

typedef enum typed_state { TYPED_MORE, TYPED_WHOLE, TYPED_NO_MEMORY } typed_state;

/* Takes the next line, n bytes without the line break. A line that ends in a backslash goes on in the next. */
typed_state typed_line(typed *t, const char *line, size_t n);

typedef enum chat_command {
  CHAT_HELP,
  CHAT_SYSTEM,
  CHAT_RESULT,
  CHAT_SAVE,
  CHAT_LOAD,
  CHAT_RESET,
  CHAT_REGENERATE,
  CHAT_STATS,
  CHAT_EXIT,
  N_CHAT_COMMANDS,
  CHAT_UNKNOWN = N_CHAT_COMMANDS, /* begins with a slash, but there is no such command */
  CHAT_MESSAGE,                   /* no command */
} chat_command;

typedef struct chat_command_info {
  const char *name, *argument; /* argument "": it takes none */
  const char *help;
} chat_command_info;

extern const chat_command_info chat_commands[N_CHAT_COMMANDS];

/* What a whole message asks for; *argument, which lives as long as t's text, is what follows the command's name. */
chat_command typed_command(const typed *t, const char **argument);

#endif
