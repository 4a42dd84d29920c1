/* Regular expressions: read to a tree, so that anchors at the ends of alternatives can be told from others, then turned
 * into an expression. */
#include "base/arena.h"
#include "base/error.h"
#include "base/utf8.h"
#include "constraint/char_set.h"
#include "constraint/compile.h"
#include "constraint/expr_build.h"
#include "constraint/json_text.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST_GROUP = 200, MOST_REPEATS = 10000, MOST_TEXT = 256 << 10, MOST_BRANCHES = 1000 };

typedef enum node_kind { NODE_TEXT, NODE_SET, NODE_SEQ, NODE_ALT, NODE_REPEAT, NODE_BEGIN, NODE_END } node_kind;

typedef struct node node;
struct node {
  node_kind kind;
  bool anchors; /* BEGIN or END is in it */
  uint32_t c;   /* TEXT: a character */
  char_set set;
  node *first, *last, *next; /* parts, and what follows among its parent's */
  uint32_t least, most;
};

typedef struct reader {
  slice text;
  size_t at;
  arena memory;
  node *sets; /* all sets, by `last`, to free them */
  gale_error *error;
  gale_status status;
  expr_pool *p;
  bool json;
  size_t branches;
} reader;

static node *fail_at(reader *r, size_t at, gale_status status, const char *why) {
  if (!r->status) r->status = error_set(r->error, status, "byte %zu: %s", at, why);
  return NULL;
}

static node *fail(reader *r, const char *why) {
  return fail_at(r, r->at, GALE_E_ARGUMENT, why);
}

static node *node_new(reader *r, node_kind kind) {
  node *n = arena_alloc(&r->memory, sizeof *n);
  if (!n) {
    if (!r->status) r->status = error_memory(r->error, sizeof *n);
    return NULL;
  }
  n->kind = kind;
  n->anchors = kind == NODE_BEGIN || kind == NODE_END;
  if (kind == NODE_SET) {
    n->last = r->sets;
    r->sets = n;
  }
  return n;
}

static void append(node *to, node *part) {
  if (to->last)
    to->last->next = part;
  else
    to->first = part;
  to->last = part;
  to->anchors |= part->anchors;
}

/* ---- Characters ---- */

static bool look(const reader *r, char c) {
  return r->at < r->text.n && r->text.s[r->at] == c;
}

static bool accept(reader *r, char c) {
  bool is = look(r, c);
  r->at += is;
  return is;
}

static uint32_t next_character(reader *r) {
  size_t length;
  uint32_t c = utf8_at(r->text.s + r->at, r->text.n - r->at, &length);
  r->at += length;
  return c;
}

static bool read_hex(reader *r, int digits, uint32_t *c) {
  *c = 0;
  for (int i = 0; i < digits; i++) {
    char d = r->at < r->text.n ? r->text.s[r->at] : 0;
    int v = d >= '0' && d <= '9'   ? d - '0'
            : d >= 'a' && d <= 'f' ? d - 'a' + 10
            : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                   : -1;
    if (v < 0) {
      fail(r, "hexadecimal digits are missing");
      return false;
    }
    *c = *c << 4 | (uint32_t)v;
    r->at++;
  }
  return true;
}

/* \uHHHH, of which two may be the halves of one character. */
static bool read_unicode(reader *r, uint32_t *c) {
  if (!read_hex(r, 4, c)) return false;
  if (*c >= 0xD800 && *c < 0xDC00 && r->at + 1 < r->text.n && look(r, '\\') && r->text.s[r->at + 1] == 'u') {
    uint32_t low;
    r->at += 2;
    if (!read_hex(r, 4, &low)) return false;
    if (low >= 0xDC00 && low < 0xE000) *c = 0x10000 + ((*c - 0xD800) << 10) + (low - 0xDC00);
  }
  if (*c < 0xD800 || *c >= 0xE000) return true;
  fail(r, "half of a surrogate pair is no character");
  return false;
}

/* ---- Classes ---- */

static void add_ranges(char_set *to, const char *pairs) {
  for (; *pairs; pairs += 2) char_set_add(to, (unsigned char)pairs[0], (unsigned char)pairs[1]);
}

/* \d, \w, \s and what they are not; false for other letters. */
static bool add_named(char_set *to, char letter) {
  char small = (char)(letter | 0x20);
  char_set one = {0};
  if (small == 'd')
    add_ranges(&one, "09");
  else if (small == 'w')
    add_ranges(&one, "09AZ__az");
  else if (small == 's')
    add_ranges(&one, "\t\r  ");
  else
    return false;
  if (letter != small) char_set_invert(&one);
  for (size_t i = 0; i < one.n; i++) char_set_add(to, one.ranges[i].first, one.ranges[i].last);
  to->failed |= one.failed;
  char_set_free(&one);
  return true;
}

