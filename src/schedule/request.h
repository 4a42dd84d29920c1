/* Requests and their answers, as their owner and the engine share them: a list of events, which the engine's thread
 * fills, and a wish to cancel. */
#ifndef SCHEDULE_REQUEST_H
#define SCHEDULE_REQUEST_H

#include "gale_engine.h"

#include <pthread.h>
#include <stdatomic.h>

/* An event in memory of its own. */
typedef struct kept_event {
  struct kept_event *next;
  gale_event event;
} kept_event;

/* One answer. The engine's thread alone uses it, once it is submitted. */
typedef struct answering {
  gale_request *of;
  int32_t index;
  gale_generation *generation; /* NULL: an embedding is wanted */
  int32_t *text;               /* [length]: prompt and answer; room for more */
  int32_t length, room;
  int32_t sequence; /* -1: none */
  int32_t n_cached; /* of the prompt, that did not have to be computed */
  int32_t reached;  /* the most of the text that was ever computed */
  int32_t row;      /* the first place of the text whose row of logits, or hidden state, is wanted and was not used */
  int32_t n_draft, n_right;         /* of its last step: tokens of a draft, and those that were right */
  bool by_model;                    /* a draft model made it */
  int32_t draft_sequence;           /* of the draft model's session; -1: none */
  int32_t draft_length, draft_more; /* tokens of the text that it has read, and of a draft behind them */
  double draft_right, draft_seen;   /* share of right tokens of such drafts, over about so many of the last */
  int32_t marks[2];                 /* lengths at which the prefix cache gets a fork; 0: none */
  uint64_t start;                   /* a number for each time that it got a sequence */
  uint64_t waits_for;               /* start of the one that computes what this one begins with; 0: none is known */
  int32_t waits_until;              /* so many tokens of it */
  bool begun;                       /* has had a sequence, */
  int64_t begin;                    /* from then on */
  bool ended;
  double *pooled;     /* [dim]: of an embedding; NULL: none is wanted */
  gale_finish finish; /* of what is no answer: an embedding, and log-probabilities of the prompt that are cut short */
  struct disk_text *disk; /* of one that has a sequence, where there is a cache on disk; NULL without memory too */
  int32_t unreadable;     /* positions from here on could not be read from it; 0: none */
  struct answering *next; /* in a list of the scheduler */
  kept_event end;         /* so that an end can be told without memory */
  gale_error error;
} answering;

struct gale_request {
  atomic_int holders; /* the owner; the engine */
  atomic_bool cancelled;
  int32_t n_prompt, n, priority;
  gale_pooling pooling;
  float *embedding;       /* [dim]; NULL: none is wanted */
  gale_logprob *logprobs; /* [1 + n_best]: of a token of the prompt; NULL: not asked for */
  int32_t n_best;
  uint64_t order;              /* of submission */
  int64_t submitted, deadline; /* of the monotonic clock in nanoseconds; deadline 0: none */
  char *salt;                  /* "": none */
  gale_event_fn event;
  gale_notify_fn notify;
  void *user;
  answering *answers; /* [n] */
  int32_t n_left;     /* answers that have not ended: of the engine's thread */
  bool begun;         /* some answer has had a sequence: of the engine's thread */

  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t changed;
  kept_event *first, **last;
  int32_t n_ends; /* that were given to the owner */
  bool closed;    /* by the owner */
  bool notified;  /* and has not found the list empty since */
  bool calling;   /* a callback runs, */
  pthread_t caller;
  kept_event *given; /* the owner's: the event that it looks at */
};

/* Checks options and copies what they point at. speculate: as in gale_engine_options. */
gale_status request_open(const gale_model *model, int32_t speculate, const gale_request_options *options,
                         gale_request **request, gale_error *error);

/* Lets go of a request for one of its holders; the last one frees it. */
void request_release(gale_request *r);

/* Makes room for n more ids behind the answer's text. */
gale_status answering_reserve(answering *a, int32_t n, gale_error *error);

/* Adds an id to the answer's text. */
gale_status answering_append(answering *a, int32_t token, gale_error *error);

/* Tells the owner; what the event points at is copied. */
gale_status request_tell(gale_request *r, const gale_event *event, gale_error *error);

/* Calls notify, if that is wanted and there is something new. */
void request_notify(gale_request *r);

/* Tells the owner what the generation has for it: the token that was taken, unless it is -1, and pieces. */
gale_status answering_tell(answering *a, int32_t token, gale_error *error);

/* Whether log-probabilities of the prompt are to come, which the first answer gives. */
static inline bool answering_scores(const answering *a) {
  return a->index == 0 && a->of->logprobs && a->row < a->of->n_prompt - 1;
}

/* Why the answer is over; GALE_FINISH_NONE: it is not. */
gale_finish answering_finish(const answering *a);

/* The answer is over, as its generation says, or by an error unless that is NULL. True if it was the request's last. */
bool answering_end(answering *a, const gale_error *error);

/* Of the monotonic clock, in nanoseconds; and that many seconds later, at most some centuries. */
int64_t time_now(void);
int64_t time_after(int64_t now, double seconds);

/* Waits until then; 0: without limit. False if that time has come. */
bool time_wait(pthread_cond_t *changed, pthread_mutex_t *lock, int64_t until);
/* A condition for time_wait(). */
void time_condition(pthread_cond_t *changed);

#endif
