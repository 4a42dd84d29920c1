/* GBNF, as llama.cpp documents it: read to a tree, since whether a rule matches the empty text must be known before
 * expressions are made of it. */
#include "base/arena.h"
#include "base/error.h"
#include "base/utf8.h"
#include "constraint/char_set.h"
#include "constraint/compile.h"
#include "constraint/expr_build.h"

#include <string.h>

enum { DEEPEST = 256, MOST_RULES = 4096, MOST_REPEATS = 10000, MOST_TEXT = 256 << 10, RULE_BUCKETS = 1024 };

typedef enum item_kind { ITEM_TEXT, ITEM_SET, ITEM_RULE, ITEM_SEQ, ITEM_ALT, ITEM_REPEAT } item_kind;

typedef struct rule rule;

typedef struct item item;
struct item {
  item_kind kind;
  slice text;
  char_set set;
  rule *of;
  item *first, *last, *next;
  item *sets; /* the set before this one, to free them */
  uint32_t least, most;
};

struct rule {
  slice name;
  size_t at; /* where it is defined or, before that, was used first */
  item *body;
  bool nullable;
  uint32_t number; /* of the expression's rule */
  rule *next, *bucket;
};

typedef struct reader {
  slice text;
  size_t at;
  arena memory;
  item *sets;
  rule *first, **last, *buckets[RULE_BUCKETS];
  size_t n_rules;
  gale_error *error;
  gale_status status;
} reader;

static void *fail_at(reader *r, size_t at, gale_status status, const char *why) {
  if (!r->status) r->status = error_set(r->error, status, "byte %zu: %s", at, why);
  return NULL;
}

static void *fail(reader *r, const char *why) {
  return fail_at(r, r->at, GALE_E_ARGUMENT, why);
}

static void *get(reader *r, size_t n) {
  void *at = arena_alloc(&r->memory, n);
  if (!at && !r->status) r->status = error_memory(r->error, n);
  return at;
}

static item *item_new(reader *r, item_kind kind) {
  item *i = get(r, sizeof *i);
  if (!i) return NULL;
  i->kind = kind;
  if (kind == ITEM_SET) {
    i->sets = r->sets;
    r->sets = i;
  }
  return i;
}

static void append(item *to, item *part) {
  if (to->last)
    to->last->next = part;
  else
    to->first = part;
  to->last = part;
}

/* ---- Characters ---- */

static char look(const reader *r) {
  return r->at < r->text.n ? r->text.s[r->at] : 0;
}

static bool accept(reader *r, char c) {
  bool is = r->at < r->text.n && r->text.s[r->at] == c;
  r->at += is;
  return is;
}

/* Spaces and comments, and new lines where a rule may go on behind one. */
static void skip(reader *r, bool lines) {
  while (r->at < r->text.n) {
    char c = look(r);
    if (c == '#')
      while (r->at < r->text.n && look(r) != '\n' && look(r) != '\r') r->at++;
    else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r')))
      r->at++;
    else
      break;
  }
}

static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static uint32_t read_hex(reader *r, int digits) {
  uint32_t c = 0;
  for (int i = 0; i < digits; i++, r->at++) {
    char d = look(r);
    int v = d >= '0' && d <= '9'   ? d - '0'
            : d >= 'a' && d <= 'f' ? d - 'a' + 10
            : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                   : -1;
    if (v < 0) {
      fail(r, "hexadecimal digits are missing");
      return 0;
    }
    c = c << 4 | (uint32_t)v;
  }
  if (c > LAST_CHARACTER || (c >= 0xD800 && c < 0xE000)) fail(r, "no character has this number");
  return c;
}

/* One character of a text or a class. */
static uint32_t read_character(reader *r) {
  size_t start = r->at, length;
  if (r->at >= r->text.n) {
    fail(r, "a text or a class has no end");
    return 0;
  }
  if (!accept(r, '\\')) {
    uint32_t c = utf8_at(r->text.s + r->at, r->text.n - r->at, &length);
    r->at += length;
    return c;
  }
  char c = look(r);
  r->at++;
  switch (c) {
  case 'n':
    return '\n';
  case 'r':
    return '\r';
  case 't':
    return '\t';
  case '\\':
  case '"':
  case '[':
  case ']':
    return (unsigned char)c;
  case 'x':
    return read_hex(r, 2);
  case 'u':
    return read_hex(r, 4);
  case 'U':
    return read_hex(r, 8);
  default:
    fail_at(r, start, GALE_E_ARGUMENT,
            "this escape is not known: \\n \\r \\t \\\\ \\\" \\[ \\] \\xHH \\uHHHH \\UHHHHHHHH are");
  }
  return 0;
}

/* ---- Items ---- */

static item *read_text(reader *r) {
  item *i = item_new(r, ITEM_TEXT);
  size_t start = r->at, end = start, n = 0;
  while (end < r->text.n && r->text.s[end] != '"') end += r->text.s[end] == '\\' ? 2 : 1;
  if (end >= r->text.n) return fail_at(r, start - 1, GALE_E_ARGUMENT, "the text has no end");
  char *bytes = i ? get(r, end - start + 4) : NULL; /* no escape is shorter than what it stands for */
  if (!bytes) return NULL;
  while (!r->status && r->at < end) {
    uint32_t c = read_character(r);
    if (!r->status) n += (size_t)utf8_encode(c, bytes + n);
  }
  r->at = end + 1;
  i->text = (slice){bytes, n};
  return i;
}

