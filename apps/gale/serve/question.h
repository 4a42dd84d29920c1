/* One request to generate, whatever API it came by: prompts as ids, how to draw, when to stop, what to satisfy, what to
 * tell. An endpoint opens a question from the exchange's body, has its fields read by the functions below, or fills in
 * what its API calls otherwise, and hands it to answer_start() (answer.h).
 *
 *     question *q = question_open(s, x, family);
 *     if (!q) return;                                     already answered
 *     place body = question_body(q);
 *     question_model(q, body);
 *     question_sampling(q, body, &NAMES);
 *     ... conversation ..., question_chat(q, &c);
 *     answer_start(q, &VIEW);                             also answers when something was refused
 */
#ifndef GALE_SERVE_QUESTION_H
#define GALE_SERVE_QUESTION_H

#include "gale/serve/constraints.h"
#include "gale/serve/fields.h"

typedef struct prompt_ids {
  int32_t *ids; /* [n], of gale_free() */
  size_t n;
} prompt_ids;

typedef struct question {
  serving *serving;
  http_exchange *exchange;
  api_family family;
  fields fields; /* why it is refused, and the memory of all that it points at */
  const value *root;
  const char *model; /* as answers repeat it */

  prompt_ids *prompts; /* [n_prompts] */
  size_t n_prompts;
  int32_t n; /* answers to each prompt */
  bool stream;
  bool usage_wanted;  /* of a stream, where the API leaves the choice */
  bool usage_refused; /* stream_options.include_usage is false */

  gale_sampler_options sampling; /* with the seed of the first answer */
  bool seed_negative;            /* the seed stands for a number below 0 */
  const char **stop;             /* [n_stop] */
  size_t n_stop;
  int32_t max_tokens; /* -1: until the context is full */
  bool max_given;
  bool logprobs;        /* of the answer's tokens */
  int32_t top_logprobs; /* 0 to 20 */
  bool prompt_logprobs; /* of the prompt's tokens too: echo */
  const char *form;     /* of answers: the template's name; NULL: all is content */
  bool no_calls;        /* calls of tools are text like other text */
  bool continued;       /* answers go on within a text */
  compiled *constraint; /* held; NULL: none */
  const char *cache_salt;
  gale_pooling pooling; /* of embeddings */

  slice prefix;      /* the answer goes on behind this text */
  bool prefix_given; /* and begins with it */
  bool no_thinking;  /* thinking is kept, and not told as pieces */
  bool embed;        /* embeddings of the prompts are wanted, and no answers */
  void *extra;       /* what an endpoint keeps for its view, in the fields' memory */
} question;

/* Reads the body as strict JSON, an object. Answers with an error and returns NULL where it is none. */
question *question_open(serving *s, http_exchange *x, api_family family);
void question_close(question **opened);
place question_body(question *q);
/* Answers with why the fields were refused. */
void question_fail(const question *q);

/* How an API calls the fields that all have. NULL: it has none. */
typedef struct field_names {
  const char *max_tokens[2]; /* the first that is there wins */
  int64_t max_least;         /* the least max_tokens beside -1, which is accepted too */
  bool max_needed;           /* max_tokens must be there, and -1 is not accepted */
  const char *stop;
  const char *seed[2];
} field_names;

/* model: 404 where it is not the one that is served. */
void question_model(question *q, place body);
/* Everything about drawing and stopping: temperature, top_p, top_k, min_p, penalties, logit_bias, min_tokens,
 * ignore_eos, stop_token_ids, the seed, max_tokens, stop. What is missing is as `missing` says, where the command line
 * says nothing. */
typedef struct sampling_defaults {
  double temperature, top_p;
  int32_t top_k;
} sampling_defaults;
void question_sampling(question *q, place at, const field_names *names, const sampling_defaults *missing);

/* ---- Conversations ---- */

typedef enum tool_policy { TOOLS_AUTO, TOOLS_NONE, TOOLS_REQUIRED, TOOLS_NAMED } tool_policy;

/* A conversation in OpenAI's form, whatever form it came in. */
typedef struct conversation {
  place messages; /* a list; what is wrong with it is told by this place's paths */
  place tools;    /* a list, or none */
  tool_policy policy;
  slice tool;                             /* TOOLS_NAMED */
  bool one_call;                          /* at most one */
  bool objects;                           /* the API gives arguments as objects, so they must be some */
  bool continued;                         /* the last message, the assistant's, goes on */
  slice effort;                           /* of reasoning; not there: none was asked for */
  const value *keywords;                  /* chat_template_kwargs */
  const gale_constraint_options *content; /* what content must satisfy; NULL: nothing */
  place content_at;                       /* the field that says so */
  const char *content_key;
  const value *schema; /* of the content, where the template tells it the model; NULL: none */
} conversation;

/* The prompt of a conversation, and the constraint that follows from its tools and content. */
void question_chat(question *q, const conversation *c);
/* messages, tools, tool_choice, parallel_tool_calls, reasoning_effort, continue_final_message and chat_template_kwargs
 * in OpenAI's form. */
void question_conversation(question *q, place body, conversation *c);

/* ---- What content must satisfy ---- */

/* response_format, structured_outputs, guided_*, json_schema and grammar, of which one at most is there; NULL: none is.
 * *where and *key become the field, for question_constrain(). */
const gale_constraint_options *question_format(question *q, place body, place *where, const char **key);
/* A schema, which is a value: of the field `key`. lenient: keywords that cannot be enforced are ignored. */
const gale_constraint_options *format_schema(question *q, place at, const char *key, bool lenient);
/* Any JSON object. */
const gale_constraint_options *format_object(question *q);
/* Compiles what the whole answer must satisfy. at, key: the field that errors name. */
void question_constrain(question *q, const gale_constraint_options *wanted, place at, const char *key);

/* ---- Prompts of texts and ids ---- */

/* Adds the prompts of a field: a string, or a list of strings, of ids, or of lists of ids; BOS is put in front of texts
 * where the tokenizer has it so. */
void question_prompts(question *q, place at, const char *key);
/* Adds a prompt that asks for what belongs between two texts; key: the field that asks for it. 400 where the vocabulary
 * cannot. */
void question_fim(question *q, slice prefix, slice suffix, place at, const char *key);
/* Adds a prompt of ids, which are taken; of the field `key`. */
void question_prompt(question *q, int32_t *ids, size_t n, place at, const char *key);

/* A number that is drawn from an exchange's identity (http_identity()), by FNV-1a and the finalizer of SplitMix64. */
uint64_t identity_number(const char *identity, uint64_t index);

/* How a failure of the library is told; what is the request's own fault is FAILURE_FIELD. */
failure failure_of(gale_status status);

/* The constraints that are kept. */
constraints *answering_constraints(serving *s);

/* Whether the model is called so. */
bool model_is_served(const serving *s, slice name);

#endif
