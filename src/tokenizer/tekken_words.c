#include "tokenizer/tekken_words.h"

#include <stdlib.h>
#include <string.h>

#include "base/unicode.h"

enum { DEPTH = 64 };

/* JSON text and a place in it. What is wrong stays NULL while nothing is. */
typedef struct scanner {
  const char *s;
  size_t at, n;
  const char *wrong;
} scanner;

static bool fail(scanner *j, const char *what) {
  if (!j->wrong) j->wrong = what;
  return false;
}

/* The next byte that is no white space, which is not taken; 0 at the end. */
static char peek(scanner *j) {
  while (j->at < j->n) {
    char c = j->s[j->at];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return c;
    j->at++;
  }
  return 0;
}

static bool take(scanner *j, char c) {
  if (peek(j) != c) return false;
  j->at++;
  return true;
}

static bool expect(scanner *j, char c, const char *what) {
  return take(j, c) || fail(j, what);
}

/* Four hexadecimal digits. */
static bool scan_unit(scanner *j, uint32_t *unit) {
  *unit = 0;
  for (int i = 0; i < 4; i++, j->at++) {
    char c = j->at < j->n ? j->s[j->at] : 0, letter = (char)(c | 0x20);
    bool digit = c >= '0' && c <= '9';
    if (!digit && (letter < 'a' || letter > 'f')) return fail(j, "four hexadecimal digits are expected");
    *unit = *unit << 4 | (uint32_t)(digit ? c - '0' : letter - 'a' + 10);
  }
  return true;
}

/* What follows a backslash. */
static bool scan_escape(scanner *j) {
  char c = j->at < j->n ? j->s[j->at++] : 0;
  if (c != 'u') return (c && strchr("\"\\/bfnrt", c)) || fail(j, "an escape is not known");
  uint32_t high, low = 0;
  if (!scan_unit(j, &high)) return false;
  if (high < 0xD800 || high > 0xDFFF) return true;
  bool pair = high < 0xDC00 && j->n - j->at >= 6 && j->s[j->at] == '\\' && j->s[j->at + 1] == 'u';
  if (pair) {
    j->at += 2;
    if (!scan_unit(j, &low)) return false;
  }
  return (low >= 0xDC00 && low <= 0xDFFF) || fail(j, "half of a surrogate pair is no character");
}

/* A string; *text is what stands between its quotes, escapes and all. */
static bool scan_string(scanner *j, slice *text) {
  if (!expect(j, '"', "a string is expected")) return false;
  size_t start = j->at;
  while (j->at < j->n) {
    unsigned char c = (unsigned char)j->s[j->at];
    if (c == '"') {
      *text = (slice){j->s + start, j->at++ - start};
      return true;
    }
    if (c < 0x20) return fail(j, "a control character in a string");
    if (c == '\\') {
      j->at++;
      if (!scan_escape(j)) return false;
    } else if (c < 0x80) {
      j->at++;
    } else {
      uint32_t character;
      int length = utf8_decode(j->s + j->at, j->n - j->at, &character);
      if (length <= 0) return fail(j, "a string is not UTF-8");
      j->at += (size_t)length;
    }
  }
  return fail(j, "a string without an end");
}

static size_t scan_digits(scanner *j) {
  size_t start = j->at;
  while (j->at < j->n && j->s[j->at] >= '0' && j->s[j->at] <= '9') j->at++;
  return j->at - start;
}

/* A number; *integer is its value if it is a whole one from 0 to 10^9, or else -1. */
static bool scan_number(scanner *j, int64_t *integer) {
  static const char WHAT[] = "a number is malformed";
  size_t start = j->at;
  if (j->s[j->at] == '-') j->at++;
  size_t first = j->at, n = scan_digits(j);
  if (n == 0 || (n > 1 && j->s[first] == '0')) return fail(j, WHAT);
  size_t end = j->at;
  if (j->at < j->n && j->s[j->at] == '.') {
    j->at++;
    if (scan_digits(j) == 0) return fail(j, WHAT);
  }
  if (j->at < j->n && (j->s[j->at] | 0x20) == 'e') {
    j->at++;
    if (j->at < j->n && (j->s[j->at] == '+' || j->s[j->at] == '-')) j->at++;
    if (scan_digits(j) == 0) return fail(j, WHAT);
  }
  *integer = j->at == end && first == start && n <= 9 ? 0 : -1;
  for (size_t i = start; i < end && *integer >= 0; i++) *integer = 10 * *integer + j->s[i] - '0';
  return true;
}

