#include "gale/cli/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

number with_commas(uint64_t n) {
  char digits[24];
  int length = snprintf(digits, sizeof digits, "%" PRIu64, n), at = 0;
  number out;
  for (int i = 0; i < length; i++) {
    if (i && (length - i) % 3 == 0) out.text[at++] = ',';
    out.text[at++] = digits[i];
  }
  out.text[at] = 0;
  return out;
}

number exact_bytes(uint64_t n) {
  int unit = 6;
  uint64_t size = (uint64_t)1 << 60;
  /* Two decimals of a binary fraction are quarters. */
  while (unit && (n < size || n % (size / 4))) {
    unit--;
    size >>= 10;
  }
  static const char *const quarters[] = {"", ".25", ".5", ".75"};
  const char *fraction = unit ? quarters[n % size / (size / 4)] : "";
  number whole = with_commas(n / size), out;
  snprintf(out.text, sizeof out.text, "%.20s%s %s", whole.text, fraction, units[unit]);
  return out;
}

number about_bytes(uint64_t n) {
  double size = (double)n;
  int unit = 0;
  for (; size >= 1023.5 && unit < 6; unit++) size /= 1024;
  number out;
  int decimals = unit == 0 || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  snprintf(out.text, sizeof out.text, "%.*f %s", decimals, size, units[unit]);
  return out;
}

number about_count(uint64_t n) {
  number exact = with_commas(n), out;
  if (n < 1000000) return exact;
  bool billions = n >= 1000000000;
  snprintf(out.text, sizeof out.text, "%.30s (%.2f %s)", exact.text, (double)n / (billions ? 1e9 : 1e6),
           billions ? "billion" : "million");
  return out;
}

bool parse_bytes(const char *text, uint64_t *bytes) {
  static const char letters[] = "KMGT";
  char *end;
  if (*text < '0' || *text > '9') return false;
  errno = 0;
  unsigned long long n = strtoull(text, &end, 10);
  const char *letter = *end ? strchr(letters, *end) : NULL;
  unsigned shift = letter ? 10 * (unsigned)(letter - letters + 1) : 0;
  if (errno || (*end && (!letter || end[1])) || n > UINT64_MAX >> shift) return false;
  *bytes = (uint64_t)n << shift;
  return true;
}
