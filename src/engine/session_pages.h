/* Pages of a sequence from outside: to be kept, and to be filled with what was kept instead of being computed.
 *
 * Like the calls that session.h lists, session_reserve(), session_restored() and session_give_up() change page tables
 * in a way that depends on their arguments alone. */
#ifndef ENGINE_SESSION_PAGES_H
#define ENGINE_SESSION_PAGES_H

#include "engine/session.h"

/* Whether group i is the first of those with its window: they hold pages of the same positions. */
bool session_leads(const gale_session *s, int32_t i);

/* The memory of page (position / KV_PAGE) of a group, session.cache.page_bytes; NULL where the sequence does not hold
 * it. Of a whole page it does not change as long as the sequence holds it. */
char *session_page(const gale_session *s, int32_t group, int32_t sequence, int32_t page);

/* Gives an open sequence the pages of positions up to `length`, which computing them would have left it: without a
 * window those before them too, with one those that the window needs. It has to be empty, or to have no windows and
 * whole pages. Its length stays, until all pages are filled and session_restored() is called; until then it takes part
 * in no other call, but session_give_up(), which makes it empty. False, and nothing done, if too few pages are free. */
bool session_reserve(gale_session *s, int32_t sequence, int32_t length);
void session_restored(gale_session *s, int32_t sequence, int32_t length);
void session_give_up(gale_session *s, int32_t sequence);

#endif
