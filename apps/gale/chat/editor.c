#include "gale/chat/editor.h"

#include "gale/cli/console.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#define HISTORY_LENGTH 1000

struct editor {
  EditLine *line;
  History *history;
  HistEvent event;
  char *history_path; /* NULL: nowhere to keep it */
  FILE *screen;
  bool marks;     /* the terminal is asked to mark pasted text */
  bool continued; /* a message has begun */
  char first[64], further[64];
};

/* The character around that part of a prompt that takes no room on the screen. */
enum { HIDDEN = 1 };

static char *show_prompt(EditLine *line) {
  editor *e = NULL;
  static char none[] = "";
  el_get(line, EL_CLIENTDATA, &e);
  return !e ? none : e->continued ? e->further : e->first;
}

/* libedit drops hidden text at the very end of a prompt, so that the space comes last. */
static void set_prompt(char to[64], const char *prompt) {
  if (console_colour(STDERR_FILENO))
    snprintf(to, 64, "%c\033[1;32m%c%.32s%c\033[0m%c ", HIDDEN, HIDDEN, prompt, HIDDEN, HIDDEN);
  else
    snprintf(to, 64, "%.32s ", prompt);
}

/* Waits for input. False if a signal came: they are let in only while waiting, so that none can come unseen between the
 * look at signals_caught() and the wait. No other thread takes them meanwhile, since the session's block them. */
static bool wait_for_input(void) {
  sigset_t held, before;
  sigemptyset(&held);
  sigaddset(&held, SIGINT);
  sigaddset(&held, SIGTERM);
  sigaddset(&held, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &held, &before);
  struct pollfd input = {STDIN_FILENO, POLLIN, 0};
  while (!signals_caught() && ppoll(&input, 1, NULL, &before) < 0 && errno == EINTR) continue;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return !signals_caught();
}

/* libedit's own reader goes on after a signal; this one stops, so that Ctrl-C is seen. */
static int read_character(EditLine *line, wchar_t *character) {
  (void)line;
  mbstate_t state = {0};
  while (wait_for_input()) {
    char byte;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n <= 0) return (int)n;
    size_t used = mbrtowc(character, &byte, 1, &state);
    if (used == (size_t)-2) continue; /* a part of a character */
    if (used != (size_t)-1) return 1;
    state = (mbstate_t){0};
  }
  errno = EINTR;
  return -1;
}

/* ---- Pasting: terminals put marks around a pasted text if they are asked to, so that its lines are one message ----
 */

static const char paste_begins[] = "\033[200~", paste_ends[] = "\033[201~";

/* Asks the terminal for the marks, or no longer to send them. */
static void ask_for_marks(const editor *e, bool wanted) {
  if (!e->marks) return;
  fputs(wanted ? "\033[?2004h" : "\033[?2004l", e->screen);
  fflush(e->screen);
}

/* Adds a character of a pasted text to the line. Line breaks and tabs stay; other control characters would be commands
 * of the editor or of the terminal. */
static bool add_pasted(EditLine *line, wchar_t c) {
  const wchar_t one[] = {c, 0};
  bool kept = c == '\n' || c == '\t' || (c >= ' ' && c != 0x7F);
  return !kept || el_winsertstr(line, one) == 0;
}

/* Reads a pasted text up to its end mark into the line. */
static unsigned char paste(EditLine *line, int key) {
  (void)key;
  bool added = true;
  size_t marked = 0; /* characters of the end mark that have come */
  for (wchar_t c; added && el_wgetc(line, &c) == 1;) {
    if (c == paste_ends[marked]) {
      if (!paste_ends[++marked]) return CC_REFRESH;
      continue;
    }
    for (size_t i = 0; i < marked; i++) added = added && add_pasted(line, paste_ends[i]);
    marked = c == paste_ends[0];
    if (!marked) added = added && add_pasted(line, c == '\r' ? '\n' : c);
  }
  return added ? CC_EOF : CC_ERROR;
}

/* Makes the folders on the way to a file. */
static void make_folders(char *path) {
  for (char *p = path + 1; (p = strchr(p, '/')); p++) {
    *p = 0;
    mkdir(path, 0700);
    *p = '/';
  }
}

static char *history_file(void) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  char *path = NULL;
  int n = -1;
  if (state && *state)
    n = asprintf(&path, "%s/gale/history", state);
  else if (home && *home)
    n = asprintf(&path, "%s/.local/state/gale/history", home);
  if (n < 0) return NULL;
  make_folders(path);
  return path;
}

editor *editor_open(void) {
  if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
  editor *e = calloc(1, sizeof *e);
  if (!e) return NULL;
  const char *terminal = getenv("TERM");
  e->screen = isatty(STDERR_FILENO) ? stderr : stdout;
  e->marks = isatty(STDIN_FILENO) && isatty(fileno(e->screen)) && terminal && strcmp(terminal, "dumb") != 0;
  e->line = el_init("gale", stdin, e->screen, stderr);
  e->history = history_init();
  if (!e->line || !e->history) {
    editor_close(e);
    return NULL;
  }
  el_set(e->line, EL_CLIENTDATA, e);
  el_set(e->line, EL_PROMPT_ESC, show_prompt, HIDDEN);
  set_prompt(e->first, ">>>");
  set_prompt(e->further, "...");
  el_set(e->line, EL_EDITOR, "emacs");
  el_set(e->line, EL_HIST, history, e->history);
  el_set(e->line, EL_GETCFN, read_character);
  el_set(e->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
  el_source(e->line, NULL);
  el_wset(e->line, EL_ADDFN, L"gale-paste", L"insert a pasted text", paste); /* el_set() would never free its copies */
  el_set(e->line, EL_BIND, paste_begins, "gale-paste", NULL);
  history(e->history, &e->event, H_SETSIZE, HISTORY_LENGTH);
  history(e->history, &e->event, H_SETUNIQUE, 1);
  e->history_path = history_file();
  if (e->history_path) history(e->history, &e->event, H_LOAD, e->history_path);
  return e;
}

void editor_close(editor *e) {
  if (!e) return;
  if (e->history_path) history(e->history, &e->event, H_SAVE, e->history_path);
  if (e->history) history_end(e->history);
  if (e->line) el_end(e->line);
  free(e->history_path);
  free(e);
}

/* One line, or more that were pasted, without the newline at its end; kept in the history. */
static editor_result read_line(editor *e, const char **line, size_t *length) {
  int n = 0;
  /* el_gets() shows the prompt first and only then takes over the terminal; a Ctrl-D in between would be lost. */
  el_set(e->line, EL_PREP_TERM, 1);
  ask_for_marks(e, true);
  *line = el_gets(e->line, &n);
  ask_for_marks(e, false);
  if (signals_caught()) {
    fputs("^C\n", stderr);
    el_reset(e->line);
    return EDITOR_INTERRUPTED;
  }
  if (!*line || n <= 0) return EDITOR_END;
  *length = (size_t)n;
  while (*length > 0 && strchr("\r\n", (*line)[*length - 1])) --*length;
  if (*length) history(e->history, &e->event, H_ENTER, *line);
  return EDITOR_MESSAGE;
}

editor_result editor_read(editor *e, typed *t) {
  typed message = {0};
  typed_state state = TYPED_MORE;
  e->continued = false;
  while (state == TYPED_MORE) {
    const char *line;
    size_t length;
    editor_result result = read_line(e, &line, &length);
    if (result != EDITOR_MESSAGE) {
      free(message.text.bytes);
      return result;
    }
    state = typed_line(&message, line, length);
    e->continued = true;
  }
  *t = message;
  return EDITOR_MESSAGE;
}
