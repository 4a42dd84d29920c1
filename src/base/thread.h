/* Threads of the library's own, beside the workers of team.h. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "base/error.h"

#include <pthread.h>

/* Starts a thread that takes no signals of the process. GALE_E_MEMORY if the system refuses. */
gale_status thread_start(pthread_t *thread, size_t stack, void *(*run)(void *), void *user, gale_error *error);

#endif
