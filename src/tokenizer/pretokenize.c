/* Hand-written matchers for the patterns quoted in the table at the end. Each tries the alternatives of
 * its pattern in their order, and the first that matches decides, as in a backtracking engine. */
#include "tokenizer/pretokenize.h"

#include <stdio.h>
#include <string.h>

#include "base/unicode.h"
#include "base/utf8.h"

/* Flags and length of the character at `at`. */
static inline unsigned flags_at(const char *s, size_t at, size_t end, size_t *length) {
  unsigned char byte = (unsigned char)s[at];
  if (byte < 0x80) {
    *length = 1;
    return unicode_pages[0][byte];
  }
  uint32_t c = utf8_at(s + at, end - at, length);
  return c == CHAR_INVALID ? CHAR_OTHER : unicode_flags(c);
}

/* End of the run of characters that have any of `flags`. */
static inline size_t run(const char *s, size_t at, size_t end, unsigned flags) {
  while (at < end) {
    size_t length;
    if (!(flags_at(s, at, end, &length) & flags)) break;
    at += length;
  }
  return at;
}

static inline bool is_newline(char c) {
  return c == '\n' || c == '\r';
}

/* 's 't 're 've 'm 'll 'd: the end, or `at` if there is none. */
static size_t contraction(const char *s, size_t at, size_t end, bool any_case) {
  if (s[at] != '\'' || end - at < 2) return at;
  char fold = any_case ? 0x20 : 0;
  char a = (char)(s[at + 1] | fold);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 2;
  if (end - at < 3) return at;
  /* U+017F, the long s, folds to s. */
  if (any_case && memcmp(s + at + 1, "\xC5\xBF", 2) == 0) return at + 3;
  char b = (char)(s[at + 2] | fold);
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return at + 3;
  return at;
}

/* \s+(?!\S)|\s+ over the white space [at, run_end): all of it at the end of the text, else all but its
 * last character, which is left to the word behind it. */
