/* The chat on a terminal. */
#ifndef GALE_CHAT_H
#define GALE_CHAT_H

#include "conversation.h"
#include "generator.h"

/* Talks until the user leaves. raw: without a template, as one text that both write on. Returns the
 * exit status. */
int chat_loop(generator *g, bool raw);

#endif
