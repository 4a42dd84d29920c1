#include "gale/chat/typed.h"

#include <stdlib.h>
#include <string.h>

static const char quotes[] = "\"\"\"";
enum { QUOTES = sizeof quotes - 1 };

typed_state typed_line(typed *t, const char *line, size_t n) {
  bool first = !t->text.bytes;
  if (first && n >= QUOTES && memcmp(line, quotes, QUOTES) == 0) {
    t->quoted = true;
    line += QUOTES;
    n -= QUOTES;
    if (n == 0) return text_append(&t->text, "", 0) ? TYPED_MORE : TYPED_NO_MEMORY;
  }
  bool closed = t->quoted && n >= QUOTES && memcmp(line + n - QUOTES, quotes, QUOTES) == 0;
  bool continued = !t->quoted && n > 0 && line[n - 1] == '\\';
  bool more = continued || (t->quoted && !closed);
  bool ok = text_append(&t->text, line, n - (closed ? QUOTES : continued));
  if (more) ok = ok && text_append(&t->text, "\n", 1);
  return !ok ? TYPED_NO_MEMORY : more ? TYPED_MORE : TYPED_WHOLE;
}

const chat_command_info chat_commands[N_CHAT_COMMANDS] = {
    [CHAT_HELP] = {"/help", "", "list these commands"},
    [CHAT_SYSTEM] = {"/system", "TEXT", "set the system message; without TEXT, remove it"},
    [CHAT_RESULT] = {"/result", "TEXT", "give the result of a tool that the answer calls"},
    [CHAT_SAVE] = {"/save", "FILE", "write the conversation as JSON"},
    [CHAT_LOAD] = {"/load", "FILE", "go on with a saved conversation, or a request with its tools"},
    [CHAT_RESET] = {"/reset", "", "forget the conversation, but not the system message"},
    [CHAT_REGENERATE] = {"/regenerate", "", "answer the last message anew"},
    [CHAT_STATS] = {"/stats", "", "speed and memory"},
    [CHAT_EXIT] = {"/exit", "", "leave (as Ctrl-D does)"},
};

chat_command typed_command(const typed *t, const char **argument) {
  const char *s = t->text.bytes ? t->text.bytes : "";
  *argument = "";
  if (t->quoted || *s != '/') return CHAT_MESSAGE;
  size_t n = strcspn(s, " \n");
  for (int i = 0; i < N_CHAT_COMMANDS; i++) {
    if (strlen(chat_commands[i].name) != n || memcmp(s, chat_commands[i].name, n) != 0) continue;
    *argument = s + n + strspn(s + n, " \n");
    return (chat_command)i;
  }
  return CHAT_UNKNOWN;
}
