#include "base/thread.h"

#include <signal.h>

gale_status thread_start(pthread_t *thread, size_t stack, void *(*run)(void *), void *user, gale_error *error) {
  sigset_t blocked, before;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return error_memory(error, sizeof attributes);
  pthread_attr_setstacksize(&attributes, stack);
  sigfillset(&blocked);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  bool started = pthread_create(thread, &attributes, run, user) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return started ? GALE_OK : error_set(error, GALE_E_MEMORY, "the system refused a thread");
}