/* A backslash has been read: one character, or a set of them, which is added to *set and makes *many true. */
static bool read_escape(reader *r, char_set *set, bool in_class, uint32_t *c, bool *many) {
  static const char LETTERS[] = "nrtfv0", VALUES[] = "\n\r\t\f\v";
  size_t start = r->at - 1;
  *many = false;
  if (r->at >= r->text.n) {
    fail_at(r, start, GALE_E_ARGUMENT, "nothing follows the backslash");
    return false;
  }
  uint32_t letter = next_character(r);
  const char *known = letter && letter < 128 ? strchr(LETTERS, (int)letter) : NULL;
  bool digit = r->at < r->text.n && r->text.s[r->at] >= '0' && r->text.s[r->at] <= '9';
  if (known && !(letter == '0' && digit)) {
    *c = (unsigned char)VALUES[known - LETTERS];
  } else if (letter == 'x') {
    return read_hex(r, 2, c);
  } else if (letter == 'u') {
    return read_unicode(r, c);
  } else if (letter == 'b' && in_class) {
    *c = '\b';
  } else if (letter < 128 && add_named(set, (char)letter)) {
    *many = true;
  } else if ((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9')) {
    fail_at(r, start, GALE_E_UNSUPPORTED,
            "this escape is not supported: \\d \\w \\s \\D \\W \\S \\n \\r \\t \\f \\v \\xHH \\uHHHH are");
    return false;
  } else {
    *c = letter;
  }
  return true;
}

static bool read_member(reader *r, char_set *set, uint32_t *c, bool *many) {
  *many = false;
  if (accept(r, '\\')) return read_escape(r, set, true, c, many);
  *c = next_character(r);
  return true;
}

static node *read_class(reader *r, size_t start) {
  node *n = node_new(r, NODE_SET);
  if (!n) return NULL;
  bool inverted = accept(r, '^');
  for (bool first = true; first || !look(r, ']'); first = false) {
    if (r->at >= r->text.n) return fail_at(r, start, GALE_E_ARGUMENT, "the class has no end");
    if (first && look(r, ']') && inverted) { /* [^] and [] are taken for a class that begins with a bracket */
      next_character(r);
      char_set_add(&n->set, ']', ']');
      continue;
    }
    uint32_t low, high;
    bool many, many_high;
    if (!read_member(r, &n->set, &low, &many)) return NULL;
    if (look(r, '-') && r->at + 1 < r->text.n && r->text.s[r->at + 1] != ']') {
      r->at++;
      size_t at = r->at;
      if (!read_member(r, &n->set, &high, &many_high)) return NULL;
      if (many || many_high) { /* [\w-.]: the hyphen stands for itself */
        char_set_add(&n->set, '-', '-');
        if (!many) char_set_add(&n->set, low, low);
        if (!many_high) char_set_add(&n->set, high, high);
        continue;
      }
      if (high < low) return fail_at(r, at, GALE_E_ARGUMENT, "the range ends before it begins");
      char_set_add(&n->set, low, high);
    } else if (!many) {
      char_set_add(&n->set, low, low);
    }
  }
  r->at++;
  if (inverted) char_set_invert(&n->set);
  return n;
}

/* ---- Repeats ---- */

static bool read_count(reader *r, uint32_t *count, bool *there) {
  *there = false;
  *count = 0;
  for (; r->at < r->text.n && r->text.s[r->at] >= '0' && r->text.s[r->at] <= '9'; r->at++) {
    *there = true;
    *count = *count * 10 + (uint32_t)(r->text.s[r->at] - '0');
    if (*count > MOST_REPEATS) {
      fail_at(r, r->at, GALE_E_UNSUPPORTED, "more than 10000 repeats");
      return false;
    }
  }
  return true;
}

/* Whether {m}, {m,} or {m,n} comes; a brace that is none of these stands for itself. */
static bool read_braces(reader *r, uint32_t *least, uint32_t *most) {
  size_t start = r->at;
  bool low, high = false;
  r->at++;
  if (!read_count(r, least, &low)) return true;
  *most = *least;
  if (accept(r, ',')) {
    if (!read_count(r, most, &high)) return true;
    if (!high) *most = REPEAT_ALWAYS;
  }
  if ((low || high) && accept(r, '}')) {
    if (*most < *least) fail_at(r, start, GALE_E_ARGUMENT, "the repeat's bounds exclude everything");
    return true;
  }
  r->at = start;
  return false;
}

static bool read_repeat(reader *r, uint32_t *least, uint32_t *most) {
  *least = 0;
  *most = REPEAT_ALWAYS;
  if (accept(r, '*')) return true;
  if (accept(r, '+')) {
    *least = 1;
    return true;
  }
  if (accept(r, '?')) {
    *most = 1;
    return true;
  }
  return look(r, '{') && read_braces(r, least, most);
}

static node *repeated(reader *r, node *n) {
  size_t start = r->at;
  uint32_t least, most;
  if (!read_repeat(r, &least, &most) || r->status) return n;
  if (n->kind == NODE_BEGIN || n->kind == NODE_END)
    return fail_at(r, start, GALE_E_ARGUMENT, "nothing to repeat: ^ and $ are places");
  node *to = node_new(r, NODE_REPEAT);
  if (!to) return NULL;
  append(to, n);
  to->least = least;
  to->most = most;
  accept(r, '?');
  if (look(r, '*') || look(r, '+') || look(r, '?')) return fail(r, "a repeat cannot be repeated");
  return to;
}

/* ---- Groups ---- */

static node *read_alternatives(reader *r, int depth);

static node *read_group(reader *r, size_t start, int depth) {
  if (depth >= DEEPEST_GROUP) return fail_at(r, start, GALE_E_UNSUPPORTED, "groups are nested more than 200 deep");
  if (accept(r, '?') && !accept(r, ':')) {
    size_t at = r->at;
    accept(r, 'P');
    char second = r->at + 1 < r->text.n ? r->text.s[r->at + 1] : 0;
    if (!look(r, '<') || second == '=' || second == '!')
      return fail_at(r, at, GALE_E_UNSUPPORTED,
                     "look-around, flags and the like are not supported: (...), (?:...) are");
    while (r->at < r->text.n && !look(r, '>')) r->at++;
    if (!accept(r, '>')) return fail(r, "the group's name has no end");
  }
  node *n = read_alternatives(r, depth + 1);
  if (n && !accept(r, ')')) return fail_at(r, start, GALE_E_ARGUMENT, "the group has no end");
  return n;
}

static node *read_atom(reader *r, int depth) {
  size_t start = r->at;
  uint32_t c = next_character(r);
  bool many = false;
  node *n;
  switch (c) {
  case '(':
    return read_group(r, start, depth);
  case '[':
    return read_class(r, start);
  case '^':
    return node_new(r, NODE_BEGIN);
  case '$':
    return node_new(r, NODE_END);
  case '*':
  case '+':
  case '?':
    return fail_at(r, start, GALE_E_ARGUMENT, "nothing to repeat");
  case '.':
    n = node_new(r, NODE_SET);
    if (!n) return NULL;
    char_set_add(&n->set, '\n', '\n');
    char_set_invert(&n->set);
    return n;
  case '\\':
    n = node_new(r, NODE_SET);
    if (!n || !read_escape(r, &n->set, false, &c, &many)) return NULL;
    if (!many) {
      n->kind = NODE_TEXT;
      n->c = c;
    }
    return n;
  default:
    n = node_new(r, NODE_TEXT);
    if (n) n->c = c;
    return n;
  }
}

static node *read_sequence(reader *r, int depth) {
  node *seq = node_new(r, NODE_SEQ);
  while (seq && !r->status && r->at < r->text.n && !look(r, '|') && !look(r, ')')) {
    node *part = read_atom(r, depth);
    if (part) part = repeated(r, part);
    if (!part) return NULL;
    append(seq, part);
  }
  return seq;
}

static node *read_alternatives(reader *r, int depth) {
  node *alt = node_new(r, NODE_ALT);
  do {
    node *one = alt ? read_sequence(r, depth) : NULL;
    if (!one) return NULL;
    append(alt, one);
  } while (accept(r, '|'));
  return alt->first == alt->last ? alt->first : alt;
}

/* ---- To expressions ---- */

static expr *build(reader *r, node *n);

static expr *character(reader *r, uint32_t c) {
  bool plain = c < 0x80 && (!r->json || (c >= 0x20 && c != '"' && c != '\\' && c != '/'));
  if (plain) return expr_range(r->p, c, c);
  char_set one = {0};
  char_set_add(&one, c, c);
  expr *e = r->json ? chars_json(r->p, &one, false) : chars_utf8(r->p, &one);
  char_set_free(&one);
  return e;
}

static expr *build_parts(reader *r, node *n) {
  expr_vector v;
  vector_begin(&v);
  for (node *part = n->first; part; part = part->next) vector_add(r->p, &v, build(r, part));
  expr *e = n->kind == NODE_SEQ ? expr_list(r->p, v.items, v.n) : expr_alt(r->p, v.items, v.n);
  vector_end(&v);
  return e;
}

static expr *build(reader *r, node *n) {
  switch (n->kind) {
  case NODE_TEXT:
    return character(r, n->c);
  case NODE_SET:
    return r->json ? chars_json(r->p, &n->set, false) : chars_utf8(r->p, &n->set);
  case NODE_SEQ:
  case NODE_ALT:
    return build_parts(r, n);
  case NODE_REPEAT:
    return expr_repeat(r->p, build(r, n->first), n->least, n->most);
  default:
    fail_at(r, 0, GALE_E_UNSUPPORTED, "^ and $ are supported at the ends of alternatives only");
    return r->p->none;
  }
}

/* Parts one after the other, with `before` and `behind` around them that an anchor there takes away. */
typedef struct part_list {
  node **parts;
  size_t n;
} part_list;

static expr *anchored(reader *r, part_list list, bool before, bool behind, int depth);

/* The same with the parts of list.parts[i], which has anchors, in its place: once for each of its alternatives. */
static expr *spread(reader *r, part_list list, size_t i, bool before, bool behind, int depth) {
  node *n = list.parts[i], *first = n;
  bool optional = n->kind == NODE_REPEAT && n->least == 0 && n->most == 1;
  if (n->kind == NODE_REPEAT && !optional) return build(r, n->first); /* which refuses the anchor */
  if (optional) first = n->first;
  if (depth > DEEPEST_GROUP || ++r->branches > MOST_BRANCHES) {
    fail_at(r, 0, GALE_E_UNSUPPORTED, "^ and $ stand in too many alternatives");
    return r->p->none;
  }
  expr *all = r->p->none;
  node empty = {.kind = NODE_SEQ}, *choice = optional ? &empty : first->kind == NODE_ALT ? first->first : first;
  while (choice && !r->status) {
    size_t more = 0, k = 0;
    for (node *part = choice->first; choice->kind == NODE_SEQ && part; part = part->next) more++;
    if (choice->kind != NODE_SEQ) more = 1;
    node **parts = malloc((list.n + more) * sizeof *parts);
    if (!parts) {
      r->status = error_memory(r->error, (list.n + more) * sizeof *parts);
      break;
    }
    for (size_t m = 0; m < i; m++) parts[k++] = list.parts[m];
    if (choice->kind != NODE_SEQ) parts[k++] = choice;
    for (node *part = choice->first; choice->kind == NODE_SEQ && part; part = part->next) parts[k++] = part;
    for (size_t m = i + 1; m < list.n; m++) parts[k++] = list.parts[m];
    all = expr_or(r->p, all, anchored(r, (part_list){parts, k}, before, behind, depth + 1));
    free(parts);
    if (choice == &empty)
      choice = first->kind == NODE_ALT ? first->first : first;
    else
      choice = first->kind == NODE_ALT ? choice->next : NULL;
  }
  return all;
}

static expr *anchored(reader *r, part_list list, bool before, bool behind, int depth) {
  while (list.n > 0 && list.parts[0]->kind == NODE_BEGIN) {
    before = false;
    list.parts++;
    list.n--;
  }
  while (list.n > 0 && list.parts[list.n - 1]->kind == NODE_END) {
    behind = false;
    list.n--;
  }
  if (list.n > 0 && list.parts[0]->anchors && list.parts[0]->kind != NODE_END)
    return spread(r, list, 0, before, behind, depth);
  if (list.n > 0 && list.parts[list.n - 1]->anchors && list.parts[list.n - 1]->kind != NODE_BEGIN)
    return spread(r, list, list.n - 1, before, behind, depth);
  expr_vector v;
  vector_begin(&v);
  if (before) vector_add(r->p, &v, json_parts_of(r->p)->letters);
  for (size_t i = 0; i < list.n; i++) vector_add(r->p, &v, build(r, list.parts[i]));
  if (behind) vector_add(r->p, &v, r->p->rest);
  expr *e = expr_list(r->p, v.items, v.n);
  vector_end(&v);
  return e;
}

gale_status compile_pattern(expr_pool *p, slice text, pattern_use use, expr **e, gale_error *error) {
  reader r = {.text = text, .error = error, .p = p, .json = use == PATTERN_SEARCH};
  if (text.n > MOST_TEXT) return error_set(error, GALE_E_UNSUPPORTED, "byte %d: the pattern is too long", MOST_TEXT);
  if (!utf8_valid(text.s, text.n)) return error_set(error, GALE_E_ARGUMENT, "byte 0: the pattern is not UTF-8");
  if (r.json && !json_parts_of(p)) return GALE_OK; /* the pool has failed */
  node *tree = read_alternatives(&r, 0);
  if (tree && r.at < text.n) tree = fail(&r, "an unbalanced parenthesis");
  if (tree) *e = anchored(&r, (part_list){&tree, 1}, r.json, r.json, 0);
  for (node *n = r.sets; n; n = n->last) char_set_free(&n->set);
  arena_free(&r.memory);
  return r.status;
}
