/* The machine's memory. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdint.h>

/* Bytes that can be taken without others having to give any up; 0 where the system does not say. */
uint64_t memory_available(void);

#endif
