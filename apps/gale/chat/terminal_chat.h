/* The chat on a terminal. */
#ifndef GALE_CHAT_TERMINAL_CHAT_H
#define GALE_CHAT_TERMINAL_CHAT_H

#include "gale/chat/generator.h"

/* Talks until the user leaves. With raw text user and model continue one text. Returns the exit status. */
int chat_loop(generator *g);

#endif
