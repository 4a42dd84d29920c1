/* Regular files of a tar archive: ustar and older, with GNU's and pax's long names. */
#include "gale/cli/console.h"
#include "gale/eval/source.h"

#include <string.h>

enum { BLOCK = 512, NAME = 100, SIZE_AT = 124, SUM_AT = 148, TYPE_AT = 156, MAGIC_AT = 257, PREFIX_AT = 345 };

/* An octal number in a field of n bytes; false if it is none. */
static bool octal(const char *field, size_t n, uint64_t *number) {
  size_t i = 0;
  while (i < n && field[i] == ' ') i++;
  *number = 0;
  size_t first = i;
  for (; i < n && field[i] >= '0' && field[i] <= '7'; i++) *number = *number * 8 + (uint64_t)(field[i] - '0');
  return i > first && (i == n || field[i] == 0 || field[i] == ' ');
}

/* The sum of a header's bytes, its own field counting as blanks. */
static bool sum_is_right(const char *header) {
  uint64_t sum = 0, stated;
  for (size_t i = 0; i < BLOCK; i++) sum += i >= SUM_AT && i < SUM_AT + 8 ? ' ' : (unsigned char)header[i];
  return octal(header + SUM_AT, 8, &stated) && stated == sum;
}

bool tar_is(slice bytes) {
  return bytes.n >= BLOCK && sum_is_right(bytes.s);
}

static slice name_of(const char *header, arena *memory) {
  slice name = {header, strnlen(header, NAME)}, prefix = {header + PREFIX_AT, strnlen(header + PREFIX_AT, 155)};
  if (memcmp(header + MAGIC_AT, "ustar\0", 6) != 0 || prefix.n == 0) return name;
  char *joined = arena_printf(memory, "%.*s/%.*s", (int)prefix.n, prefix.s, (int)name.n, name.s);
  return slice_of(joined);
}

/* The path of a pax header's records, "LENGTH path=NAME\n"; s NULL if it has none. */
static slice pax_path(slice records) {
  for (size_t at = 0; at < records.n;) {
    size_t length = 0, i = at;
    while (i < records.n && records.s[i] >= '0' && records.s[i] <= '9' && length < records.n)
      length = length * 10 + (size_t)(records.s[i++] - '0');
    if (length <= i - at + 1 || length > records.n - at) break;
    slice record = {records.s + i + 1, length - (i - at) - 1};
    if (record.n > 6 && memcmp(record.s, "path=", 5) == 0) return (slice){record.s + 5, record.n - 6};
    at += length;
  }
  return (slice){0};
}

int tar_next(const char *path, slice archive, arena *memory, size_t *at, tar_member *member, bool *found) {
  slice long_name = {0};
  *found = false;
  while (archive.n - *at >= BLOCK && archive.s[*at]) {
    const char *header = archive.s + *at;
    uint64_t size;
    if (!sum_is_right(header) || !octal(header + SIZE_AT, 12, &size))
      return fail("%s: at byte %zu: no header of a tar archive", path, *at);
    if (size > archive.n - *at - BLOCK) return fail("%s: at byte %zu: the archive is cut short", path, *at);
    slice bytes = {header + BLOCK, (size_t)size};
    size_t padded = ((size_t)size + BLOCK - 1) / BLOCK * BLOCK;
    *at += padded < archive.n - *at - BLOCK ? BLOCK + padded : archive.n - *at;
    char type = header[TYPE_AT];
    if (type == 'L') long_name = (slice){bytes.s, strnlen(bytes.s, bytes.n)};
    if (type == 'x') long_name = pax_path(bytes);
    if (type == 'L' || type == 'x') continue;
    if (type == 0 || type == '0') {
      *member = (tar_member){long_name.s ? long_name : name_of(header, memory), bytes};
      *found = true;
      return member->name.s ? 0 : fail_memory();
    }
    long_name = (slice){0};
  }
  return 0;
}
