#include "chat.h"

#include "console.h"
#include "editor.h"
#include "suggest.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct chat {
  generator *g;
  bool raw, over;
  conversation talk;
  answer last; /* its text is in talk */
  bool answered;
} chat;

/* ---- One turn ---- */

/* Answers the conversation so far, which ends with the user's message, and adds the answer. */
static int take_turn(chat *c) {
  int32_t *ids = NULL;
  size_t n_ids = 0;
  int code = conversation_render(&c->talk, c->g->tokenizer, c->g->o->template, c->raw, &ids, &n_ids);
  if (code) return code;
  code = n_ids ? 0 : fail("the message is empty");
  answer a = {0};
  if (!code) code = generator_answer(c->g, ids, n_ids, &a);
  gale_free(ids);
  if (!code) code = conversation_add(&c->talk, "assistant", a.text ? a.text : "", a.length);
  free(a.text);
  if (code) return code;
  a.text = NULL;
  c->last = a;
  c->answered = true;
  if (a.finish == GALE_FINISH_CANCELLED)
    fputs("[stopped]\n", stderr);
  else if (a.finish == GALE_FINISH_LENGTH)
    fputs("[cut: the context or -n is used up; /reset starts afresh]\n", stderr);
  if (c->g->o->verbose) answer_report(c->g, &a);
  return 0;
}

static void say(chat *c, const char *message, size_t n) {
  if (conversation_add(&c->talk, "user", message, n)) return;
  /* A message that could not be answered is taken back, so that the next one is not spoilt by it. */
  if (take_turn(c)) conversation_pop(&c->talk);
}

/* ---- Commands ---- */

static void do_help(chat *c, const char *argument);

static void do_save(chat *c, const char *path) {
  if (!*path)
    fail("/save needs the name of a file");
  else if (conversation_save(&c->talk, path) == 0)
    note(c->g->o, "saved %zu messages to %s", c->talk.length, path);
}

static void do_load(chat *c, const char *path) {
  if (!*path) {
    fail("/load needs the name of a file");
    return;
  }
  text t = {0};
  conversation loaded = {0};
  if (input_read(path, &t) == 0 && conversation_parse(&loaded, path, t.bytes, t.length) == 0) {
    conversation_clear(&c->talk);
    c->talk = loaded;
    note(c->g->o, "loaded %zu messages from %s", loaded.length, path);
  }
  free(t.bytes);
}

static void do_reset(chat *c, const char *argument) {
  (void)argument;
  bool system = c->talk.length && strcmp(c->talk.messages[0].role, "system") == 0;
  while (c->talk.length > system) conversation_pop(&c->talk);
  c->answered = false;
}

static void do_system(chat *c, const char *argument) {
  if (c->raw)
    fail("plain text has no system message");
  else
    conversation_set_system(&c->talk, argument);
}

static void do_regenerate(chat *c, const char *argument) {
  (void)argument;
  if (conversation_ends_with(&c->talk, "assistant")) conversation_pop(&c->talk);
  if (conversation_ends_with(&c->talk, "user"))
    take_turn(c);
  else
    fail("there is no message to answer");
}

static void do_stats(chat *c, const char *argument) {
  (void)argument;
  gale_session_stats s;
  gale_session_get_stats(c->g->session, &s);
  if (c->answered) answer_report(c->g, &c->last);
  fprintf(stderr, "text: %zu messages, %zu tokens; computed: %" PRIu64 " tokens in %" PRIu64 " steps\n", c->talk.length,
          c->g->n_ids, s.tokens, s.steps);
  fprintf(stderr, "KV cache: %.1f MiB (at most %.1f MiB); scratch: %.1f MiB\n", (double)s.kv_page_bytes / 1048576,
          (double)s.kv_peak_bytes / 1048576, (double)s.scratch_bytes / 1048576);
}

static void do_exit(chat *c, const char *argument) {
  (void)argument;
  c->over = true;
}

static const struct chat_command {
  const char *name, *argument;
  void (*function)(chat *c, const char *argument);
  const char *help;
} commands[] = {
    {"/help", "", do_help, "list these commands"},
    {"/save", "FILE", do_save, "write the conversation as JSON"},
    {"/load", "FILE", do_load, "go on with a saved conversation"},
    {"/reset", "", do_reset, "forget the conversation, but not the system message"},
    {"/system", "TEXT", do_system, "set the system message; without TEXT, remove it"},
    {"/regenerate", "", do_regenerate, "answer the last message anew"},
    {"/stats", "", do_stats, "speed and memory"},
    {"/exit", "", do_exit, "leave (as Ctrl-D does)"},
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static void do_help(chat *c, const char *argument) {
  (void)c;
  (void)argument;
  for (size_t i = 0; i < N_COMMANDS; i++)
    fprintf(stderr, "  %-12s %-5s %s\n", commands[i].name, commands[i].argument, commands[i].help);
  fputs("  A line that ends in \\ goes on in the next; \"\"\" begins and ends a message of several lines.\n"
        "  Ctrl-C stops an answer.\n",
        stderr);
}

static void do_command(chat *c, const char *line) {
  size_t n = strcspn(line, " ");
  const char *names[N_COMMANDS + 1] = {0};
  for (size_t i = 0; i < N_COMMANDS; i++) {
    names[i] = commands[i].name;
    if (strlen(commands[i].name) != n || memcmp(line, commands[i].name, n) != 0) continue;
    commands[i].function(c, line + n + strspn(line + n, " "));
    return;
  }
  char name[32];
  snprintf(name, sizeof name, "%.*s", (int)n, line);
  const char *near = suggest(name, names);
  if (near)
    fail("unknown command %s; did you mean %s?", name, near);
  else
    fail("unknown command %s; /help lists them", name);
}

/* ---- The loop ---- */

static void chat_step(chat *c, editor *e) {
  text message = {0};
  switch (editor_read(e, &message)) {
  case EDITOR_END:
    c->over = true;
    break;
  case EDITOR_INTERRUPTED:
    break;
  case EDITOR_MESSAGE:
    if (message.bytes[0] == '/')
      do_command(c, message.bytes);
    else if (message.length)
      say(c, message.bytes, message.length);
  }
  free(message.bytes);
}

int chat_loop(generator *g, bool raw) {
  chat c = {.g = g, .raw = raw};
  int code = g->o->system ? conversation_set_system(&c.talk, g->o->system) : 0;
  if (code) return code;
  editor *e = editor_open();
  if (!e) return fail("standard input: this terminal cannot be edited on; give a prompt or -f FILE");
  signals_be_patient();
  note(g->o, "/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves.");
  while (!c.over && signals_caught() != SIGTERM && out_flush()) {
    signals_forget();
    chat_step(&c, e);
  }
  code = signals_caught() == SIGTERM ? signals_exit_status() : 0;
  if (!code) fputc('\n', stderr);
  editor_close(e);
  conversation_clear(&c.talk);
  return code;
}
