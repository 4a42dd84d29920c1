#include "gale/cli/suggest.h"

#include <stddef.h>
#include <string.h>

#define LONGEST 95

/* Edits (insert, delete, change, swap neighbours) from a to b, both at most LONGEST bytes. */
static size_t distance(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b), row[LONGEST + 2][LONGEST + 2];
  for (size_t i = 0; i <= n; i++) row[i][0] = i;
  for (size_t j = 0; j <= m; j++) row[0][j] = j;
  for (size_t i = 1; i <= n; i++)
    for (size_t j = 1; j <= m; j++) {
      size_t best = row[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      if (row[i - 1][j] + 1 < best) best = row[i - 1][j] + 1;
      if (row[i][j - 1] + 1 < best) best = row[i][j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && row[i - 2][j - 2] + 1 < best)
        best = row[i - 2][j - 2] + 1;
      row[i][j] = best;
    }
  return row[n][m];
}

const char *suggest(const char *word, const char *const *words) {
  size_t n = strlen(word);
  if (n < 2 || n > LONGEST) return NULL;
  const char *best = NULL;
  size_t least = n / 3 + 1;
  for (; *words; words++) {
    if (strlen(*words) > LONGEST) continue;
    size_t d = distance(word, *words);
    /* A word that was only cut short ("temp" for "temperature") counts as near. */
    size_t m = strlen(*words);
    if (n >= 3 && m >= 3 && strncmp(word, *words, n < m ? n : m) == 0) d = 1;
    if (d < least || (d == least && !best)) {
      best = *words;
      least = d;
    }
  }
  return best;
}
