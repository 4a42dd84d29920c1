#include "base/limits.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

static FILE *open_file(const char *root, const char *folder, const char *name) {
  char path[PATH_BYTES];
  int n = snprintf(path, sizeof path, "%s%s/%s", root, folder, name);
  return n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
}

/* ---- Control groups ---- */

/* The process' group of one hierarchy. */
typedef struct group {
  char folder[PATH_BYTES]; /* of the group's files */
  size_t top;              /* length of the folder where the hierarchy is mounted */
} group;

/* Whether a list with commas has the word. */
static bool has_word(const char *list, const char *word) {
  size_t n = strlen(word);
  for (const char *at = list; at; at = strchr(at, ','), at = at ? at + 1 : NULL)
    if (strncmp(at, word, n) == 0 && (at[n] == ',' || at[n] == '\0')) return true;
  return false;
}

/* The path of the process' group in a hierarchy, from a line "number:controllers:path"; v2 has number 0 and no
 * controllers. NULL if the line is another hierarchy's. */
static const char *path_of_line(char *line, const char *controller) {
  char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
  if (!path) return NULL;
  line[strcspn(line, "\n")] = '\0';
  *controllers++ = *path++ = '\0';
  bool found = controller ? has_word(controllers, controller) : strcmp(line, "0") == 0 && *controllers == '\0';
  return found && *path == '/' ? path : NULL;
}

/* A line of mountinfo: "id parent device root mountpoint options optional ... - type source options". True, with the
 * root of what is mounted and where, if it is the hierarchy. */
static bool mount_of_line(char *line, const char *controller, char **mounted, char **where) {
  enum { ROOT = 3, POINT = 4 };
  char *rest = strstr(line, " - "), *at = line, *type, *options, *state = NULL;
  if (!rest) return false;
  *rest = '\0';
  type = strtok_r(rest + 3, " ", &state);
  strtok_r(NULL, " ", &state);
  options = strtok_r(NULL, " \n", &state);
  if (!type || !options) return false;
  if (controller ? strcmp(type, "cgroup") != 0 || !has_word(options, controller) : strcmp(type, "cgroup2") != 0)
    return false;
  char *field = strtok_r(at, " ", &state);
  for (int i = 0; field && i <= POINT; i++, field = strtok_r(NULL, " ", &state)) {
    if (i == ROOT) *mounted = field;
    if (i == POINT) *where = field;
  }
  return true;
}

/* The part of the group's path below what is mounted. In a container, where only its own group is mounted, paths may be
 * those outside. */
static const char *path_below(const char *path, const char *mounted) {
  size_t n = strcmp(mounted, "/") == 0 ? 0 : strlen(mounted);
  if (strncmp(path, mounted, n) != 0 || (path[n] != '/' && path[n] != '\0')) return "";
  return strcmp(path + n, "/") == 0 ? "" : path + n;
}

/* controller NULL: the hierarchy of v2. False if the process has no group there. */
static bool find_group(const char *root, const char *controller, group *g) {
  char *line = NULL, *mounted = NULL, *where = NULL, path[PATH_BYTES] = "";
  size_t size = 0;
  FILE *f = open_file(root, "/proc/self", "cgroup");
  while (f && !*path && getline(&line, &size, f) > 0) {
    const char *found = path_of_line(line, controller);
    if (found) snprintf(path, sizeof path, "%s", found);
  }
  if (f) fclose(f);
  f = *path ? open_file(root, "/proc/self", "mountinfo") : NULL;
  bool found = false;
  while (f && !found && getline(&line, &size, f) > 0) {
    mounted = where = NULL;
    if (!mount_of_line(line, controller, &mounted, &where) || !mounted || !where) continue;
    int n = snprintf(g->folder, sizeof g->folder, "%s%s", where, path_below(path, mounted));
    g->top = strlen(where);
    found = n > 0 && (size_t)n < sizeof g->folder;
  }
  if (f) fclose(f);
  free(line);
  return found;
}

/* Goes from a group to the one around it; false at the top. */
static bool go_up(group *g) {
  char *slash = strrchr(g->folder, '/');
  if (!slash || (size_t)(slash - g->folder) < g->top) return false;
  *slash = '\0';
  return true;
}

/* The decimal number that *text begins with, which is moved behind it; false if there is none. A number that is too
 * large is the largest. */
static bool take_number(const char **text, int64_t *value) {
  char *end;
  long long number = strtoll(*text, &end, 10);
  if (end == *text) return false;
  *text = end;
  *value = number;
  return true;
}