static item *read_class(reader *r) {
  item *i = item_new(r, ITEM_SET);
  if (!i) return NULL;
  bool inverted = accept(r, '^');
  while (!r->status && !accept(r, ']')) {
    uint32_t low = read_character(r), high = low;
    if (look(r) == '-' && r->at + 1 < r->text.n && r->text.s[r->at + 1] != ']') {
      r->at++;
      high = read_character(r);
    }
    if (high < low) return fail(r, "the range ends before it begins");
    char_set_add(&i->set, low, high);
  }
  if (inverted) char_set_invert(&i->set);
  return i;
}

static rule *find_rule(reader *r, slice name, size_t at) {
  uint32_t hash = 0;
  for (size_t i = 0; i < name.n; i++) hash = hash * 31 + (unsigned char)name.s[i];
  rule **bucket = &r->buckets[(hash ^ hash >> 10) % RULE_BUCKETS];
  for (rule *known = *bucket; known; known = known->bucket)
    if (slice_equal(known->name, name)) return known;
  if (r->n_rules == MOST_RULES) return fail_at(r, at, GALE_E_UNSUPPORTED, "more than 4096 rules are not supported");
  rule *fresh = get(r, sizeof *fresh);
  if (!fresh) return NULL;
  *fresh = (rule){.name = name, .at = at, .bucket = *bucket};
  *bucket = fresh;
  *r->last = fresh;
  r->last = &fresh->next;
  r->n_rules++;
  return fresh;
}

static slice read_name(reader *r) {
  size_t start = r->at;
  while (is_word(look(r))) r->at++;
  return (slice){r->text.s + start, r->at - start};
}

static item *read_alternatives(reader *r, int depth);

static item *read_atom(reader *r, int depth) {
  size_t start = r->at;
  item *i;
  if (accept(r, '"')) return read_text(r);
  if (accept(r, '[')) return read_class(r);
  if (accept(r, '.')) {
    i = item_new(r, ITEM_SET);
    if (i) char_set_add(&i->set, 0, LAST_CHARACTER);
    return i;
  }
  if (accept(r, '(')) {
    if (depth >= DEEPEST) return fail_at(r, start, GALE_E_UNSUPPORTED, "nested more than 256 deep");
    skip(r, true);
    i = read_alternatives(r, depth + 1);
    if (i && !accept(r, ')')) return fail(r, "a parenthesis is not closed");
    return i;
  }
  if (look(r) == '<' || look(r) == '!')
    return fail_at(r, start, GALE_E_UNSUPPORTED, "tokens as terminals are not supported");
  i = item_new(r, ITEM_RULE);
  if (i) i->of = find_rule(r, read_name(r), start);
  return i && i->of ? i : NULL;
}

static bool read_count(reader *r, uint32_t *count) {
  bool there = false;
  *count = 0;
  for (; look(r) >= '0' && look(r) <= '9'; r->at++) {
    there = true;
    *count = *count * 10 + (uint32_t)(look(r) - '0');
    if (*count > MOST_REPEATS) {
      fail_at(r, r->at, GALE_E_UNSUPPORTED, "more than 10000 repeats");
      break;
    }
  }
  return there;
}

/* {m}, {m,} or {m,n}: the brace has been read. */
static void read_braces(reader *r, uint32_t *least, uint32_t *most) {
  size_t start = r->at - 1;
  skip(r, false);
  if (!read_count(r, least)) fail(r, "a number of repeats is missing");
  *most = *least;
  skip(r, false);
  if (accept(r, ',')) {
    skip(r, false);
    if (!read_count(r, most)) *most = REPEAT_ALWAYS;
    skip(r, false);
  }
  if (!accept(r, '}')) fail(r, "a brace is not closed");
  if (*most < *least) fail_at(r, start, GALE_E_ARGUMENT, "the repeat's bounds exclude everything");
}

static item *repeated(reader *r, item *i, bool lines) {
  for (int times = 0; i && !r->status; times++) {
    uint32_t least = 0, most = REPEAT_ALWAYS;
    skip(r, lines);
    if (accept(r, '+'))
      least = 1;
    else if (accept(r, '?'))
      most = 1;
    else if (accept(r, '{'))
      read_braces(r, &least, &most);
    else if (!accept(r, '*'))
      break;
    if (times == DEEPEST) return fail(r, "repeated too often");
    item *to = item_new(r, ITEM_REPEAT);
    if (!to) return NULL;
    append(to, i);
    to->least = least;
    to->most = most;
    i = to;
  }
  return i;
}

