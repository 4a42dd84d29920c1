/* Sizes of the processor's caches. */
#ifndef BASE_CACHE_SIZE_H
#define BASE_CACHE_SIZE_H

/* Bytes of the cache of the highest level that holds data; 0 if the system does not say. */
long cache_bytes(void);

/* The same from a folder in the form of Linux's /sys/devices/system/cpu/cpuN/cache: folders indexN with the files
 * level ("3"), type ("Data", "Unified", "Instruction") and size ("32768K"). 0 where nothing sound is found. */
long cache_bytes_in(const char *folder);

#endif
