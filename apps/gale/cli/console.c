#include "gale/cli/console.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- Messages ---- */

int usage_error(const options *o, const char *format, ...) {
  const char *name = o && o->command ? o->command->name : NULL;
  fprintf(stderr, "gale%s%s: ", name ? " " : "", name ? name : "");
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, " (see: gale help%s%s)\n", name ? " " : "", name ? name : "");
  return EXIT_USAGE;
}

int fail(const char *format, ...) {
  fputs("gale: ", stderr);
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  return EXIT_INPUT;
}

int fail_with(const gale_error *error) {
  if (signals_caught()) return signals_exit_status();
  return fail("%s", error->message[0] ? error->message : "unknown error");
}

int fail_memory(void) {
  return fail("out of memory");
}

void note(const options *o, const char *format, ...) {
  if (o->quiet) return;
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
}

/* ---- Standard output ---- */

static int out_errno;

static bool out_check(bool ok) {
  if (!ok && !out_errno) out_errno = errno ? errno : EIO;
  return !out_errno;
}

bool out_write(const void *bytes, size_t n) {
  return !out_errno && out_check(fwrite(bytes, 1, n, stdout) == n);
}

bool out_printf(const char *format, ...) {
  if (out_errno) return false;
  va_list arguments;
  va_start(arguments, format);
  int n = vprintf(format, arguments);
  va_end(arguments);
  return out_check(n >= 0);
}

bool out_flush(void) {
  return !out_errno && out_check(fflush(stdout) == 0);
}

int out_finish(int code) {
  out_flush();
  if (!out_errno) return code;
  if (out_errno != EPIPE && !signals_caught()) fail("standard output: %s", strerror(out_errno));
  return code ? code : EXIT_INPUT;
}

bool console_colour(int fd) {
  const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
  return isatty(fd) && !(no_colour && *no_colour) && terminal && *terminal && strcmp(terminal, "dumb") != 0;
}

/* ---- Signals ---- */

static volatile sig_atomic_t caught, patient;

static void on_signal(int number) {
  if (caught && !(patient && number == SIGINT)) _exit(128 + number);
  caught = number;
}

static void catch_signal(int number, int flags) {
  struct sigaction old, action = {.sa_handler = on_signal, .sa_flags = flags};
  sigemptyset(&action.sa_mask);
  /* A shell's background job ignores SIGINT, and it must stay so. */
  if (sigaction(number, NULL, &old) == 0 && old.sa_handler == SIG_IGN) return;
  sigaction(number, &action, NULL);
}

void signals_start(void) {
  catch_signal(SIGINT, 0);
  catch_signal(SIGTERM, 0);
  catch_signal(SIGHUP, 0);
  /* A write beyond the limit on the size of files is then an error like that of a full disk. */
  signal(SIGXFSZ, SIG_IGN);
}

void signals_be_patient(void) {
  patient = 1;
  /* What is being written when Ctrl-C comes is not an error of the output. Waiting for input ends all the same. */
  catch_signal(SIGINT, SA_RESTART);
}
int signals_caught(void) {
  return caught;
}
bool signals_end_chat(void) {
  return caught && caught != SIGINT;
}
void signals_note(int number) {
  caught = number;
}
void signals_forget(void) {
  caught = 0;
}
int signals_exit_status(void) {
  return 128 + (caught ? caught : SIGINT);
}

/* ---- Progress ---- */

void progress_start(progress *p, const options *o) {
  *p = (progress){isatty(STDERR_FILENO) && !o->quiet, -1};
}

bool progress_step(void *user, double fraction, const char *stage) {
  progress *p = user;
  int percent = (int)(fraction * 100);
  if (p->shown && percent != p->percent && percent < 100) {
    fprintf(stderr, "\r\033[K%s %d%%", stage ? stage : "", percent);
    p->percent = percent;
  }
  return !caught;
}

void progress_end(progress *p) {
  if (p->shown && p->percent >= 0) fputs("\r\033[K", stderr);
  p->percent = -1;
}

double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
