/* Reading a command line by option_table. */
#include "gale/cli/console.h"
#include "gale/cli/suggest.h"
#include "gale/cli/units.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct cursor {
  options *o;
  int argc;
  char **argv;
  int next;
  bool only_arguments; /* a -- went by */
} cursor;

bool options_have(const option_id *list, option_id id) {
  while (*list != OPTION_COUNT && *list != id) list++;
  return *list == id && id != OPTION_COUNT;
}

bool option_given(const options *o, option_id id) {
  return o->given[id];
}

static void set_defaults(options *o, const command *c) {
  gale_session_options session;
  gale_session_defaults(&session);
  gale_sampler_options sampler;
  gale_sampler_defaults(&sampler);
  *o = (options){
      .command = c,
      .threads = session.threads,
      .context = session.context,
      .window = session.window,
      .chunk = session.chunk,
      .predict = -1,
      .temp = sampler.temperature,
      .top_k = sampler.top_k,
      .top_p = sampler.top_p,
      .min_p = sampler.min_p,
      .repeat_penalty = sampler.repeat_penalty,
      .repeat_last = sampler.repeat_last,
      .dry_base = sampler.dry_base,
      .dry_allowed = sampler.dry_allowed_length,
      .dry_last = sampler.dry_last,
      .typical = sampler.typical_p,
      .xtc_threshold = sampler.xtc_threshold,
      .mirostat_lr = sampler.mirostat_eta,
      .mirostat_ent = sampler.mirostat_tau,
      .repetitions = 3,
      .scale = 1,
      .host = "127.0.0.1",
      .port = 8080,
      .parallel = 8,
      .queue = 256,
      .queue_tokens = 1048576,
      .cache_limit = UINT64_C(8) << 30,
      .lookup = "on",
      .drain = 30,
      .header_timeout = 10,
      .body_timeout = 30,
      .stall_timeout = 10,
      .max_body = 10 << 20,
      .max_depth = 64,
      .max_n = 16,
      .max_stop = 16,
      .max_tools = 128,
      .max_connections = 16384,
  };
}

static int range_error(const options *o, const char *shown, const option_spec *s, const char *value) {
  if (s->kind == KIND_SIZE)
    return usage_error(o, "%s: '%s' is not a size from %.0f bytes to %s, such as 500M", shown, value, s->low,
                       exact_bytes((uint64_t)s->high).text);
  const char *kind = s->kind == KIND_REAL ? "number" : "whole number";
  if (s->kind == KIND_SEED)
    return usage_error(o, "%s: '%s' is not a whole number from 0 to 18446744073709551615", shown, value);
  if (s->open)
    return usage_error(o, "%s: '%s' is not a %s above %.10g and up to %.10g", shown, value, kind, s->low, s->high);
  return usage_error(o, "%s: '%s' is not a %s from %.10g to %.10g", shown, value, kind, s->low, s->high);
}

/* The number that `value` is, plain decimal and in the option's range. */
static bool read_count(const option_spec *s, const char *value, int64_t *read) {
  char *end = NULL;
  errno = 0;
  bool plain = value[0] != 0 && value[strspn(value, "+-0123456789")] == 0;
  long long n = plain ? strtoll(value, &end, 10) : 0;
  if (!plain || *end || end == value || errno || (double)n < s->low || (double)n > s->high) return false;
  *read = n;
  return true;
}

static bool read_int(const option_spec *s, const char *value, int32_t *read) {
  int64_t n;
  if (!read_count(s, value, &n)) return false;
  *read = (int32_t)n;
  return true;
}

static int set_numbers(options *o, const char *shown, const option_spec *s, const char *value) {
  int_list *list = (int_list *)(void *)((char *)o + s->offset);
  for (const char *p = value;; p++) {
    char item[24];
    size_t n = strcspn(p, ",");
    snprintf(item, sizeof item, "%.*s", n < sizeof item ? (int)n : (int)sizeof item - 1, p);
    if (list->length == MAX_NUMBERS) return usage_error(o, "%s: more than %d numbers", shown, MAX_NUMBERS);
    if (n >= sizeof item || !read_int(s, item, &list->items[list->length])) return range_error(o, shown, s, item);
    list->length++;
    p += n;
    if (!*p) return 0;
  }
}

static int set_number(options *o, const char *shown, const option_spec *s, const char *value) {
  char *field = (char *)o + s->offset, *end = NULL;
  /* strtod and its like skip white space and take "0x", "inf" and "nan"; a number here is plain decimal. */
  bool plain = value[0] != 0 && value[strspn(value, s->kind == KIND_REAL ? "+-.0123456789eE" : "+-0123456789")] == 0;
  errno = 0;
  if (s->kind == KIND_SEED) {
    unsigned long long n = plain ? strtoull(value, &end, 10) : 0;
    if (!plain || value[0] == '-' || *end || end == value || errno) return range_error(o, shown, s, value);
    *(uint64_t *)(void *)field = n;
  } else if (s->kind == KIND_INT) {
    if (!read_int(s, value, (int32_t *)(void *)field)) return range_error(o, shown, s, value);
  } else if (s->kind == KIND_COUNT) {
    if (!read_count(s, value, (int64_t *)(void *)field)) return range_error(o, shown, s, value);
  } else if (s->kind == KIND_SIZE) {
    uint64_t n;
    if (!parse_bytes(value, &n) || (double)n < s->low || (double)n > s->high) return range_error(o, shown, s, value);
    *(uint64_t *)(void *)field = n;
  } else {
    double x = plain ? strtod(value, &end) : 0;
    bool outside = !plain || *end || end == value || !isfinite(x) || x < s->low || x > s->high;
    if (outside || (s->open && x <= s->low)) return range_error(o, shown, s, value);
    *(double *)(void *)field = x;
  }
  return 0;
}

