/* gale run: one answer, or a chat. */
#include "gale/chat/saved_session.h"
#include "gale/chat/terminal_chat.h"
#include "gale/cli/console.h"
#include "gale/cli/constraining.h"
#include "gale/cli/input.h"
#include "gale/commands/command.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The prompt from where the command line says. */
static int read_prompt(const options *o, text *prompt) {
  const char *argument = o->n_arguments > 1 ? o->arguments[1] : NULL;
  if (argument && strcmp(argument, "-") != 0) {
    prompt->bytes = strdup(argument);
    prompt->length = strlen(argument);
    return prompt->bytes ? 0 : fail_memory();
  }
  int code = input_read(o->file ? o->file : "-", prompt);
  if (!code && prompt->length && prompt->bytes[prompt->length - 1] == '\n') prompt->bytes[--prompt->length] = 0;
  return code;
}

/* The prompt may hold bytes that are not UTF-8, which a conversation may not. */
static int render_prompt(const generator *g, const text *prompt, int32_t **ids, size_t *n_ids) {
  const options *o = g->o;
  gale_error error = {0};
  gale_status status;
  const char *nul = memchr(prompt->bytes, 0, prompt->length);
  if (nul) return fail("the prompt holds a NUL byte at offset %zu; text has none", (size_t)(nul - prompt->bytes));
  if (g->raw) {
    status = gale_tokenize(g->tokenizer, prompt->bytes, prompt->length, gale_tokenizer_adds_bos(g->tokenizer), ids,
                           n_ids, &error);
  } else {
    const gale_message messages[] = {{.role = "system", .content = o->system},
                                     {.role = "user", .content = prompt->bytes}};
    bool system = o->system != NULL;
    gale_chat_options settings;
    gale_chat_defaults(&settings);
    settings.template_name = o->template;
    status = gale_chat_prompt(g->tokenizer, messages + !system, 1u + system, &settings, ids, n_ids, &error);
  }
  return status ? fail_with(&error) : 0;
}

/* The prompt as the next message of the conversation that --session names. */
static int continue_session(generator *g, const text *prompt, conversation *talk, int32_t **ids, size_t *n_ids) {
  const options *o = g->o;
  const prompt_form form = {g->tokenizer, o->template, g->raw};
  int code = saved_session_restore(g, talk, &form);
  if (!code && conversation_open_calls(talk))
    code = fail("%s: its last answer calls tools; /result TEXT of a chat gives a result", o->session);
  if (!code && o->system) code = conversation_set_system(talk, o->system);
  if (!code) code = conversation_add(talk, "user", prompt->bytes, prompt->length);
  return code ? code : conversation_render(talk, &form, ids, n_ids);
}

static int keep_session(const generator *g, conversation *talk, const answer *a) {
  const spoken said = {a->content.bytes, a->thinking.bytes, a->calls, a->n_calls};
  int code = conversation_add_answer(talk, &said);
  return code ? code : saved_session_keep(g, talk);
}

static int answer_once(generator *g, const text *prompt) {
  int32_t *ids = NULL;
  size_t n_ids = 0;
  answer a = {0};
  conversation talk = {0};
  bool session = g->o->session != NULL;
  int code = session ? continue_session(g, prompt, &talk, &ids, &n_ids) : render_prompt(g, prompt, &ids, &n_ids);
  if (!code && n_ids == 0) code = fail("the prompt is empty");
  if (!code) {
    code = generator_answer(g, ids, n_ids, &a);
    if (!code && !g->o->quiet) answer_report(g, &a);
    if (!code && signals_caught()) code = signals_exit_status();
    if (!code && session) code = keep_session(g, &talk, &a);
  }
  answer_free(&a);
  conversation_clear(&talk);
  gale_free(ids);
  return code;
}

/* Says what a user would not expect of the template, and refuses a system message where there is none. */
static int check_template(const generator *g) {
  const options *o = g->o;
  const char *beginning, *name = gale_chat_template(g->tokenizer);
  gale_template_source source = gale_chat_template_source(g->tokenizer, &beginning);
  if (o->raw || o->template) return 0;
  if (!o->system && source == GALE_TEMPLATE_UNKNOWN)
    note(o,
         "gale: %s: the model's chat template, which begins \"%s\", is not known: the plain text is continued. "
         "--template NAME takes one of gale's, --raw says that plain text is meant",
         o->arguments[0], beginning);
  if (source == GALE_TEMPLATE_MARKS)
    note(o, "gale: %s: the files have no chat template; %s is taken, as their control tokens show (--raw: plain text)",
         o->arguments[0], name);
  if (!g->raw || !o->system) return 0;
  return source == GALE_TEMPLATE_UNKNOWN
             ? fail("%s: the model's chat template, which begins \"%s\", is not known, so that there is no place for a "
                    "system message; --template NAME takes one of gale's",
                    o->arguments[0], beginning)
             : fail("%s: the model has no chat template for a system message; name one by --template", o->arguments[0]);
}

int run_main(const options *o) {
  bool given = o->n_arguments > 1 || o->file;
  if (o->n_arguments > 1 && o->file) return usage_error(o, "a prompt and -f were given; one is wanted");
  if (o->raw && (o->template || o->system)) return usage_error(o, "--raw has no room for --template or --system");
  if (constraints_given(o, true) > 1)
    return usage_error(o, "only one of --json-schema, --json, --regex, --choice and --grammar is wanted");
  bool chat = !given && isatty(STDIN_FILENO);
  text prompt = {0};
  int code = chat ? 0 : read_prompt(o, &prompt);
  if (code) return code;
  generator g = {0};
  if (!chat && prompt.length == 0 && !o->raw) code = fail("the prompt is empty");
  if (!code) code = generator_open(&g, o);
  if (!code) {
    g.raw = o->raw || (!o->template && !gale_chat_template(g.tokenizer));
    code = check_template(&g);
    if (!code) code = chat ? chat_loop(&g) : answer_once(&g, &prompt);
  }
  generator_close(&g);
  free(prompt.bytes);
  return code;
}
