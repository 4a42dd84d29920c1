/* Answers on their way from the engine to their clients: what comes is sorted by choice, kept, and told to a view,
 * which writes it as its API has it. A view is a small table of functions; a new API is a new view.
 *
 * In a stream a view hears each thing as it comes: begin, then for each choice choice_begin, any number of pieces,
 * choice_end, and at last end. Of an answer that is not streamed it hears `whole` alone, when all of it is there. All
 * that came before is in the choice: so `piece` may look at what there was, and `choice_end` at everything. */
#ifndef GALE_SERVE_ANSWER_H
#define GALE_SERVE_ANSWER_H

#include "gale/serve/question.h"

/* ---- What has come ---- */

/* A token, with its log-probabilities where they were asked for: entries[0] is its own, then the likeliest, best
 * first. */
typedef struct told_token {
  int32_t token;
  const gale_logprob *entries; /* [n_entries]; 0: none */
  size_t n_entries;
} told_token;

typedef struct told_call {
  byte_list id, name, arguments; /* not ended by NUL */
} told_call;

typedef enum ending {
  ENDING_NONE,      /* it goes on */
  ENDING_STOP,      /* the model ended it */
  ENDING_STOP_TEXT, /* a stop text came: stop says which */
  ENDING_LENGTH,    /* max_tokens */
  ENDING_CONTEXT,   /* the context is full */
  ENDING_CALLS,     /* it ends with calls of tools, all whole */
} ending;

typedef struct choice {
  int32_t index;  /* among the answer's: prompt * n + choice */
  int32_t prompt; /* of which prompt */
  byte_list content, thinking;
  size_t content_end, thinking_end; /* tokens when the last piece of it came */
  told_call *calls;                 /* [n_calls] */
  size_t n_calls;
  /* Without the token that ended it. Those from n_shown on were in no chunk yet, which is for the view to count. */
  told_token *tokens; /* [n_tokens]; of those of the prompt, which come first, n_prompt */
  size_t n_tokens, n_shown, n_prompt, room;
  ending ended;
  int32_t stop; /* ENDING_STOP_TEXT: index into the question's */
  bool begun;
  int64_t begun_at;                           /* nanoseconds since 1970 */
  int32_t n_completion, n_thinking, n_cached; /* at the end; n_cached is known when the choice begins */
  void *extra;                                /* the view's; in the fields' memory */
  float *embedding;                           /* [n_embedding] of the prompt, where it was asked for */
  size_t n_embedding;
  double told_at; /* of http_seconds(), when its last token came; 0: none has */
  arena memory;   /* of tokens' entries */
} choice;

typedef struct reply reply;

typedef struct view {
  const char *stream_type; /* Content-Type of a stream */
  void (*begin)(reply *r); /* the request is with the engine; may be NULL, as all but whole */
  void (*choice_begin)(reply *r, choice *c);
  void (*piece)(reply *r, choice *c, const gale_piece *piece);
  void (*choice_end)(reply *r, choice *c);
  void (*end)(reply *r); /* all choices are over */
  /* The stream ends with an error. */
  void (*failed)(reply *r, failure why, const char *message);
  /* Nothing was written for a while. */
  void (*quiet)(reply *r);
  /* Writes the body of an answer that is not streamed into r->out. */
  void (*whole)(reply *r);
} view;

struct reply {
  question *question;
  const view *view;
  gale_request **requests; /* [n_prompts] of the question */
  choice *choices;         /* [n_choices] */
  size_t n_choices, n_left;
  bool streaming, failed; /* failed: out of memory */
  byte_list out;          /* what the view writes: text that goes out when its function returns */
  char id[40];            /* 32 letters and digits, for the ids of answers */
  int64_t created;        /* seconds since 1970 */
  void *extra;            /* the view's; in the fields' memory */
  reply *next, **link;
};

typedef struct usage {
  int64_t prompt, completion, cached, thinking; /* tokens */
} usage;
/* Of all choices that have begun; a prompt counts once. */
usage reply_usage(const reply *r);

/* ---- Beginning ---- */

/* Takes the question, whose fields may have refused it: then that is answered. Else its requests are submitted, and
 * their answers are told to the view. */
void answer_start(question *q, const view *v);

/* What rows of the endpoint table need whose exchanges are kept here. */
void answer_gone(serving *s, http_exchange *x);
void answer_quiet(serving *s, http_exchange *x);

/* ---- For serve.c ---- */

/* What the functions here keep for a serving: s->answering. To be opened when the model is loaded, from any thread, and
 * closed after the loop. */
typedef struct answering answering;
gale_status answering_open(const gale_tokenizer *tokenizer, answering **opened, gale_error *error);
void answering_close(answering **opened);
/* Tells what has come; of the handler `woken`. */
void answering_woken(serving *s);
/* Ends all that is not over, with an error. */
void answering_fail(serving *s, failure why, const char *message);

/* ---- For views ---- */

/* Adds to r->out. */
void out_text(reply *r, const char *text);
void out_format(reply *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void out_string(reply *r, slice text); /* in quotes, escaped */
void out_number(reply *r, double number);
/* A call's arguments as an object; {} where max_tokens cut them, or the model wrote something else. */
void out_arguments(reply *r, const told_call *call);
/* The text of a token as log-probabilities name it: its text, or bytes:\xe2\x80 where that is no whole UTF-8, or the
 * name of a control token. first: it is the first of its text, where some vocabularies leave out a space. */
void token_text(const gale_tokenizer *t, int32_t token, bool first, byte_list *text);
/* Its exact bytes, to be given to gale_free(); NULL without memory. */
char *token_bytes(const gale_tokenizer *t, int32_t token, bool first, size_t *length);
void out_token(reply *r, int32_t token);       /* its text, in quotes */
void out_token_bytes(reply *r, int32_t token); /* a list of numbers */
/* The tokens of a choice from one on as OpenAI lists them: {token, token_id, bytes, logprob, top_logprobs}. */
void out_logprobs(reply *r, const choice *c, size_t from);

/* Begins a server-sent event in r->out, of this type (NULL: none is named), and ends it. */
void event_begin(reply *r, const char *type);
void event_end(reply *r);

#endif
