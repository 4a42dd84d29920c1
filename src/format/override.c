/* Settings that the caller states instead of the files: KEY=VALUE, KEY=TYPE:VALUE. */
#include "format/json.h"
#include "format/reader.h"

#include <math.h>
#include <string.h>

static const struct {
  const char *name; /* as it is written before a colon */
  setting_type type;
  const char *accepted;
} types[] = {
    {"int", SETTING_INT, "an integer of 64 bits"},
    {"float", SETTING_FLOAT, "a number"},
    {"bool", SETTING_BOOL, "true or false"},
    {"str", SETTING_STRING, "a text"},
};
enum { N_TYPES = sizeof types / sizeof *types };

/* The type stated in front of a value, which is then behind it; else SETTING_NULL. */
static setting_type stated_type(const char **text) {
  for (int i = 0; i < N_TYPES; i++) {
    size_t n = strlen(types[i].name);
    if (strncmp(*text, types[i].name, n) != 0 || (*text)[n] != ':') continue;
    *text += n + 1;
    return types[i].type;
  }
  return SETTING_NULL;
}

/* Whether a JSON file writes 10000 or 10000.0 means nothing. */
static setting_type existing_type(const checkpoint *c, const setting *s) {
  bool loose = !s || s->type == SETTING_ARRAY || (s->type == SETTING_INT && c->kind != CHECKPOINT_GGUF);
  return loose ? SETTING_NULL : s->type;
}

/* Makes the value of the wanted type; SETTING_NULL: of any. False if it is none. */
static bool convert(setting_type wanted, setting *s) {
  if (wanted == SETTING_FLOAT && s->type == SETTING_INT) {
    s->number = (double)s->integer;
    s->type = SETTING_FLOAT;
  }
  if (wanted == SETTING_INT && s->type == SETTING_FLOAT && s->number == rint(s->number) && fabs(s->number) < 0x1p53) {
    s->integer = (int64_t)s->number;
    s->type = SETTING_INT;
  }
  return wanted == SETTING_NULL || s->type == wanted;
}

static gale_status set_text(checkpoint *c, const char *text, setting *s, gale_error *error) {
  size_t n = strlen(text);
  const char *copy = arena_string(&c->memory, text, n);
  if (!copy) return error_memory(error, n + 1);
  s->type = SETTING_STRING;
  s->string.bytes = copy;
  s->string.length = n;
  return GALE_OK;
}

/* A value is written as in JSON; what is not JSON is a text. */
static gale_status read_value(checkpoint *c, const char *text, setting_type wanted, setting *s, gale_error *error) {
  const value_form form = {.flags = VALUE_NO_NUL | VALUE_INT64, .depth = 1};
  value_report report;
  value *v = NULL;
  value_status read = VALUE_OK;
  if (wanted != SETTING_STRING) read = value_read(&c->memory, slice_of(text), form, &v, &report);
  if (read == VALUE_MEMORY) return error_memory(error, strlen(text));
  bool is_text = !v || !json_is_setting(v) || v->kind == VALUE_STRING;
  return is_text ? set_text(c, text, s, error) : json_setting(c, v, JSON_INTEGERS_EXACT, s, error);
}

static gale_status refuse(const checkpoint *c, const char *key, const char *text, setting_type wanted,
                          gale_error *error) {
  const char *accepted = "";
  for (int i = 0; i < N_TYPES; i++)
    if (types[i].type == wanted) accepted = types[i].accepted;
  return error_set(error, GALE_E_ARGUMENT, "%s: override of %.120s: \"%.80s\": %s is accepted", c->path, key, text,
                   accepted);
}

gale_status checkpoint_override(checkpoint *c, const char *key_value, gale_error *error) {
  const char *equals = strchr(key_value, '=');
  if (!equals || equals == key_value)
    return error_set(
        error, GALE_E_ARGUMENT,
        "%s: override \"%.120s\": KEY=VALUE or KEY=TYPE:VALUE with TYPE int, float, bool or str is accepted", c->path,
        key_value);
  const char *key = arena_string(&c->memory, key_value, (size_t)(equals - key_value)), *text = equals + 1;
  if (!key) return error_memory(error, (uint64_t)(equals - key_value) + 1);
  const setting *old = checkpoint_setting(c, key);
  setting_type wanted = stated_type(&text);
  if (wanted == SETTING_NULL) wanted = existing_type(c, old);
  setting fresh = {.key = key};
  gale_status status = read_value(c, text, wanted, &fresh, error);
  if (status) return status;
  if (!convert(wanted, &fresh)) return refuse(c, key, text, wanted, error);
  setting *s = old ? &c->settings[old - c->settings] : checkpoint_add_settings(c, 1);
  if (!s) return error_memory(error, sizeof *s);
  *s = fresh;
  return checkpoint_index(c, error);
}

gale_status checkpoint_override_all(checkpoint *c, const char *const *key_values, size_t n, gale_error *error) {
  gale_status status = GALE_OK;
  for (size_t i = 0; i < n && !status; i++) status = checkpoint_override(c, key_values[i], error);
  return status;
}
