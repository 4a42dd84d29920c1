/* Reading messages from a terminal, with line editing and history. */
#ifndef GALE_CHAT_EDITOR_H
#define GALE_CHAT_EDITOR_H

#include "gale/chat/typed.h"

typedef struct editor editor;

typedef enum editor_result {
  EDITOR_MESSAGE,
  EDITOR_INTERRUPTED, /* Ctrl-C: what was typed is dropped */
  EDITOR_END,         /* Ctrl-D */
} editor_result;

/* The prompt and the typed text are shown on standard error. NULL if the terminal cannot be used. */
editor *editor_open(void);

/* One message, see typed.h. The caller frees t->text.bytes on EDITOR_MESSAGE. */
editor_result editor_read(editor *e, typed *t);

/* Saves the history. */
void editor_close(editor *e);

#endif
