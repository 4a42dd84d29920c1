#include "base/memory.h"

#include <stdio.h>

uint64_t memory_available(void) {
  FILE *f = fopen("/proc/meminfo", "r");
  if (!f) return 0;
  char line[256];
  unsigned long long kilobytes = 0;
  while (fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %llu", &kilobytes) != 1) {
  }
  fclose(f);
  return kilobytes > UINT64_MAX / 1024 ? UINT64_MAX : (uint64_t)kilobytes * 1024;
}
