/* The process's surroundings: standard output and error, progress on a terminal, signals. */
#ifndef GALE_CLI_CONSOLE_H
#define GALE_CLI_CONSOLE_H

#include "gale/cli/options.h"

enum { EXIT_INPUT = 1, EXIT_USAGE = 2 };

/* ---- Messages: one line each on standard error ---- */

/* "gale COMMAND: ..." and where help is; returns EXIT_USAGE. */
int usage_error(const options *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "gale: ..."; returns EXIT_INPUT. */
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The message of a failed library call. Says nothing if a signal was the cause. Returns the exit status. */
int fail_with(const gale_error *error);
int fail_memory(void);
/* A remark, unless -q was given. */
void note(const options *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- Standard output: after a failed write the rest is dropped and false is returned ---- */

bool out_write(const void *bytes, size_t n);
bool out_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool out_flush(void);
/* Flushes. Returns code, or EXIT_INPUT if code is 0 and output was lost; says so, unless the reader
 * of a pipe has gone. */
int out_finish(int code);

/* True if colours may be written to this file descriptor: a terminal that has them, and NO_COLOR is not set. */
bool console_colour(int fd);

/* ---- Signals: SIGINT, SIGTERM and SIGHUP ask the work to stop; a second one ends the process ---- */

void signals_start(void);
/* From here on a second SIGINT only asks again. */
void signals_be_patient(void);
/* The signal that asked to stop, or 0. */
int signals_caught(void);
/* As if this signal had come: for who is told of signals otherwise. */
void signals_note(int number);
void signals_forget(void);
/* Whether it was another than SIGINT, which only ends an answer. */
bool signals_end_chat(void);
/* The exit status of work that a signal stopped, e.g. 130 for SIGINT. */
int signals_exit_status(void);

/* ---- Progress: one line on standard error if it is a terminal ---- */

typedef struct progress {
  bool shown; /* on a terminal and without -q */
  int percent;
} progress;

void progress_start(progress *p, const options *o);
/* A gale_progress_fn; user is a progress. False once a signal was caught. */
bool progress_step(void *user, double fraction, const char *stage);
void progress_end(progress *p);

/* Seconds of a clock that only goes forward. */
double seconds_now(void);

#endif
