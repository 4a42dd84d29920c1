/* What the bytes of a session's cache depend on, so that they can be kept for another process. */
#ifndef ENGINE_STATE_KEY_H
#define ENGINE_STATE_KEY_H

#include "base/checksum.h"
#include "engine/session.h"

/* Names the model: its packed weights, by sums over all of them, and its hyperparameters. Reads all weights where
 * loading did not. */
digest state_model(const gale_model *m);

/* Names what pages of the session hold beside that: the version of the numerics, the type of the cache, the window of
 * each layer, and how a page is laid out. */
digest state_layout(const gale_session *s);

#endif