static item *read_sequence(reader *r, int depth) {
  item *seq = item_new(r, ITEM_SEQ);
  bool lines = depth > 0;
  skip(r, lines);
  while (seq && !r->status && r->at < r->text.n) {
    char c = look(r);
    if (!is_word(c) && !(c && strchr("\"[.(<!", c))) break;
    item *part = repeated(r, read_atom(r, depth), lines);
    if (!part) return NULL;
    append(seq, part);
    skip(r, lines);
  }
  return seq;
}

static item *read_alternatives(reader *r, int depth) {
  item *alt = item_new(r, ITEM_ALT);
  if (!alt) return NULL;
  for (;;) {
    item *one = read_sequence(r, depth);
    if (!one || r->status) return NULL;
    append(alt, one);
    if (!accept(r, '|')) return alt;
    skip(r, true);
  }
}

static void read_rules(reader *r) {
  skip(r, true);
  while (r->at < r->text.n && !r->status) {
    size_t start = r->at;
    slice name = read_name(r);
    if (name.n == 0) {
      fail(r, "the name of a rule is missing");
      return;
    }
    skip(r, false);
    if (r->text.n - r->at < 3 || memcmp(r->text.s + r->at, "::=", 3) != 0) {
      fail(r, "::= is missing");
      return;
    }
    r->at += 3;
    skip(r, true);
    rule *of = find_rule(r, name, start);
    if (!of) return;
    if (of->body) {
      fail_at(r, start, GALE_E_ARGUMENT, "the rule is there twice");
      return;
    }
    of->at = start;
    of->body = read_alternatives(r, 0);
    if (!of->body) return;
    if (r->at < r->text.n && look(r) != '\n' && look(r) != '\r') fail(r, "this character is not expected");
    skip(r, true);
  }
}

/* ---- To expressions ---- */

static bool is_nullable(const item *i) {
  switch (i->kind) {
  case ITEM_TEXT:
    return i->text.n == 0;
  case ITEM_SET:
    return false;
  case ITEM_RULE:
    return i->of->nullable;
  case ITEM_REPEAT:
    return i->least == 0 || is_nullable(i->first);
  case ITEM_ALT:
    for (const item *part = i->first; part; part = part->next)
      if (is_nullable(part)) return true;
    return false;
  default:
    for (const item *part = i->first; part; part = part->next)
      if (!is_nullable(part)) return false;
    return true;
  }
}

static void find_nullable(reader *r) {
  for (bool changed = true; changed;) {
    changed = false;
    for (rule *of = r->first; of; of = of->next)
      if (!of->nullable && is_nullable(of->body)) of->nullable = changed = true;
  }
}

static expr *build(expr_pool *p, item *i) {
  switch (i->kind) {
  case ITEM_TEXT:
    return expr_text(p, i->text.s, i->text.n);
  case ITEM_SET:
    return chars_utf8(p, &i->set);
  case ITEM_RULE:
    return expr_call(p, i->of->number);
  case ITEM_REPEAT:
    return expr_repeat(p, build(p, i->first), i->least, i->most);
  default:
    break;
  }
  expr_vector v;
  vector_begin(&v);
  for (item *part = i->first; part; part = part->next) vector_add(p, &v, build(p, part));
  expr *e = i->kind == ITEM_SEQ ? expr_list(p, v.items, v.n) : expr_alt(p, v.items, v.n);
  vector_end(&v);
  return e;
}

static void check_recursion(reader *r, expr_pool *p) {
  uint32_t found = expr_left_recursion(p);
  if (p->failed) return;
  for (rule *of = r->first; of && found != UINT32_MAX; of = of->next)
    if (of->number == found) fail_at(r, of->at, GALE_E_UNSUPPORTED, "left recursion: the rule begins with itself");
}

static void compile_rules(reader *r, expr_pool *p, expr **e) {
  for (rule *of = r->first; of; of = of->next)
    if (!of->body) {
      fail_at(r, of->at, GALE_E_ARGUMENT, "the rule is not defined");
      return;
    }
  find_nullable(r);
  for (rule *of = r->first; of; of = of->next) of->number = expr_rule_new(p, of->nullable);
  for (rule *of = r->first; of && !p->failed; of = of->next) expr_rule_set(p, of->number, build(p, of->body));
  if (!p->failed) check_recursion(r, p);
  rule *root = find_rule(r, SLICE("root"), 0);
  if (!root || !root->body) {
    fail_at(r, 0, GALE_E_ARGUMENT, "there is no rule `root`");
    return;
  }
  if (!r->status) *e = expr_settle_rules(p, expr_call(p, root->number));
}

gale_status compile_grammar(expr_pool *p, slice text, expr **e, gale_error *error) {
  if (text.n > MOST_TEXT)
    return error_set(error, GALE_E_UNSUPPORTED, "byte %d: a grammar has at most 256 KiB", MOST_TEXT);
  if (!utf8_valid(text.s, text.n)) return error_set(error, GALE_E_ARGUMENT, "byte 0: the grammar is not UTF-8");
  reader r = {.text = text, .error = error};
  r.last = &r.first;
  read_rules(&r);
  if (!r.status) compile_rules(&r, p, e);
  for (item *i = r.sets; i; i = i->sets) char_set_free(&i->set);
  arena_free(&r.memory);
  return r.status;
}