static int set_text(options *o, const char *shown, const option_spec *s, const char *value) {
  if (s->kind == KIND_TEXTS) {
    text_list *list = (text_list *)(void *)((char *)o + s->offset);
    if (!*value) return usage_error(o, "%s: the text is empty", shown);
    size_t most = s->high > 0 ? (size_t)s->high : MAX_STOPS;
    if (list->length == most) return usage_error(o, "%s: given more than %zu times", shown, most);
    list->items[list->length++] = value;
    return 0;
  }
  if (s->choices) {
    char known[128] = "";
    size_t n = 0;
    for (const char *const *c = s->choices; *c; c++) {
      if (strcmp(*c, value) == 0) {
        *(const char **)(void *)((char *)o + s->offset) = *c;
        return 0;
      }
      n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", *c);
    }
    return usage_error(o, "%s: '%s' is not one of %s", shown, value, known);
  }
  *(const char **)(void *)((char *)o + s->offset) = value;
  return 0;
}

/* Whether [word, word + n), with its dashes, is a name of an option. */
static bool is_named(const option_spec *s, const char *word, size_t n) {
  if (word[1] == '-' ? strlen(s->name) == n - 2 && memcmp(s->name, word + 2, n - 2) == 0
                     : n == 2 && s->letter == word[1])
    return true;
  for (const char *const *also = s->also; also && *also; also++)
    if (strlen(*also) == n && memcmp(*also, word, n) == 0) return true;
  return false;
}

/* The option that a word names, or OPTION_COUNT; *value is what follows its '='. */
static option_id find_option(const command *c, const char *word, const char **value) {
  bool is_long = word[1] == '-';
  size_t n = is_long ? strcspn(word, "=") : strlen(word);
  *value = word[n] ? word + n + 1 : NULL;
  for (option_id id = 0; id < OPTION_COUNT; id++)
    if (options_have(c->options, id) && is_named(&option_table[id], word, n)) return id;
  return OPTION_COUNT;
}

static int unknown_option(const options *o, const char *word) {
  const char *names[OPTION_COUNT + 1];
  size_t n = 0;
  for (option_id id = 0; id < OPTION_COUNT; id++)
    if (options_have(o->command->options, id) && !option_table[id].hidden) names[n++] = option_table[id].name;
  names[n] = NULL;
  char name[64];
  snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
  const char *near = word[1] == '-' ? suggest(name + 2, names) : NULL;
  if (near) return usage_error(o, "unknown option '%s'; did you mean '--%s'?", name, near);
  return usage_error(o, "unknown option '%s'", word);
}

static int parse_option(cursor *at, const char *word) {
  options *o = at->o;
  const char *value;
  option_id id = find_option(o->command, word, &value);
  if (id == OPTION_COUNT) return unknown_option(o, word);
  const option_spec *s = &option_table[id];
  char shown[40];
  if (word[1] == '-' || word[2])
    snprintf(shown, sizeof shown, "--%s", s->name);
  else
    snprintf(shown, sizeof shown, "-%c", s->letter);
  o->given[id] = true;
  if (s->kind == KIND_FLAG) {
    if (value) return usage_error(o, "%s takes no value", shown);
    *(bool *)((char *)o + s->offset) = true;
    return 0;
  }
  int wanted = s->kind == KIND_PAIR ? 2 : 1;
  if (!value && at->next + wanted > at->argc) return usage_error(o, "%s needs %s", shown, s->argument);
  if (s->kind == KIND_PAIR) {
    if (value) return usage_error(o, "%s needs %s as separate words", shown, s->argument);
    memcpy((char *)o + s->offset, &at->argv[at->next], 2 * sizeof(char *));
    at->next += 2;
    return 0;
  }
  if (!value) value = at->argv[at->next++];
  if (s->kind == KIND_INTS) return set_numbers(o, shown, s, value);
  bool is_number = s->kind != KIND_TEXT && s->kind != KIND_FILE && s->kind != KIND_TEXTS;
  return is_number ? set_number(o, shown, s, value) : set_text(o, shown, s, value);
}

int options_parse(options *o, const command *c, int argc, char **argv) {
  set_defaults(o, c);
  cursor at = {o, argc, argv, 0, false};
  while (at.next < argc) {
    const char *word = argv[at.next++];
    if (!at.only_arguments && word[0] == '-' && word[1]) {
      if (strcmp(word, "--") == 0) {
        at.only_arguments = true;
        continue;
      }
      int code = parse_option(&at, word);
      if (code) return code;
      continue;
    }
    if (o->n_arguments == c->max_arguments)
      return usage_error(o, "unexpected argument '%s'%s", word, c->surplus ? c->surplus : "");
    o->arguments[o->n_arguments++] = word;
  }
  if (o->help) return 0;
  if (o->n_arguments < c->min_arguments) return usage_error(o, "usage is: gale %s %s", c->name, c->arguments);
  if (o->quiet && o->verbose) return usage_error(o, "-v and -q contradict each other");
  return 0;
}