/* The first n numbers of a file's first line; false if it has fewer, as for "max". */
static bool read_numbers(const char *root, const group *g, const char *name, int64_t *values, int n) {
  char line[256];
  FILE *f = open_file(root, g->folder, name);
  const char *at = f ? fgets(line, sizeof line, f) : NULL;
  for (int i = 0; at && i < n; i++)
    if (!take_number(&at, &values[i])) at = NULL;
  if (f) fclose(f);
  return at != NULL;
}

static bool read_number(const char *root, const group *g, const char *name, int64_t *value) {
  return read_numbers(root, g, name, value, 1);
}

/* ---- Processors ---- */

/* Of one group; INT_MAX: no limit. quota and period are in microseconds. */
static int quota_processors(int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) return INT_MAX;
  int64_t n = quota / period + (quota % period != 0);
  return n < INT_MAX ? (int)n : INT_MAX;
}

static int group_processors(const char *root, const group *g, bool v2) {
  int64_t quota = 0, period = 0;
  if (!v2) {
    bool found = read_number(root, g, "cpu.cfs_quota_us", &quota) && read_number(root, g, "cpu.cfs_period_us", &period);
    return found ? quota_processors(quota, period) : INT_MAX;
  }
  int64_t both[2];
  return read_numbers(root, g, "cpu.max", both, 2) ? quota_processors(both[0], both[1]) : INT_MAX;
}

int limits_processors(const char *root) {
  int least = INT_MAX;
  for (int v = 1; v <= 2; v++) {
    group g;
    if (!find_group(root, v == 2 ? NULL : "cpu", &g)) continue;
    do {
      int n = group_processors(root, &g, v == 2);
      if (n < least) least = n;
    } while (go_up(&g));
  }
  return least;
}

/* ---- Memory ---- */

/* The sum of two lines "name number" of a file. */
static uint64_t sum_of_lines(FILE *f, const char *a, const char *b) {
  char line[256];
  uint64_t sum = 0;
  while (fgets(line, sizeof line, f)) {
    char *space = strchr(line, ' ');
    if (!space) continue;
    *space = '\0';
    const char *at = space + 1;
    int64_t value;
    bool wanted = strcmp(line, a) == 0 || strcmp(line, b) == 0;
    if (wanted && take_number(&at, &value) && value > 0)
      sum = (uint64_t)value > UINT64_MAX - sum ? UINT64_MAX : sum + (uint64_t)value;
  }
  return sum;
}

/* What a group's limit leaves. A group that has read large files is at its limit by pages that only cache them. */
static uint64_t group_memory(const char *root, const group *g, bool v2) {
  int64_t limit, used;
  if (!read_number(root, g, v2 ? "memory.max" : "memory.limit_in_bytes", &limit) || limit < 0) return UINT64_MAX;
  if (!read_number(root, g, v2 ? "memory.current" : "memory.usage_in_bytes", &used) || used < 0) used = 0;
  FILE *f = open_file(root, g->folder, "memory.stat");
  uint64_t cached = 0, taken = (uint64_t)used;
  if (f && v2) cached = sum_of_lines(f, "active_file", "inactive_file");
  if (f && !v2) cached = sum_of_lines(f, "total_active_file", "total_inactive_file");
  if (f) fclose(f);
  taken -= cached < taken ? cached : taken;
  return taken < (uint64_t)limit ? (uint64_t)limit - taken : 0;
}

static uint64_t system_memory(const char *root) {
  FILE *f = open_file(root, "/proc", "meminfo");
  static const char NAME[] = "MemAvailable:";
  char line[256];
  int64_t kilobytes = -1;
  while (f && kilobytes < 0 && fgets(line, sizeof line, f)) {
    const char *at = line + sizeof NAME - 1;
    if (strncmp(line, NAME, sizeof NAME - 1) == 0 && !take_number(&at, &kilobytes)) kilobytes = -1;
  }
  if (f) fclose(f);
  return kilobytes < 0 || kilobytes > INT64_MAX / 1024 ? UINT64_MAX : (uint64_t)kilobytes * 1024;
}

uint64_t limits_memory(const char *root) {
  uint64_t least = system_memory(root);
  for (int v = 1; v <= 2; v++) {
    group g;
    if (!find_group(root, v == 2 ? NULL : "memory", &g)) continue;
    do {
      uint64_t n = group_memory(root, &g, v == 2);
      if (n < least) least = n;
    } while (go_up(&g));
  }
  return least;
}
