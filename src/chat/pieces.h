/* The text of an answer on its way to its reader: typed pieces in order, as far as they are sure. Stop texts are looked
 * for in content; what may yet become one is held back until something else follows or the answer is over. */
#ifndef CHAT_PIECES_H
#define CHAT_PIECES_H

#include "chat/stop.h"
#include "json/value.h"

typedef struct piece_entry {
  gale_piece_kind kind;
  size_t call, at, length; /* in the list's bytes */
} piece_entry;

/* All zero but for stop, which may be NULL, and stopped, which is -1. */
typedef struct piece_list {
  stop_matcher *stop; /* owned */
  int stopped;        /* the stop text that ended the answer, behind which nothing is added; -1: none */
  byte_list bytes;
  piece_entry *entries; /* [n], of which the first `given` were taken */
  size_t n, given, capacity;
  gale_piece piece; /* the last that was taken */
} piece_list;

/* Adds text, which may be empty: then nothing changes. call counts for GALE_PIECE_ARGUMENTS only. */
gale_status pieces_add(piece_list *p, gale_piece_kind kind, size_t call, slice text, gale_error *error);

/* Adds the beginning of a call. */
gale_status pieces_add_call(piece_list *p, size_t call, slice name, slice id, gale_error *error);

/* Adds the content that was held back. */
gale_status pieces_flush(piece_list *p, gale_error *error);

/* The next piece, or NULL; valid until something is added. */
const gale_piece *pieces_next(piece_list *p);

void pieces_free(piece_list *p);

#endif
