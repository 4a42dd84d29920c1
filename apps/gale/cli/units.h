/* Numbers as people read them. */
#ifndef GALE_CLI_UNITS_H
#define GALE_CLI_UNITS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct number {
  char text[64];
} number;

/* The exact size in the largest unit that shows it with at most two decimals: "1 GiB", "1.5 MiB",
 * "1,088 MiB". */
number exact_bytes(uint64_t n);

/* The size to three digits: "3.83 GiB". */
number about_bytes(uint64_t n);

/* A large number, and about what it is: "7,241,732,096 (7.24 billion)". */
number about_count(uint64_t n);

/* With commas between thousands: "131,072". */
number with_commas(uint64_t n);

/* Reads "1048576", "512K", "500M", "20G" or "1T" (powers of 1024). False, leaving *bytes, for anything else. */
bool parse_bytes(const char *text, uint64_t *bytes);

#endif
