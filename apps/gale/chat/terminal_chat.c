#include "gale/chat/terminal_chat.h"

#include "gale/chat/conversation.h"
#include "gale/chat/editor.h"
#include "gale/chat/saved_session.h"
#include "gale/cli/atomic.h"
#include "gale/cli/console.h"
#include "gale/cli/suggest.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct chat {
  generator *g;
  prompt_form form;
  conversation talk;
  answer last;    /* its texts were given to talk */
  bool answered;  /* there is a last answer */
  bool abandoned; /* the user's last message got no answer at all */
  bool over;
  bool unsaved; /* the session's file could not be written */
} chat;

/* ---- One turn ---- */

static int keep_answer(chat *c, const answer *a) {
  bool empty = !a->content.length && !a->thinking.length && !a->n_calls;
  c->abandoned = empty && a->finish == GALE_FINISH_CANCELLED;
  if (c->abandoned) return 0;
  const spoken said = {a->content.bytes, a->thinking.bytes, a->calls, a->n_calls};
  return conversation_add_answer(&c->talk, &said);
}

static void report_end(const chat *c, const answer *a) {
  if (a->finish == GALE_FINISH_CANCELLED)
    fputs("[stopped]\n", stderr);
  else if (a->finish == GALE_FINISH_LENGTH || a->finish == GALE_FINISH_CONTEXT)
    fputs("[cut: the context or -n is used up; /reset starts afresh]\n", stderr);
  if (conversation_open_calls(&c->talk)) note(c->g->o, "[the answer calls tools; /result TEXT gives a result]");
  if (c->g->o->verbose) answer_report(c->g, a);
}

/* What was said is kept where --session asks for it. */
static void keep_session(chat *c) {
  if (c->g->o->session) c->unsaved = saved_session_keep(c->g, &c->talk) != 0;
}

/* Answers the conversation so far, and adds the answer. */
static int take_turn(chat *c) {
  int32_t *ids = NULL;
  size_t n_ids = 0;
  int code = conversation_render(&c->talk, &c->form, &ids, &n_ids);
  if (code) return code;
  code = n_ids ? 0 : fail("the message is empty");
  answer a = {0};
  if (!code) code = generator_answer(c->g, ids, n_ids, &a);
  if (code && n_ids > c->g->capacity)
    note(c->g->o, "[the conversation is too long; /reset starts afresh, and -c N at the start gives it more room]");
  gale_free(ids);
  if (!code) code = keep_answer(c, &a);
  if (!code) report_end(c, &a);
  if (!code) keep_session(c);
  answer_free(&c->last);
  c->last = a;
  c->answered |= !code;
  return code;
}

static void say(chat *c, const char *message, size_t n) {
  if (conversation_open_calls(&c->talk)) {
    fail("the answer calls tools; /result TEXT gives a result, /regenerate asks again");
    return;
  }
  if (c->abandoned && conversation_ends_with(&c->talk, "user")) conversation_pop(&c->talk);
  c->abandoned = false;
  if (conversation_add(&c->talk, "user", message, n)) return;
  /* A message that could not be answered is taken back, so that the next one is not spoilt by it. */
  if (take_turn(c)) conversation_pop(&c->talk);
}

/* ---- Commands ---- */

static void do_help(chat *c, const char *argument) {
  (void)c;
  (void)argument;
  for (int i = 0; i < N_CHAT_COMMANDS; i++)
    fprintf(stderr, "  %-12s %-5s %s\n", chat_commands[i].name, chat_commands[i].argument, chat_commands[i].help);
  fputs("  A line that ends in \\ goes on in the next; \"\"\" begins and ends a message of several lines.\n"
        "  Ctrl-C stops an answer; the arrow keys and Ctrl-R find earlier lines.\n",
        stderr);
}

static void do_result(chat *c, const char *content) {
  if (conversation_add_result(&c->talk, content, strlen(content))) return;
  if (conversation_open_calls(&c->talk) == 0 && take_turn(c)) conversation_pop(&c->talk);
}

static void do_save(chat *c, const char *path) {
  char *json;
  if (!*path) {
    fail("/save needs the name of a file");
    return;
  }
  if (conversation_write(&c->talk, &json)) return;
  atomic_file f;
  int code = atomic_open(&f, path);
  if (!code) {
    code = atomic_write(&f, json, strlen(json));
    if (!code) code = atomic_commit(&f);
    atomic_abandon(&f);
  }
  free(json);
  if (!code) note(c->g->o, "saved %zu messages to %s", conversation_length(&c->talk), path);
}

static void do_load(chat *c, const char *path) {
  text t = {0};
  if (!*path) {
    fail("/load needs the name of a file");
    return;
  }
  if (input_read(path, &t) == 0 && conversation_load(&c->talk, path, t.bytes, t.length, &c->form) == 0) {
    c->answered = c->abandoned = false;
    note(c->g->o, "loaded %zu messages from %s", conversation_length(&c->talk), path);
  }
  free(t.bytes);
}

