#include "json/regex.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/unicode.h"
#include "base/utf8.h"

enum {
  DEEPEST = 200,
  ESCAPED = 1 << 24,    /* a token that a backslash stands before */
  NOTHING = UINT32_MAX, /* behind the last token */
};

#define WIDEST (UINT64_MAX / 2)
#define REPEATS_WITHOUT_END UINT32_MAX

/* How many characters something matches, at least and at most. */
typedef struct width {
  uint64_t least, most;
} width;

typedef struct group {
  width width;
  bool closed;
  size_t name, name_end; /* tokens; none: empty */
} group;

typedef struct pattern {
  const uint32_t *tokens; /* characters; NOTHING ends them */
  size_t at;
  group *groups; /* from 1 on */
  size_t n_groups;
  size_t behind;   /* groups from here on are within a look-behind; 0: none is */
  size_t referred; /* the largest number of a group that a condition names, which may come later */
  bool verbose;    /* of the whole pattern, as are the following */
  bool ascii, unicode;
  bool failed;
} pattern;

typedef enum item { ITEM_NONE, ITEM_PLACE, ITEM_REPEAT, ITEM_OTHER } item;

/* ---- Tokens ---- */

static uint32_t look(const pattern *p) {
  return p->tokens[p->at];
}

static uint32_t get(pattern *p) {
  uint32_t c = p->tokens[p->at];
  if (c != NOTHING) p->at++;
  return c;
}

static bool accept(pattern *p, uint32_t c) {
  if (look(p) != c) return false;
  p->at++;
  return true;
}

static void fail(pattern *p) {
  p->failed = true;
}

static bool is_digit(uint32_t c) {
  return c >= '0' && c <= '9';
}

static bool is_octal(uint32_t c) {
  return c >= '0' && c <= '7';
}

