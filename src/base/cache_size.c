#include "base/cache_size.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_CACHES = 16, MOST_LEVEL = 9 };

/* The first line of a file of a cache; false if there is none. */
static bool read_line(const char *folder, int index, const char *name, char line[32]) {
  char path[512];
  if (snprintf(path, sizeof path, "%s/index%d/%s", folder, index, name) >= (int)sizeof path) return false;
  FILE *f = fopen(path, "re");
  bool read = f && fgets(line, 32, f);
  if (f) fclose(f);
  if (read) line[strcspn(line, "\n")] = 0;
  return read;
}

/* "32K", "8M" or "512"; 0 for anything else. */
static long parse_size(const char *text) {
  static const char units[] = "KMG";
  if (*text < '0' || *text > '9') return 0;
  char *end;
  long n = strtol(text, &end, 10);
  const char *unit = *end ? strchr(units, *end) : NULL;
  int bits = unit ? 10 * (int)(unit - units + 1) : 0;
  bool sound = n > 0 && n <= (1L << 30) >> (bits > 20 ? 20 : 0) && (unit ? end[1] == 0 : *end == 0);
  return sound ? n << bits : 0;
}

long cache_bytes_in(const char *folder) {
  char level[32], type[32], size[32];
  long bytes = 0, highest = 0;
  for (int i = 0; i < MOST_CACHES; i++) {
    if (!read_line(folder, i, "level", level) || !read_line(folder, i, "type", type) ||
        !read_line(folder, i, "size", size) || strcmp(type, "Instruction") == 0)
      continue;
    long l = strtol(level, NULL, 10), n = parse_size(size);
    if (n == 0 || l <= highest || l > MOST_LEVEL) continue;
    highest = l;
    bytes = n;
  }
  return bytes;
}

long cache_bytes(void) {
  long bytes = 0;
  /* Only glibc has these names. */
#ifdef _SC_LEVEL4_CACHE_SIZE
  if (bytes <= 0) bytes = sysconf(_SC_LEVEL4_CACHE_SIZE);
#endif
#ifdef _SC_LEVEL3_CACHE_SIZE
  if (bytes <= 0) bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
#ifdef _SC_LEVEL2_CACHE_SIZE
  if (bytes <= 0) bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  return bytes > 0 ? bytes : cache_bytes_in("/sys/devices/system/cpu/cpu0/cache");
}