static size_t space_end(const char *s, size_t at, size_t run_end, size_t end) {
  if (run_end == end) return end;
  size_t last = run_end - 1;
  while (last > at && ((unsigned char)s[last] & 0xC0) == 0x80) last--;
  return last > at ? last : run_end;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t space_or_newline_end(const char *s, size_t at, size_t end) {
  size_t run_end = run(s, at, end, CHAR_SPACE);
  for (size_t i = run_end; i > at; i--)
    if (is_newline(s[i - 1])) return i;
  return space_end(s, at, run_end, end);
}

/* GPT-2's alternatives behind the contractions: ` ?` and letters, numbers or others; or white space. */
static inline size_t gpt2_run(const char *s, size_t at, size_t end) {
  size_t length, start = at + (s[at] == ' ' && end - at > 1);
  unsigned flags = flags_at(s, start, end, &length);
  if (flags & CHAR_LETTER) return run(s, start + length, end, CHAR_LETTER);
  if (flags & CHAR_NUMBER) return run(s, start + length, end, CHAR_NUMBER);
  if (flags & CHAR_OTHER) return run(s, start + length, end, CHAR_OTHER);
  return space_end(s, at, run(s, start, end, CHAR_SPACE), end);
}

static size_t next_gpt2(const char *s, size_t at, size_t end) {
  size_t match = contraction(s, at, end, false);
  return match > at ? match : gpt2_run(s, at, end);
}

/* White space in front of a character that an earlier stage has cut off ends its stretch of text: it stays
 * whole. Returns `at` where that does not apply. */
static inline size_t space_before(const char *s, size_t at, size_t end, unsigned cut) {
  size_t length, run_end = run(s, at, end, CHAR_SPACE);
  return run_end > at && run_end < end && (flags_at(s, run_end, end, &length) & cut) ? run_end : at;
}

/* Numbers one character at a time, and GPT-2's split of what lies between them. */
static size_t next_smollm(const char *s, size_t at, size_t end) {
  size_t length;
  unsigned flags = flags_at(s, at, end, &length);
  if (flags & CHAR_NUMBER) return at + length;
  if (flags & CHAR_SPACE) {
    size_t space = space_before(s, at, end, CHAR_NUMBER);
    if (space > at) return space;
  }
  return next_gpt2(s, at, end);
}

/* [0-9][0-9][0-9] within a run of numbers: three digits, or what lies in front of the next three. */
static size_t three_digits(const char *s, size_t at, size_t end) {
  size_t digits = 0;
  for (size_t i = at; i < end;) {
    size_t length;
    if (!(flags_at(s, i, end, &length) & CHAR_NUMBER)) return i;
    digits = s[i] >= '0' && s[i] <= '9' ? digits + 1 : 0;
    i += length;
    if (digits == 3) return i - 3 == at ? i : i - 3;
  }
  return end;
}

/* Four splits one after the other: symbols apart; GPT-2; numbers without their space; three digits. */
static size_t next_default(const char *s, size_t at, size_t end) {
  size_t length;
  unsigned flags = flags_at(s, at, end, &length);
  if (flags & CHAR_SYMBOL) return run(s, at, end, CHAR_SYMBOL);
  if (flags & CHAR_NUMBER) return three_digits(s, at, end);
  if (flags & CHAR_SPACE) {
    size_t space = space_before(s, at, end, CHAR_SYMBOL);
    if (space > at) return space;
    if (s[at] == ' ' && end - at > 1 && (flags_at(s, at + 1, end, &length) & CHAR_NUMBER)) return at + 1;
  }
  size_t other = at + (s[at] == ' ' && end - at > 1);
  if (!(flags_at(s, other, end, &length) & CHAR_OTHER)) return gpt2_run(s, at, end);
  while (other < end) {
    flags = flags_at(s, other, end, &length);
    if (!(flags & CHAR_OTHER) || (flags & CHAR_SYMBOL)) break;
    other += length;
  }
  return other;
}

static size_t next_llama(const char *s, size_t at, size_t end) {
  size_t match = contraction(s, at, end, true);
  if (match > at) return match;
  size_t length, second;
  unsigned flags = flags_at(s, at, end, &length);
  if (flags & CHAR_LETTER) return run(s, at + length, end, CHAR_LETTER);
  if (flags & CHAR_NUMBER) {
    at += length;
    for (int i = 1; i < 3 && at < end && (flags_at(s, at, end, &length) & CHAR_NUMBER); i++) at += length;
    return at;
  }
  size_t behind = at + length;
  unsigned next = behind < end ? flags_at(s, behind, end, &second) : 0;
  if ((next & CHAR_LETTER) && !is_newline(s[at])) return run(s, behind + second, end, CHAR_LETTER);
  if ((flags & CHAR_OTHER) || (s[at] == ' ' && (next & CHAR_OTHER))) {
    match = run(s, behind, end, CHAR_OTHER);
    while (match < end && is_newline(s[match])) match++;
    return match;
  }
  return space_or_newline_end(s, at, end);
}

enum {
  TEKKEN_HEAD = CHAR_UPPER | CHAR_LETTER_OTHER | CHAR_MARK, /* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] */
  TEKKEN_TAIL = CHAR_LOWER | CHAR_LETTER_OTHER | CHAR_MARK, /* [\p{Ll}\p{Lm}\p{Lo}\p{M}] */
};

/* HEAD*TAIL+ at `at`: its end, or `at` if it does not match; *head is the end of HEAD*. */
static size_t tekken_cased(const char *s, size_t at, size_t end, size_t *head) {
  size_t shared_end = at, i = at, length;
  while (i < end) {
    unsigned flags = flags_at(s, i, end, &length);
    if (!(flags & TEKKEN_HEAD)) break;
    i += length;
    /* Where no small letter follows, TAIL+ can only be the last character that is in both sets. */
    if (flags & TEKKEN_TAIL) shared_end = i;
  }
  *head = i;
  size_t tail = run(s, i, end, CHAR_LOWER);
  return tail > i ? run(s, tail, end, TEKKEN_TAIL) : shared_end;
}

/* The two alternatives for words, each with and then without the character in front. */
static size_t tekken_word(const char *s, size_t at, size_t behind, size_t end, bool prefix) {
  size_t head_with = at, head = at, match;
  if (prefix && behind < end) {
    match = tekken_cased(s, behind, end, &head_with);
    if (match > behind) return match;
  }
  match = tekken_cased(s, at, end, &head);
  if (match > at) return match;
  if (prefix && head_with > behind) return head_with;
  return head;
}

static size_t next_tekken(const char *s, size_t at, size_t end) {
  size_t length, second;
  unsigned flags = flags_at(s, at, end, &length);
  size_t behind = at + length;
  bool prefix = !(flags & (CHAR_LETTER | CHAR_NUMBER)) && !is_newline(s[at]);
  size_t match = tekken_word(s, at, behind, end, prefix);
  if (match > at) return match;
  if (flags & CHAR_NUMBER) return behind;
  unsigned next = behind < end ? flags_at(s, behind, end, &second) : 0;
  if ((flags & CHAR_OTHER) || (s[at] == ' ' && (next & CHAR_OTHER))) {
    match = run(s, behind, end, CHAR_OTHER);
    while (match < end && (is_newline(s[match]) || s[match] == '/')) match++;
    return match;
  }
  return space_or_newline_end(s, at, end);
}

static const pretokenizer TABLE[] = {
    {"smollm", " starcoder refact command-r codeshell exaone minerva-7b ", "byte-level BPE (smollm)", NULL, false,
     false, next_smollm},
    {"gpt-2",
     " gpt2 phi-2 jina-es jina-de jina-v1-en jina-v2-code jina-v2-es jina-v2-de roberta-bpe modern-bert gigachat "
     "a.x-4.0 "
     "mellum mpt olmo jais trillion exaone4 granite-docling ",
     "byte-level BPE (gpt-2)", "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
     false, false, next_gpt2},
    /* For some weeks of 2024 Llama 3 itself was written as smaug-bpe. */
    {"llama-bpe", " llama3 llama-v3 smaug-bpe pixtral falcon3 falcon-h1 midm-2.0 lfm2 jina-v5-nano ",
     "byte-level BPE (llama-bpe)",
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
     "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     true, true, next_llama},
    {"tekken", "", "byte-level BPE (tekken)",
     "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
     "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
     "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     true, true, next_tekken},
    {"dbrx", " glm4 chatglm-bpe ", "byte-level BPE (dbrx)", NULL, false, false, next_llama},
    {"default", "", "byte-level BPE (default)", NULL, false, false, next_default},
};
enum { TABLE_ROWS = sizeof TABLE / sizeof *TABLE };

/* True if a list of words, with spaces around each, has this one. */
static bool has_word(const char *words, const char *word) {
  size_t n = strlen(word);
  for (const char *at = words; n > 0 && (at = strstr(at, word)); at += n)
    if (at > words && at[-1] == ' ' && at[n] == ' ') return true;
  return false;
}

const pretokenizer *pretokenizer_find(const char *name) {
  for (int i = 0; i < TABLE_ROWS; i++)
    if (strcmp(TABLE[i].name, name) == 0 || (!strchr(name, ' ') && has_word(TABLE[i].others, name))) return &TABLE[i];
  return NULL;
}

const pretokenizer *pretokenizer_by_pattern(const char *pattern) {
  for (int i = 0; i < TABLE_ROWS; i++)
    if (TABLE[i].pattern && strcmp(TABLE[i].pattern, pattern) == 0) return &TABLE[i];
  return NULL;
}

void pretokenizer_names(char *to, size_t size) {
  size_t used = 0;
  to[0] = 0;
  for (int i = 0; i < TABLE_ROWS; i++) {
    int n = snprintf(to + used, size - used, "%s%s", i ? ", " : "", TABLE[i].name);
    if (n < 0 || (size_t)n >= size - used) return;
    used += (size_t)n;
  }
}
