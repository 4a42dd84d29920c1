/* gale constrain: whole texts against a constraint, token by token, as a decoder would go. */
#include "gale/cli/console.h"
#include "gale/cli/constraining.h"
#include "gale/cli/input.h"
#include "gale/cli/opening.h"
#include "gale/commands/command.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct checker {
  const gale_tokenizer *tokenizer;
  const gale_mask_table *table;
  const gale_constraint *constraint;
  uint32_t *mask;
  bool as_json;
  double compile; /* seconds */
} checker;

/* What became of a text. */
typedef struct verdict {
  bool accepted;
  size_t at; /* where else it was refused */
  char why[256];
  json_t *masks; /* microseconds of each, where they are asked for */
} verdict;

static double microseconds(double seconds) {
  return nearbyint(seconds * 1e7) / 10;
}

/* The next mask, whose time is noted. */
static gale_status take_mask(const checker *c, gale_constraint_state *state, verdict *v, gale_error *error) {
  double start = seconds_now();
  gale_status status = gale_constraint_mask(state, c->mask, error);
  double elapsed = seconds_now() - start;
  if (v->masks) json_array_append_new(v->masks, json_real(microseconds(elapsed)));
  return status;
}

/* The text's bytes before the token with this index. */
static int bytes_before(const checker *c, const int32_t *ids, size_t index, size_t *n) {
  char *bytes = NULL;
  gale_error error = {0};
  if (gale_detokenize(c->tokenizer, ids, index, false, &bytes, n, &error)) return fail_with(&error);
  gale_free(bytes);
  return 0;
}

/* How a token's bytes look in a message: what is not printable ASCII as \xHH. */
static void show_bytes(const char *bytes, size_t n, char *shown, size_t size) {
  size_t used = 0;
  for (size_t i = 0; i < n && used + 8 < size; i++) {
    unsigned char b = (unsigned char)bytes[i];
    bool plain = b >= ' ' && b < 0x7F && b != '\\';
    used += (size_t)snprintf(shown + used, size - used, plain ? "%c" : "\\x%02X", b);
  }
  shown[used] = 0;
}

static int refuse_token(const checker *c, const int32_t *ids, size_t index, verdict *v) {
  char *bytes = NULL, shown[100];
  size_t n = 0;
  gale_error error = {0};
  if (gale_detokenize(c->tokenizer, ids + index, 1, true, &bytes, &n, &error)) return fail_with(&error);
  show_bytes(bytes, n, shown, sizeof shown);
  gale_free(bytes);
  snprintf(v->why, sizeof v->why, "token %d (%s) may not come here", ids[index], shown);
  return bytes_before(c, ids, index, &v->at);
}

static int check_ids(const checker *c, const int32_t *ids, size_t n, gale_constraint_state *state, verdict *v) {
  gale_error error = {0};
  for (size_t i = 0; i < n; i++) {
    if (take_mask(c, state, v, &error)) return fail_with(&error);
    if (!(c->mask[ids[i] / 32] >> (ids[i] % 32) & 1)) return refuse_token(c, ids, i, v);
    if (gale_constraint_accept(state, ids[i], &error)) return fail_with(&error);
  }
  if (take_mask(c, state, v, &error)) return fail_with(&error);
  v->accepted = gale_constraint_complete(state);
  if (v->accepted) return 0;
  snprintf(v->why, sizeof v->why, "the text may not end here");
  return bytes_before(c, ids, n, &v->at);
}

static int print_verdict(const checker *c, verdict *v) {
  if (!c->as_json) {
    if (v->accepted)
      out_printf("accepted\n");
    else
      out_printf("refused at byte %zu: %s\n", v->at, v->why);
    return 0;
  }
  json_t *object = json_pack("{s:b}", "accepted", v->accepted);
  if (object && !v->accepted)
    json_object_update_new(object, json_pack("{s:I, s:s}", "byte", (json_int_t)v->at, "why", v->why));
  if (object)
    json_object_update_new(object,
                           json_pack("{s:f, s:O}", "compile_us", microseconds(c->compile), "mask_us", v->masks));
  char *line = object ? json_dumps(object, JSON_REAL_PRECISION(9)) : NULL;
  json_decref(object);
  if (!line) return fail_memory();
  out_printf("%s\n", line);
  free(line);
  return 0;
}

static int check_text(const checker *c, const char *s, size_t length) {
  int32_t *ids = NULL;
  size_t n = 0;
  gale_constraint_state *state = NULL;
  gale_error error = {0};
  verdict v = {.masks = c->as_json ? json_array() : NULL};
  if (c->as_json && !v.masks) return fail_memory();
  int code = 0;
  if (gale_tokenize(c->tokenizer, s, length, false, &ids, &n, &error) ||
      gale_constraint_begin(c->constraint, &state, &error))
    code = fail_with(&error);
  if (!code) code = check_ids(c, ids, n, state, &v);
  if (!code) code = print_verdict(c, &v);
  gale_constraint_end(&state);
  gale_free(ids);
  json_decref(v.masks);
  return code;
}

static int check_lines(const checker *c, const char *file) {
  text t = {0};
  int code = input_read(file, &t);
  size_t at = 0, length, number = 0;
  for (const char *line; !code && !signals_caught() && input_line(&t, &at, &line, &length);) {
    number++;
    json_error_t problem;
    json_t *string = json_loadb(line, length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
    if (!string)
      code = fail("%s: line %zu, byte %d: %s", input_name(file), number, problem.position, problem.text);
    else if (!json_is_string(string))
      code = fail("%s: line %zu is not a JSON string", input_name(file), number);
    else
      code = check_text(c, json_string_value(string), json_string_length(string));
    json_decref(string);
    if (!code && !out_write("", 0)) break;
  }
  free(t.bytes);
  return !code && signals_caught() ? signals_exit_status() : code;
}

static int compile_and_check(const options *o, checker *c) {
  gale_constraint *constraint = NULL;
  double start = seconds_now();
  int code = open_constraint(o, c->table, &constraint);
  c->compile = seconds_now() - start;
  c->constraint = constraint;
  c->mask = calloc(gale_mask_table_words(c->table) + 1, sizeof *c->mask);
  if (!code) code = c->mask ? check_lines(c, o->check) : fail_memory();
  free(c->mask);
  gale_constraint_close(&constraint);
  return code;
}

int constrain_main(const options *o) {
  /* --json is the constraint where it stands alone, and else how lines are written. */
  bool as_json = o->json && constraints_given(o, false) > 0;
  int given = constraints_given(o, !as_json);
  if (given != 1)
    return usage_error(o, "%s of --json-schema, --json, --regex, --choice and --grammar was given",
                       given ? "more than one" : "none");
  if (!o->check) return usage_error(o, "--check FILE is missing");
  gale_tokenizer *tokenizer = NULL;
  int code = open_tokenizer(o, &tokenizer);
  if (code) return code;
  gale_mask_table *table = NULL;
  gale_error error = {0};
  if (gale_mask_table_open(tokenizer, &table, &error)) code = fail_with(&error);
  if (!code) code = compile_and_check(o, &(checker){.tokenizer = tokenizer, .table = table, .as_json = as_json});
  gale_mask_table_close(&table);
  gale_tokenizer_close(&tokenizer);
  return code;
}
