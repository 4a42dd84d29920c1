/* gale tokenize: ids of a text, of lines of JSON strings, of a chat request, or of a prompt to fill in the middle. */
#include "gale/cli/console.h"
#include "gale/cli/input.h"
#include "gale/cli/opening.h"
#include "gale/commands/command.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* printf() would take as long as finding the ids. */
static void print_ids(const int32_t *ids, size_t n) {
  char line[4096];
  size_t used = 0;
  for (size_t i = 0; i < n; i++) {
    char digits[12], *d = digits + sizeof digits;
    *--d = i + 1 < n ? ' ' : '\n';
    uint32_t id = (uint32_t)ids[i];
    do *--d = (char)('0' + id % 10);
    while ((id /= 10) > 0);
    size_t length = (size_t)(digits + sizeof digits - d);
    memcpy(line + used, d, length);
    used += length;
    if (used <= sizeof line - sizeof digits) continue;
    if (!out_write(line, used)) return;
    used = 0;
  }
  if (n == 0) line[used++] = '\n';
  out_write(line, used);
}

static int print_text(const options *o, const gale_tokenizer *tokenizer, const char *s, size_t length) {
  int32_t *ids = NULL;
  size_t n = 0;
  gale_error error = {0};
  if (gale_tokenize(tokenizer, s, length, o->bos, &ids, &n, &error)) return fail_with(&error);
  print_ids(ids, n);
  gale_free(ids);
  return 0;
}

static int tokenize_text(const options *o, const gale_tokenizer *tokenizer) {
  const char *argument = o->n_arguments > 1 ? o->arguments[1] : NULL;
  if (argument && strcmp(argument, "-") != 0) return print_text(o, tokenizer, argument, strlen(argument));
  text t = {0};
  int code = input_read(o->file ? o->file : "-", &t);
  if (!code) code = print_text(o, tokenizer, t.bytes, t.length);
  free(t.bytes);
  return code;
}

static int tokenize_lines(const options *o, const gale_tokenizer *tokenizer) {
  text t = {0};
  int code = input_read(o->lines, &t);
  size_t at = 0, length, number = 0;
  for (const char *line; !code && !signals_caught() && input_line(&t, &at, &line, &length);) {
    number++;
    json_error_t problem;
    json_t *string = json_loadb(line, length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
    if (!string)
      code = fail("%s: line %zu, byte %d: %s", input_name(o->lines), number, problem.position, problem.text);
    else if (!json_is_string(string))
      code = fail("%s: line %zu is not a JSON string", input_name(o->lines), number);
    else
      code = print_text(o, tokenizer, json_string_value(string), json_string_length(string));
    json_decref(string);
    if (!code && !out_write("", 0)) break;
  }
  free(t.bytes);
  return !code && signals_caught() ? signals_exit_status() : code;
}

static int tokenize_chat(const options *o, const gale_tokenizer *tokenizer) {
  text t = {0};
  int32_t *ids = NULL;
  size_t n = 0;
  gale_error error = {0};
  gale_chat_options settings;
  gale_chat_defaults(&settings);
  settings.template_name = o->template;
  settings.generic_tools = o->tools_generic;
  int code = input_read(o->chat, &t);
  if (!code && gale_chat_request_with(tokenizer, &settings, t.bytes, t.length, &ids, &n, &error))
    code = fail("%s: %s", input_name(o->chat), error.message);
  if (!code) print_ids(ids, n);
  gale_free(ids);
  free(t.bytes);
  return code;
}

static int tokenize_fim(const options *o, const gale_tokenizer *tokenizer) {
  text prefix = {0}, suffix = {0};
  int32_t *ids = NULL;
  size_t n = 0;
  gale_error error = {0};
  int code = input_read(o->fim[0], &prefix);
  if (!code) code = input_read(o->fim[1], &suffix);
  if (!code && gale_fim_prompt(tokenizer, prefix.bytes, prefix.length, suffix.bytes, suffix.length, &ids, &n, &error))
    code = fail_with(&error);
  if (!code) print_ids(ids, n);
  gale_free(ids);
  free(prefix.bytes);
  free(suffix.bytes);
  return code;
}

int tokenize_main(const options *o) {
  int sources = (o->n_arguments > 1) + (o->file != NULL) + (o->lines != NULL) + (o->chat != NULL) + (o->fim[0] != NULL);
  if (sources > 1) return usage_error(o, "more than one of TEXT, -f, --lines, --chat and --fim was given");
  if (o->template && !o->chat) return usage_error(o, "--template goes with --chat");
  if (o->tools_generic && !o->chat) return usage_error(o, "--tools-generic goes with --chat");
  if (o->bos && o->chat) return usage_error(o, "--bos does not go with --chat: the template says where BOS is");
  if (o->bos && o->fim[0]) return usage_error(o, "--bos does not go with --fim, which begins with BOS");
  gale_tokenizer *tokenizer = NULL;
  int code = open_tokenizer(o, &tokenizer);
  if (code) return code;
  if (o->lines)
    code = tokenize_lines(o, tokenizer);
  else if (o->chat)
    code = tokenize_chat(o, tokenizer);
  else if (o->fim[0])
    code = tokenize_fim(o, tokenizer);
  else
    code = tokenize_text(o, tokenizer);
  gale_tokenizer_close(&tokenizer);
  return code;
}
