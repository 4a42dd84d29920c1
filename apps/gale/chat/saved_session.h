/* A conversation that is kept in a file (--session): its messages, and the state of the sequence that has computed
 * them, so that it goes on where it was. */
#ifndef GALE_CHAT_SAVED_SESSION_H
#define GALE_CHAT_SAVED_SESSION_H

#include "gale/chat/conversation.h"
#include "gale/chat/generator.h"

/* Both return 0, or an exit status after saying what is wrong. */

/* Takes up what --session names, if there is such a file: fills in the empty conversation, and the generator's
 * sequence. */
int saved_session_restore(generator *g, conversation *talk, const prompt_form *form);

/* Writes both, in place of what the file held; on failure it stays what it was. */
int saved_session_keep(const generator *g, const conversation *talk);

#endif
