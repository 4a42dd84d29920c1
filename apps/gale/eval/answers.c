#include "gale/eval/answers.h"

#include <stdlib.h>
#include <string.h>

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
static bool in_number(char c) {
  return is_digit(c) || c == '.' || c == ',';
}
static bool in_amount(char c) {
  return in_number(c) || c == '$';
}

/* How many characters of the text from `at` on are of the class. */
static size_t span(slice text, size_t at, bool (*in)(char c)) {
  size_t n = 0;
  while (at + n < text.n && in(text.s[at + n])) n++;
  return n;
}

static size_t minus(slice text, size_t at) {
  return at < text.n && text.s[at] == '-';
}

/* The first place from *at on where the text goes on like this; *at moves behind it. */
static bool find(slice text, const char *what, size_t *at) {
  size_t n = strlen(what);
  for (size_t i = *at; i + n <= text.n; i++) {
    if (memcmp(text.s + i, what, n) != 0) continue;
    *at = i + n;
    return true;
  }
  return false;
}

slice answer_strict(slice response, bool chain) {
  for (size_t at = 0; find(response, chain ? "The answer is " : "#### ", &at);) {
    size_t sign = minus(response, at), n = span(response, at + sign, in_number), end = at + sign + n;
    /* A character follows; where none does, the number gives up its last one. */
    if (chain && n && (end == response.n || response.s[end] == '\n')) n--;
    if (n) return (slice){response.s + at, sign + n};
  }
  return SLICE(NO_ANSWER);
}

slice answer_vote(slice response) {
  for (size_t at = 0; find(response, "The answer is ", &at);) {
    size_t sign = minus(response, at), n = span(response, at + sign, in_number);
    while (n && !is_digit(response.s[at + sign + n - 1])) n--;
    if (n) return (slice){response.s + at, sign + n};
  }
  return SLICE(NO_ANSWER);
}

slice answer_flexible(slice response) {
  slice last = SLICE(NO_ANSWER);
  for (size_t at = 0; at < response.n;) {
    size_t sign = minus(response, at), n = span(response, at + sign, in_amount);
    if (n == 1 && !is_digit(response.s[at + sign])) n = 0;
    if (n) last = (slice){response.s + at, sign + n};
    at += n ? sign + n : 1;
  }
  return last;
}

/* Writes what counts of an answer to `to`, which has room for all of it. */
static slice plain(slice text, char *to) {
  size_t n = 0, begin = 0;
  for (size_t i = 0; i < text.n; i++) {
    char c = text.s[i];
    if (c == ',' || c == '$') continue;
    to[n++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    if (n >= 5 && memcmp(to + n - 5, "#### ", 5) == 0) begin = n;
  }
  slice left = {to + begin, n - begin};
  if (left.n && left.s[left.n - 1] == '.')
    left.n--;
  else if (left.n > 1 && left.s[left.n - 1] == '\n' && left.s[left.n - 2] == '.') {
    to[begin + left.n - 2] = '\n';
    left.n--;
  }
  return left;
}

bool answer_is(slice answer, slice right) {
  char *room = malloc(answer.n + right.n + 2);
  if (!room) return false;
  slice a = plain(answer, room), b = plain(right, room + answer.n + 1);
  bool same = slice_equal(a, b);
  free(room);
  return same;
}

int32_t answers_vote(const slice *answers, int32_t n) {
  int32_t best = 0, most = 0;
  for (int32_t i = 0; i < n; i++) {
    int32_t count = 0;
    for (int32_t j = 0; j < n; j++) count += slice_equal(answers[i], answers[j]);
    if (count > most) {
      best = i;
      most = count;
    }
  }
  return best;
}

size_t answer_end(slice response, const char *const *stops) {
  size_t end = response.n;
  for (; *stops; stops++) {
    size_t at = 0;
    if (find((slice){response.s, end}, *stops, &at)) end = at - strlen(*stops);
  }
  return end;
}
