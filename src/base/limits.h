/* What the system lets this process have: processors and memory, by its affinity and its control groups (v1 and v2).
 * A group's limits hold for the groups in it, so those of all groups from the process' own to the top are looked at;
 * the process' group and where its files are stand in /proc/self/cgroup and /proc/self/mountinfo. What can't be read
 * limits nothing.
 *
 * root is put before the paths of all files: "" for the system's own, a folder for a made-up tree. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <stdint.h>

/* Processors whose time the control groups grant, rounded up and at least 1; INT_MAX without a limit. */
int limits_processors(const char *root);

/* Bytes that can be taken without others having to give any up: what the system calls available, but at most what the
 * control groups leave. Files that are only cached count as free. Swap is not counted. UINT64_MAX where nothing is
 * said. */
uint64_t limits_memory(const char *root);

#endif
