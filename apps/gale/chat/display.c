#include "gale/chat/display.h"

#include "gale/cli/console.h"

#include <string.h>
#include <unistd.h>

void display_start(display *d) {
  *d = (display){.colour = console_colour(STDOUT_FILENO)};
}

static bool put(display *d, const char *text, size_t n) {
  if (n == 0) return true;
  d->begun = true;
  d->line_open = text[n - 1] != '\n';
  return out_write(text, n);
}

static bool end_line(display *d) {
  return !d->line_open || put(d, "\n", 1);
}

/* What stands around a kind of text; the second set where there are colours. */
static const char *const MARKS[][2][2] = {
    [GALE_PIECE_CONTENT] = {{"", ""}, {"", ""}},
    [GALE_PIECE_THINKING] = {{"[THINK]\n", "[/THINK]\n"}, {"\033[2m", "\033[0m"}},
    [GALE_PIECE_ARGUMENTS] = {{"", ""}, {"\033[36m", "\033[0m"}},
};

static bool put_mark(display *d, int side) {
  const char *mark = MARKS[d->kind][d->colour][side];
  bool open = d->line_open && d->colour; /* colours take no room */
  bool ok = put(d, mark, strlen(mark));
  d->line_open = open;
  return ok;
}

/* Ends what is written now and begins text of another kind on a line of its own. */
static bool turn_to(display *d, gale_piece_kind kind) {
  bool call = d->kind == GALE_PIECE_ARGUMENTS;
  bool ok = (!call || put(d, ")", 1)) && end_line(d) && put_mark(d, 1);
  d->kind = kind;
  return ok && put_mark(d, 0);
}

bool display_piece(display *d, const gale_piece *piece) {
  bool ok = true, call = piece->kind == GALE_PIECE_CALL;
  if (call)
    ok = turn_to(d, GALE_PIECE_ARGUMENTS) && put(d, "-> ", 3);
  else if (piece->kind != d->kind)
    ok = turn_to(d, piece->kind);
  return ok && put(d, piece->text, piece->length) && (!call || put(d, "(", 1)) && out_flush();
}

bool display_end(display *d) {
  bool ok = d->kind == GALE_PIECE_CONTENT || turn_to(d, GALE_PIECE_CONTENT);
  return ok && end_line(d) && out_flush();
}
