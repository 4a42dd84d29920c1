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
    [GALE_ANSWER_CONTENT] = {{"", ""}, {"", ""}},
    [GALE_ANSWER_THINKING] = {{"[THINK]\n", "[/THINK]\n"}, {"\033[2m", "\033[0m"}},
    [GALE_ANSWER_ARGUMENTS] = {{"", ""}, {"\033[36m", "\033[0m"}},
};

static bool put_mark(display *d, int side) {
  const char *mark = MARKS[d->kind][d->colour][side];
  bool open = d->line_open && d->colour; /* colours take no room */
  bool ok = put(d, mark, strlen(mark));
  d->line_open = open;
  return ok;
}

/* Ends what is written now and begins text of another kind on a line of its own. */
static bool turn_to(display *d, gale_answer_kind kind) {
  bool call = d->kind == GALE_ANSWER_ARGUMENTS;
  bool ok = (!call || put(d, ")", 1)) && end_line(d) && put_mark(d, 1);
  d->kind = kind;
  return ok && put_mark(d, 0);
}

static bool begin_call(display *d, const char *name) {
  d->calls++;
  return turn_to(d, GALE_ANSWER_ARGUMENTS) && put(d, "-> ", 3) && put(d, name, strlen(name)) && put(d, "(", 1);
}

bool display_piece(display *d, const gale_answer_piece *piece, const gale_tool_call *calls, size_t n_calls) {
  if (piece->length == 0) return true;
  bool ok = true;
  if (piece->kind == GALE_ANSWER_ARGUMENTS) {
    while (ok && d->calls <= piece->call && d->calls < n_calls) ok = begin_call(d, calls[d->calls].name);
  } else if (piece->kind != d->kind) {
    ok = turn_to(d, piece->kind);
  }
  return ok && put(d, piece->text, piece->length) && out_flush();
}

bool display_end(display *d, const gale_tool_call *calls, size_t n_calls) {
  bool ok = true;
  while (ok && d->calls < n_calls) {
    const gale_tool_call *call = &calls[d->calls];
    ok = begin_call(d, call->name) && put(d, call->arguments, strlen(call->arguments));
  }
  if (d->kind != GALE_ANSWER_CONTENT) ok = ok && turn_to(d, GALE_ANSWER_CONTENT);
  return ok && end_line(d) && out_flush();
}