static bool scan_word(scanner *j, const char *word) {
  size_t n = strlen(word);
  if (j->n - j->at < n || memcmp(j->s + j->at, word, n) != 0) return fail(j, "a value is expected");
  j->at += n;
  return true;
}

/* Goes past any value. */
static bool scan_value(scanner *j, int depth) {
  slice text;
  int64_t number;
  char c = peek(j);
  if (depth == 0) return fail(j, "values are nested too deep");
  if (c == '"') return scan_string(j, &text);
  if (c == 't') return scan_word(j, "true");
  if (c == 'f') return scan_word(j, "false");
  if (c == 'n') return scan_word(j, "null");
  if (c != '{' && c != '[')
    return (c == '-' || (c >= '0' && c <= '9')) ? scan_number(j, &number) : scan_word(j, "null");
  char end = c == '{' ? '}' : ']';
  j->at++;
  if (take(j, end)) return true;
  do {
    if (c == '{' && !(scan_string(j, &text) && expect(j, ':', "a colon is expected"))) return false;
    if (!scan_value(j, depth - 1)) return false;
  } while (take(j, ','));
  return expect(j, end, "a comma or the end of a list or an object is expected");
}

/* One entry of the list. */
static bool scan_entry(scanner *j, tekken_word *word) {
  *word = (tekken_word){.rank = -1};
  if (peek(j) != '{') return scan_value(j, DEPTH);
  j->at++;
  if (take(j, '}')) return true;
  bool has_rank = false, has_bytes = false;
  do {
    slice key;
    if (!scan_string(j, &key) || !expect(j, ':', "a colon is expected")) return false;
    bool is_rank = slice_is(key, "rank"), is_bytes = slice_is(key, "token_bytes");
    if ((is_rank && has_rank) || (is_bytes && has_bytes)) return fail(j, "a key is there twice");
    has_rank |= is_rank;
    has_bytes |= is_bytes;
    char c = peek(j);
    bool good = is_rank && (c == '-' || (c >= '0' && c <= '9')) ? scan_number(j, &word->rank)
                : is_bytes && c == '"'                          ? scan_string(j, &word->base64)
                                                                : scan_value(j, DEPTH);
    if (!good) return false;
  } while (take(j, ','));
  return expect(j, '}', "a comma or the end of an object is expected");
}

static bool add_word(tekken_words *words, tekken_word word) {
  if (words->n == words->capacity) {
    size_t capacity = 2 * words->capacity + 1024;
    tekken_word *grown = realloc(words->words, capacity * sizeof *grown);
    if (!grown) return false;
    words->words = grown;
    words->capacity = capacity;
  }
  words->words[words->n++] = word;
  return true;
}

/* The list; false without anything wrong when out of memory. */
static bool scan_list(scanner *j, tekken_words *words) {
  tekken_word word;
  words->begin = j->at++;
  if (!take(j, ']')) {
    do {
      if (!scan_entry(j, &word) || !add_word(words, word)) return false;
    } while (take(j, ','));
    if (!expect(j, ']', "a comma or the end of the list is expected")) return false;
  }
  words->end = j->at;
  return true;
}

gale_status tekken_words_read(const char *source, const char *data, size_t n, tekken_words *words, gale_error *error) {
  scanner j = {.s = data, .n = n};
  *words = (tekken_words){0};
  if (!take(&j, '{')) return GALE_OK;
  do {
    slice key;
    if (!scan_string(&j, &key) || !take(&j, ':')) return GALE_OK;
    if (slice_is(key, "vocab") && peek(&j) == '[') {
      if (scan_list(&j, words)) return GALE_OK;
      size_t read = words->n;
      tekken_words_free(words);
      if (!j.wrong) return error_memory(error, (read + 1) * sizeof(tekken_word));
      return error_set(error, GALE_E_FORMAT, "%s: byte %zu, in vocab[%zu]: %s", source, j.at, read, j.wrong);
    }
    if (!scan_value(&j, DEPTH)) return GALE_OK;
  } while (take(&j, ','));
  return GALE_OK;
}

void tekken_words_free(tekken_words *words) {
  free(words->words);
  *words = (tekken_words){0};
}