static bool is_letter(uint32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int hex_digit(uint32_t c) {
  return is_digit(c)            ? (int)c - '0'
         : c >= 'a' && c <= 'f' ? (int)c - 'a' + 10
         : c >= 'A' && c <= 'F' ? (int)c - 'A' + 10
                                : -1;
}

static bool is_among(uint32_t c, const char *list) {
  return c > 0 && c < 128 && strchr(list, (int)c);
}

/* ---- Widths ---- */

static uint64_t sum(uint64_t a, uint64_t b) {
  return a > WIDEST - b ? WIDEST : a + b;
}

static uint64_t times(uint64_t a, uint64_t n) {
  return n && a > WIDEST / n ? WIDEST : a * n;
}

static width add(width a, width b) {
  return (width){sum(a.least, b.least), sum(a.most, b.most)};
}

static width either(width a, width b) {
  return (width){a.least < b.least ? a.least : b.least, a.most > b.most ? a.most : b.most};
}

/* ---- Escapes ---- */

/* So many hexadecimal digits. */
static uint32_t read_hex(pattern *p, int digits) {
  uint32_t code = 0;
  for (int i = 0; i < digits; i++) {
    int digit = hex_digit(look(p));
    if (digit < 0) {
      fail(p);
      return 0;
    }
    code = code << 4 | (uint32_t)digit;
    p->at++;
  }
  if (code > 0x10FFFF) fail(p);
  return code;
}

static uint32_t read_character_name(pattern *p) {
  if (!accept(p, '{')) fail(p);
  size_t start = p->at;
  for (uint32_t c = look(p); (c >= 'A' && c <= 'Z') || is_digit(c) || c == ' ' || c == '-'; c = look(p)) p->at++;
  if (p->at == start || !accept(p, '}')) fail(p);
  return 0;
}

/* Escapes that mean the same within a class and outside; false if c is none. */
static bool common_escape(pattern *p, uint32_t c, uint32_t *code) {
  static const char NAMES[] = "afnrtv\\", VALUES[] = "\a\f\n\r\t\v\\";
  const char *name = c < 128 && c ? strchr(NAMES, (int)c) : NULL;
  if (name)
    *code = (uint32_t)VALUES[name - NAMES];
  else if (c == 'x' || c == 'u' || c == 'U')
    *code = read_hex(p, c == 'x' ? 2 : c == 'u' ? 4 : 8);
  else if (c == 'N')
    *code = read_character_name(p);
  else
    return false;
  return true;
}

/* Up to `more` further octal digits. */
static uint32_t read_octal(pattern *p, uint32_t code, int more) {
  for (; more > 0 && is_octal(look(p)); more--) code = code * 8 + get(p) - '0';
  if (code > 0377) fail(p);
  return code;
}

/* A number of a group, which must be closed, and not lie in the look-behind that refers to it. */
static width refer(pattern *p, size_t number) {
  if (number >= p->n_groups || !p->groups[number].closed || (p->behind && number >= p->behind)) {
    fail(p);
    return (width){0, 0};
  }
  return p->groups[number].width;
}

/* What an escaped character outside a class is. */
static item escape(pattern *p, uint32_t c, width *w) {
  uint32_t code;
  *w = (width){1, 1};
  if (is_among(c, "AbBZ")) {
    *w = (width){0, 0};
    return ITEM_PLACE;
  }
  if (is_among(c, "dDsSwW") || common_escape(p, c, &code)) return ITEM_OTHER;
  if (c == '0') {
    read_octal(p, 0, 2);
  } else if (is_digit(c)) {
    uint32_t number = c - '0';
    if (is_digit(look(p))) {
      uint32_t second = get(p);
      if (is_octal(c) && is_octal(second) && is_octal(look(p))) {
        read_octal(p, number * 8 + second - '0', 1);
        return ITEM_OTHER;
      }
      number = number * 10 + second - '0';
    }
    *w = refer(p, number);
  } else if (is_letter(c)) {
    fail(p);
  }
  return ITEM_OTHER;
}

/* ---- Classes ---- */

/* A member of a class; *code is its character unless it stands for many. */
static bool read_member(pattern *p, uint32_t token, uint32_t *code) {
  *code = token & ~(uint32_t)ESCAPED;
  if (!(token & ESCAPED)) return true;
  uint32_t c = *code;
  if (is_among(c, "dDsSwW")) return false;
  if (c == 'b') {
    *code = '\b';
  } else if (is_octal(c)) {
    *code = read_octal(p, c - '0', 2);
  } else if (!common_escape(p, c, code) && (is_letter(c) || is_digit(c))) {
    fail(p);
  }
  return true;
}

static void read_class(pattern *p) {
  accept(p, '^');
  for (size_t members = 0; !p->failed; members++) {
    uint32_t token = get(p), low, high;
    if (token == ']' && members > 0) return;
    if (token == NOTHING) {
      fail(p);
      return;
    }
    bool one = read_member(p, token, &low);
    if (!accept(p, '-')) continue;
    token = get(p);
    if (token == ']') return;
    if (token == NOTHING) {
      fail(p);
      return;
    }
    one &= read_member(p, token, &high);
    if (!one || high < low) fail(p);
  }
}

/* ---- Repeats ---- */

/* A number of digits that are there or not. */
static bool read_count(pattern *p, uint64_t *count) {
  if (!is_digit(look(p))) return false;
  *count = 0;
  while (is_digit(look(p))) *count = sum(times(*count, 10), get(p) - '0');
  if (*count >= REPEATS_WITHOUT_END) fail(p);
  return true;
}

/* What stands behind a brace; false if that is no repeat, and the brace stands for itself. */
static bool read_braces(pattern *p, uint64_t *least, uint64_t *most) {
  size_t start = p->at;
  bool failed = p->failed;
  if (look(p) == '}') return false;
  *least = 0;
  *most = REPEATS_WITHOUT_END;
  bool exact = read_count(p, least);
  if (!accept(p, ','))
    *most = exact ? *least : *most;
  else
    read_count(p, most);
  if (!accept(p, '}')) {
    p->at = start;
    p->failed = failed;
    return false;
  }
  if (*most < *least) fail(p);
  return true;
}

/* The last item, repeated. */
static void repeat(pattern *p, uint64_t least, uint64_t most, item *last, width *w) {
  if (*last != ITEM_OTHER) fail(p);
  w->least = times(w->least, least);
  w->most = most == REPEATS_WITHOUT_END && w->most ? WIDEST : times(w->most, most);
  *last = ITEM_REPEAT;
  if (!accept(p, '?')) accept(p, '+');
}

/* ---- Groups ---- */

static width alternatives(pattern *p, int depth, bool verbose);
static width sequence(pattern *p, int depth, bool verbose, bool first);

static bool is_name(const pattern *p, size_t start, size_t end) {
  for (size_t i = start; i < end; i++) {
    uint32_t c = p->tokens[i];
    unsigned flags = c < 0x110000 ? unicode_flags(c) : 0;
    if (c != '_' && !(flags & CHAR_LETTER) && !(i > start && (flags & (CHAR_MARK | CHAR_NUMBER)))) return false;
  }
  return end > start;
}

/* Tokens up to the one that ends them, which is taken too. */
static void read_until(pattern *p, uint32_t last, size_t *start, size_t *end) {
  *start = p->at;
  while (look(p) != NOTHING && look(p) != last) p->at++;
  *end = p->at;
  if (!accept(p, last) || *start == *end) fail(p);
}

/* The group of that name, or 0. */
static size_t find_group(const pattern *p, size_t start, size_t end) {
  for (size_t g = 1; g < p->n_groups; g++) {
    const group *known = &p->groups[g];
    if (known->name_end - known->name == end - start && end > start &&
        memcmp(p->tokens + known->name, p->tokens + start, (end - start) * sizeof *p->tokens) == 0)
      return g;
  }
  return 0;
}

static size_t open_group(pattern *p, size_t name, size_t name_end) {
  if (find_group(p, name, name_end)) fail(p);
  p->groups[p->n_groups] = (group){.name = name, .name_end = name_end};
  return p->n_groups++;
}

static void end_group(pattern *p) {
  if (!accept(p, ')')) fail(p);
}

/* "(?(" has been read: a group by name or number, then one or two branches. */
static width read_condition(pattern *p, int depth, bool verbose) {
  size_t start, end, number = 0;
  read_until(p, ')', &start, &end);
  if (is_name(p, start, end)) {
    number = find_group(p, start, end);
    if (!number) fail(p);
  } else {
    for (size_t i = start; i < end && number < p->n_groups + SHRT_MAX; i++) {
      if (!is_digit(p->tokens[i])) fail(p);
      number = number * 10 + p->tokens[i] - '0';
    }
    if (number == 0) fail(p);
    if (number > p->referred) p->referred = number;
  }
  if (p->behind) refer(p, number);
  width w = sequence(p, depth, verbose, false);
  if (accept(p, '|')) {
    w = either(w, sequence(p, depth, verbose, false));
    if (look(p) == '|') fail(p);
  } else {
    w.least = 0;
  }
  end_group(p);
  return w;
}

static void read_around(pattern *p, bool behind, int depth, bool verbose) {
  size_t outer = p->behind;
  if (behind && !outer) p->behind = p->n_groups;
  width w = alternatives(p, depth, verbose);
  p->behind = outer;
  end_group(p);
  if (behind && (w.least != w.most || w.least > UINT32_MAX)) fail(p);
}

/* Flags before a hyphen, and those behind it. */
static uint32_t read_flags(pattern *p, uint32_t c, const char *known, char *flags) {
  size_t n = strlen(flags);
  while (is_among(c, known)) {
    if (!strchr(flags, (int)c)) flags[n++] = (char)c;
    c = get(p);
  }
  return c;
}

/* "(?" and a flag or a hyphen have been read. True if they are those of a group, whose contents follow; else they are
 * those of the whole pattern. */
static bool flags_of_group(pattern *p, uint32_t c, bool may_be_global, bool *verbose) {
  char on[16] = "", off[16] = "";
  c = read_flags(p, c, "imsxau", on);
  bool ascii = strchr(on, 'a'), unicode = strchr(on, 'u');
  if (ascii && unicode) fail(p);
  if (c == ')') {
    p->ascii |= ascii;
    p->unicode |= unicode;
    p->verbose |= strchr(on, 'x') != NULL;
    if (!may_be_global) fail(p);
    return false;
  }
  if (c == '-') {
    c = read_flags(p, get(p), "imsx", off);
    if (!*off) fail(p);
  }
  if (c != ':') fail(p);
  if (strpbrk(on, *off ? off : "-")) fail(p);
  *verbose = (*verbose || strchr(on, 'x')) && !strchr(off, 'x');
  return true;
}

/* "(?P" has been read: a named group begins, or a reference by name, which is true. */
static bool read_named(pattern *p, size_t *name, size_t *name_end, width *w) {
  bool begins = accept(p, '<');
  if (!begins && !accept(p, '=')) {
    fail(p);
    return false;
  }
  read_until(p, begins ? '>' : ')', name, name_end);
  if (!is_name(p, *name, *name_end)) fail(p);
  if (!begins) *w = refer(p, find_group(p, *name, *name_end));
  return !begins;
}

/* A parenthesis has been read. ITEM_NONE: it held a comment, or flags of the whole pattern, with which *verbose changes
 * and which must come first. */
static item read_group(pattern *p, int depth, bool *verbose, bool first, width *w) {
  bool captures = true, inner = *verbose;
  size_t name = 0, name_end = 0;
  if (accept(p, '?')) {
    uint32_t c = get(p);
    captures = false;
    if (c == 'P') {
      if (read_named(p, &name, &name_end, w)) return ITEM_OTHER;
      captures = true;
    } else if (c == '#') {
      while (look(p) != NOTHING && look(p) != ')') p->at++;
      end_group(p);
      return ITEM_NONE;
    } else if (c == '=' || c == '!' || c == '<') {
      if (c == '<' && !accept(p, '=') && !accept(p, '!')) fail(p);
      read_around(p, c == '<', depth, inner);
      return ITEM_OTHER;
    } else if (c == '(') {
      *w = read_condition(p, depth, inner);
      return ITEM_OTHER;
    } else if (is_among(c, "imsxau-")) {
      if (!flags_of_group(p, c, first, &inner)) {
        *verbose = p->verbose;
        return ITEM_NONE;
      }
    } else if (c != ':' && c != '>') {
      fail(p);
    }
  }
  size_t number = captures && !p->failed ? open_group(p, name, name_end) : 0;
  *w = alternatives(p, depth, inner);
  end_group(p);
  if (number) {
    p->groups[number].width = *w;
    p->groups[number].closed = true;
  }
  return ITEM_OTHER;
}

/* ---- Sequences ---- */

static void skip_line(pattern *p) {
  for (uint32_t c = get(p); c != NOTHING && c != '\n';) c = get(p);
}

static width sequence(pattern *p, int depth, bool verbose, bool first) {
  width before = {0, 0}, w = {0, 0};
  item last = ITEM_NONE;
  if (depth > (int)DEEPEST) fail(p);
  while (!p->failed && look(p) != NOTHING && look(p) != '|' && look(p) != ')') {
    uint32_t c = get(p);
    uint64_t least = c == '+', most = c == '?' ? 1 : REPEATS_WITHOUT_END;
    if (verbose && is_among(c, " \t\n\r\v\f")) continue;
    if (verbose && c == '#') {
      skip_line(p);
      continue;
    }
    if (c == '*' || c == '+' || c == '?' || (c == '{' && read_braces(p, &least, &most))) {
      repeat(p, least, most, &last, &w);
      continue;
    }
    width next = {0, 0};
    item kind = ITEM_OTHER;
    if (c == '(') {
      kind = read_group(p, depth + 1, &verbose, first && last == ITEM_NONE, &next);
      if (kind == ITEM_NONE) continue;
    } else if (c & ESCAPED) {
      kind = escape(p, c & ~(uint32_t)ESCAPED, &next);
    } else if (c == '^' || c == '$') {
      kind = ITEM_PLACE;
    } else {
      if (c == '[') read_class(p);
      next = (width){1, 1};
    }
    before = add(before, w);
    w = next;
    last = kind;
  }
  return add(before, w);
}

static width alternatives(pattern *p, int depth, bool verbose) {
  bool whole = depth == 0;
  width w = sequence(p, depth, verbose, whole);
  while (!p->failed && accept(p, '|')) w = either(w, sequence(p, depth, whole ? p->verbose : verbose, false));
  return w;
}

/* ---- The whole ---- */

/* Characters, those behind a backslash marked; NULL if the last is a backslash alone, or memory runs out. */
static uint32_t *read_tokens(slice text) {
  uint32_t *tokens = malloc((text.n + 1) * sizeof *tokens);
  size_t n = 0, step;
  bool escaped = false;
  for (size_t i = 0; tokens && i < text.n; i += step) {
    uint32_t c = utf8_at(text.s + i, text.n - i, &step);
    if (c == CHAR_INVALID) c = 0xFFFD;
    if (c == '\\' && !escaped) {
      escaped = true;
      continue;
    }
    tokens[n++] = escaped ? c | ESCAPED : c;
    escaped = false;
  }
  if (tokens && escaped) {
    free(tokens);
    tokens = NULL;
  }
  if (tokens) tokens[n] = NOTHING;
  return tokens;
}

bool regex_valid(slice text) {
  uint32_t *tokens = read_tokens(text);
  group *groups = malloc((text.n + 2) * sizeof *groups);
  pattern p = {.tokens = tokens, .groups = groups, .n_groups = 1, .failed = !tokens || !groups};
  if (!p.failed) {
    groups[0] = (group){.closed = false};
    alternatives(&p, 0, false);
    if (look(&p) != NOTHING || (p.ascii && p.unicode) || p.referred >= p.n_groups) fail(&p);
  }
  free(groups);
  free(tokens);
  return !p.failed;
}
