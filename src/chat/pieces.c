#include "chat/pieces.h"

#include <stdlib.h>

/* Adds n bytes of the list, which are there already, as an entry or to the last one. */
static gale_status add_entry(piece_list *p, gale_piece_kind kind, size_t call, size_t n, gale_error *error) {
  if (p->bytes.failed) return error_memory(error, n);
  piece_entry *last = p->n > p->given ? &p->entries[p->n - 1] : NULL;
  if (last && last->kind == kind && last->call == call && kind != GALE_PIECE_CALL) {
    last->length += n;
    return GALE_OK;
  }
  if (!p->entries || p->n == p->capacity) {
    size_t capacity = 2 * p->capacity + 4;
    piece_entry *grown = realloc(p->entries, capacity * sizeof *grown);
    if (!grown) return error_memory(error, capacity * sizeof *grown);
    p->entries = grown;
    p->capacity = capacity;
  }
  p->entries[p->n++] = (piece_entry){kind, call, p->bytes.n - n, n};
  return GALE_OK;
}

/* Pieces that were taken make room. */
static void compact(piece_list *p) {
  if (p->given < p->n) return;
  p->n = p->given = 0;
  p->bytes.n = 0;
}

static gale_status append(piece_list *p, gale_piece_kind kind, size_t call, slice text, gale_error *error) {
  if (text.n == 0) return GALE_OK;
  compact(p);
  bytes_add(&p->bytes, text);
  return add_entry(p, kind, call, text.n, error);
}

gale_status pieces_flush(piece_list *p, gale_error *error) {
  slice held;
  if (!p->stop || p->stopped >= 0) return GALE_OK;
  stop_finish(p->stop, &held.s, &held.n);
  return append(p, GALE_PIECE_CONTENT, 0, held, error);
}

gale_status pieces_add(piece_list *p, gale_piece_kind kind, size_t call, slice text, gale_error *error) {
  if (text.n == 0 || p->stopped >= 0) return GALE_OK;
  if (kind != GALE_PIECE_CONTENT) {
    gale_status status = pieces_flush(p, error);
    return status ? status : append(p, kind, kind == GALE_PIECE_ARGUMENTS ? call : 0, text, error);
  }
  if (!p->stop) return append(p, kind, 0, text, error);
  slice sure;
  gale_status status = stop_push(p->stop, text.s, text.n, &sure.s, &sure.n, &p->stopped, error);
  return status ? status : append(p, kind, 0, sure, error);
}

gale_status pieces_add_call(piece_list *p, size_t call, slice name, slice id, gale_error *error) {
  if (p->stopped >= 0) return GALE_OK;
  gale_status status = pieces_flush(p, error);
  if (status) return status;
  compact(p);
  bytes_add(&p->bytes, name);
  bytes_add(&p->bytes, (slice){"", 1});
  bytes_add(&p->bytes, id);
  bytes_add(&p->bytes, (slice){"", 1});
  status = add_entry(p, GALE_PIECE_CALL, call, name.n + id.n + 2, error);
  if (!status) p->entries[p->n - 1].length = name.n;
  return status;
}

const gale_piece *pieces_next(piece_list *p) {
  if (p->given == p->n) return NULL;
  const piece_entry *e = &p->entries[p->given++];
  const char *text = p->bytes.bytes + e->at;
  p->piece = (gale_piece){.kind = e->kind, .text = text, .length = e->length, .call = e->call};
  if (e->kind == GALE_PIECE_CALL) p->piece.id = text + e->length + 1;
  return &p->piece;
}

void pieces_free(piece_list *p) {
  stop_close(&p->stop);
  free(p->bytes.bytes);
  free(p->entries);
}