static void do_reset(chat *c, const char *argument) {
  (void)argument;
  conversation_reset(&c->talk);
  c->answered = c->abandoned = false;
}

static void do_system(chat *c, const char *argument) {
  if (c->form.raw)
    fail("plain text has no system message");
  else
    conversation_set_system(&c->talk, argument);
}

static void do_regenerate(chat *c, const char *argument) {
  (void)argument;
  if (conversation_ends_with(&c->talk, "assistant")) conversation_pop(&c->talk);
  if (conversation_ends_with(&c->talk, "user") || conversation_ends_with(&c->talk, "tool"))
    take_turn(c);
  else
    fail("there is no message to answer");
}

static void do_stats(chat *c, const char *argument) {
  (void)argument;
  gale_session_stats s;
  gale_session_get_stats(c->g->session, &s);
  if (c->answered) answer_report(c->g, &c->last);
  fprintf(stderr, "text: %zu messages, %zu tokens; computed: %" PRIu64 " tokens in %" PRIu64 " steps\n",
          conversation_length(&c->talk), c->g->n_ids, s.tokens, s.steps);
  fprintf(stderr, "KV cache: %.1f MiB (at most %.1f MiB); scratch: %.1f MiB\n", (double)s.kv_page_bytes / 1048576,
          (double)s.kv_peak_bytes / 1048576, (double)s.scratch_bytes / 1048576);
}

static void do_exit(chat *c, const char *argument) {
  (void)argument;
  c->over = true;
}

static void (*const functions[N_CHAT_COMMANDS])(chat *c, const char *argument) = {
    [CHAT_HELP] = do_help,   [CHAT_SYSTEM] = do_system, [CHAT_RESULT] = do_result,
    [CHAT_SAVE] = do_save,   [CHAT_LOAD] = do_load,     [CHAT_RESET] = do_reset,
    [CHAT_STATS] = do_stats, [CHAT_EXIT] = do_exit,     [CHAT_REGENERATE] = do_regenerate,
};

static void say_unknown(const char *line) {
  const char *names[N_CHAT_COMMANDS + 1] = {0};
  for (int i = 0; i < N_CHAT_COMMANDS; i++) names[i] = chat_commands[i].name;
  char name[32];
  snprintf(name, sizeof name, "%.*s", (int)strcspn(line, " \n"), line);
  const char *near = suggest(name, names);
  if (near)
    fail("unknown command %s; did you mean %s?", name, near);
  else
    fail("unknown command %s; /help lists them", name);
}

/* ---- The loop ---- */

static void take_message(chat *c, const typed *t) {
  const char *argument;
  chat_command asked = typed_command(t, &argument);
  if (asked == CHAT_UNKNOWN)
    say_unknown(t->text.bytes);
  else if (asked == CHAT_MESSAGE && t->text.length)
    say(c, t->text.bytes, t->text.length);
  else if (asked < N_CHAT_COMMANDS)
    functions[asked](c, argument);
}

static void chat_step(chat *c, editor *e) {
  typed t = {0};
  switch (editor_read(e, &t)) {
  case EDITOR_END:
    c->over = true;
    break;
  case EDITOR_INTERRUPTED:
    break;
  case EDITOR_MESSAGE:
    take_message(c, &t);
  }
  free(t.text.bytes);
}

/* What the conversation begins with. */
static int begin_talk(chat *c) {
  const options *o = c->g->o;
  int code = o->session ? saved_session_restore(c->g, &c->talk, &c->form) : 0;
  if (!code && conversation_length(&c->talk))
    note(o, "%s: %zu messages, %zu tokens", o->session, conversation_length(&c->talk), c->g->n_ids);
  if (!code && o->system) code = conversation_set_system(&c->talk, o->system);
  return code;
}

int chat_loop(generator *g) {
  chat c = {.g = g, .form = {g->tokenizer, g->o->template, g->raw}};
  int code = begin_talk(&c);
  editor *e = code ? NULL : editor_open();
  if (!code && !e) code = fail("standard input: this terminal cannot be edited on; give a prompt or -f FILE");
  if (code) {
    conversation_clear(&c.talk);
    return code;
  }
  signals_be_patient();
  note(g->o, "/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves.");
  while (!c.over && !signals_end_chat() && out_flush()) {
    signals_forget();
    chat_step(&c, e);
  }
  code = signals_end_chat() ? signals_exit_status() : 0;
  if (!code) fputc('\n', stderr);
  keep_session(&c);
  if (!code && c.unsaved) code = 1;
  editor_close(e);
  answer_free(&c.last);
  conversation_clear(&c.talk);
  return code;
}
