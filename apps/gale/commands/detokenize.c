/* gale detokenize: the bytes of ids, or what a streaming client gets of them. */
#include "gale/cli/console.h"
#include "gale/cli/input.h"
#include "gale/cli/opening.h"
#include "gale/commands/command.h"

#include <jansson.h>
#include <stdlib.h>

static int detokenize_bytes(const options *o, const gale_tokenizer *tokenizer) {
  text t = {0};
  int32_t *ids = NULL;
  size_t n = 0, length = 0;
  char *bytes = NULL;
  gale_error error = {0};
  int code = input_read("-", &t);
  if (!code) code = input_ids(input_name("-"), t.bytes, t.length, gale_tokenizer_size(tokenizer), &ids, &n);
  if (!code && gale_detokenize(tokenizer, ids, n, o->special, &bytes, &length, &error)) code = fail_with(&error);
  if (!code) out_write(bytes, length);
  gale_free(bytes);
  free(ids);
  free(t.bytes);
  return code;
}

static int print_text(const char *bytes, size_t length, const char *end) {
  json_t *string = json_stringn(length ? bytes : "", length);
  char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
  json_decref(string);
  if (!quoted) return fail_memory();
  out_printf("%s%s", quoted, end);
  free(quoted);
  return 0;
}

/* A JSON array: the text after each id, then what is left. */
static int print_texts(gale_detokenizer *stream, const int32_t *ids, size_t n) {
  const char *bytes = NULL;
  size_t length = 0;
  gale_error error = {0};
  int code = 0;
  out_printf("[");
  for (size_t i = 0; !code && i < n; i++) {
    if (gale_detokenizer_push(stream, ids[i], &bytes, &length, &error)) return fail_with(&error);
    code = print_text(bytes, length, ", ");
  }
  if (code) return code;
  if (gale_detokenizer_finish(stream, &bytes, &length, &error)) return fail_with(&error);
  return print_text(bytes, length, "]\n");
}

static int detokenize_lines(const options *o, const gale_tokenizer *tokenizer) {
  gale_detokenizer *stream = NULL;
  gale_error error = {0};
  if (gale_detokenizer_open(tokenizer, o->special, &stream, &error)) return fail_with(&error);
  text t = {0};
  int code = input_read(o->lines, &t);
  size_t at = 0, length, number = 0;
  for (const char *line; !code && !signals_caught() && input_line(&t, &at, &line, &length);) {
    char where[512];
    snprintf(where, sizeof where, "%s: line %zu", input_name(o->lines), ++number);
    int32_t *ids = NULL;
    size_t n = 0;
    code = input_ids(where, line, length, gale_tokenizer_size(tokenizer), &ids, &n);
    if (!code) code = print_texts(stream, ids, n);
    free(ids);
    if (!out_write("", 0)) break;
  }
  free(t.bytes);
  gale_detokenizer_close(&stream);
  return !code && signals_caught() ? signals_exit_status() : code;
}

int detokenize_main(const options *o) {
  gale_tokenizer *tokenizer = NULL;
  int code = open_tokenizer(o, &tokenizer);
  if (code) return code;
  code = o->lines ? detokenize_lines(o, tokenizer) : detokenize_bytes(o, tokenizer);
  gale_tokenizer_close(&tokenizer);
  return code;
}
