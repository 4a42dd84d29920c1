#include "gale/eval/words.h"

#include "base/unicode.h"
#include "base/utf8.h"
#include "gale/eval/case_tables.h"

#include <stdlib.h>
#include <string.h>

/* str.isspace(): white space, and the separators U+001C to U+001F. */
static bool is_space(uint32_t c) {
  return c < 0x110000 && ((c >= 0x1C && c <= 0x1F) || (unicode_flags(c) & CHAR_SPACE));
}

slice words_strip_end(slice text) {
  while (text.n) {
    size_t begin = text.n - 1, length;
    while (begin > 0 && ((unsigned char)text.s[begin] & 0xC0) == 0x80) begin--;
    if (!is_space(utf8_at(text.s + begin, text.n - begin, &length))) break;
    text.n = begin;
  }
  return text;
}

slice words_strip(slice text) {
  text = words_strip_end(text);
  size_t length;
  while (text.n && is_space(utf8_at(text.s, text.n, &length))) {
    text.s += length;
    text.n -= length;
  }
  return text;
}

size_t words_length(slice text) {
  size_t n = 0;
  for (size_t i = 0; i < text.n; i++) n += ((unsigned char)text.s[i] & 0xC0) != 0x80;
  return n;
}

/* ---- Capital and small letters ---- */

static uint32_t change_one(const case_run *runs, uint32_t c) {
  for (const case_run *r = runs; r->last; r++)
    if (c <= r->last) return c >= r->first && (c - r->first) % r->step == 0 ? (uint32_t)((int64_t)c + r->by) : c;
  return c;
}

static void add_changed(byte_list *to, const case_run *runs, const case_text *longer, uint32_t c) {
  for (const case_text *t = longer; t->c; t++) {
    if (t->c != c) continue;
    bytes_add(to, slice_of(t->text));
    return;
  }
  char bytes[4];
  int n = utf8_encode(change_one(runs, c), bytes);
  bytes_add(to, (slice){bytes, (size_t)n});
}

static bool has_case(uint32_t c) {
  return unicode_flags(c) & (CHAR_UPPER | CHAR_LOWER);
}

/* What stands within words without counting as their letters. */
static bool is_joiner(uint32_t c) {
  return (unicode_flags(c) & CHAR_MARK) || (c < 0x80 && c && strchr("'.:^`", (int)c)) || c == 0xAD || c == 0xB7 ||
         c == 0x2019;
}

/* Whether the character at [at, at + length) ends a word of letters: one stands before it, and none behind. */
static bool ends_word(slice text, size_t at, size_t length) {
  bool before = false;
  for (size_t i = 0, n; i < at; i += n) {
    uint32_t c = utf8_at(text.s + i, text.n - i, &n);
    if (!is_joiner(c)) before = has_case(c);
  }
  for (size_t i = at + length, n; before && i < text.n; i += n) {
    uint32_t c = utf8_at(text.s + i, text.n - i, &n);
    if (!is_joiner(c)) return !has_case(c);
  }
  return before;
}

void words_capitalize(byte_list *to, slice text) {
  for (size_t i = 0, n; i < text.n; i += n) {
    uint32_t c = utf8_at(text.s + i, text.n - i, &n);
    if (i == 0)
      add_changed(to, case_title, case_title_longer, c);
    else if (c == 0x3A3 && ends_word(text, i, n))
      bytes_add(to, SLICE("\xCF\x82"));
    else
      add_changed(to, case_lower, case_lower_longer, c);
  }
}

/* ---- HellaSwag ---- */

static bool begins(slice text, size_t at, const char *what) {
  size_t n = strlen(what);
  return text.n - at >= n && memcmp(text.s + at, what, n) == 0;
}

/* Appends `text` with `from`, wherever it stands, as `by`. */
static void add_replaced(byte_list *to, slice text, const char *from, const char *by) {
  size_t n = strlen(from), done = 0;
  for (size_t i = 0; i < text.n;) {
    if (!begins(text, i, from)) {
      i++;
      continue;
    }
    bytes_add(to, (slice){text.s + done, i - done});
    bytes_add(to, slice_of(by));
    done = i += n;
  }
  bytes_add(to, (slice){text.s + done, text.n - done});
}

static void add_without_brackets(byte_list *to, slice text) {
  size_t done = 0;
  for (size_t i = 0; i < text.n; i++) {
    if (text.s[i] != '[') continue;
    size_t end = i;
    while (end < text.n && text.s[end] != ']' && text.s[end] != '\n') end++;
    if (end == text.n || text.s[end] != ']') continue;
    bytes_add(to, (slice){text.s + done, i - done});
    done = end + 1;
    i = end;
  }
  bytes_add(to, (slice){text.s + done, text.n - done});
}

slice words_clean(arena *memory, slice text) {
  byte_list titles = {0}, brackets = {0}, blanks = {0};
  add_replaced(&titles, words_strip(text), " [title]", ". ");
  add_without_brackets(&brackets, (slice){titles.bytes, titles.n});
  add_replaced(&blanks, (slice){brackets.bytes, brackets.n}, "  ", " ");
  bool failed = titles.failed || brackets.failed || blanks.failed;
  slice kept = failed ? (slice){0} : words_keep(memory, (slice){blanks.bytes, blanks.n});
  free(titles.bytes);
  free(brackets.bytes);
  free(blanks.bytes);
  return kept;
}

slice words_keep(arena *memory, slice text) {
  return (slice){arena_string(memory, text.s ? text.s : "", text.n), text.n};
}
