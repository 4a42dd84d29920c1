/* Sums that show damage and tell files apart. They are no protection against somebody who forges files. */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

enum { CHECKSUM_MOST = 1 << 21 };

/* A sum of n <= CHECKSUM_MOST bytes, at about the speed of memory. Any change of one or two of their 32-bit words
 * changes what is summed up, as does exchanging two unequal ones. Native byte order. */
uint64_t checksum(const void *bytes, size_t n);

/* A name of 128 bits for a list of byte strings. */
typedef struct digest {
  uint64_t half[2];
} digest;

/* Appends a string of n bytes; strings that are cut otherwise give another digest. Starts from a zeroed digest. */
void digest_add(digest *d, const void *bytes, size_t n);
void digest_number(digest *d, uint64_t value);

#endif
