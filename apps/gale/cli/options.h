/* The options of every command: one table, and the parser that reads a command line by it. */
#ifndef GALE_CLI_OPTIONS_H
#define GALE_CLI_OPTIONS_H

#include "gale.h"

#define MAX_ARGUMENTS 24
#define MAX_STOPS 16
#define MAX_TEXTS 1024
#define MAX_NUMBERS 16

typedef enum option_id {
  OPTION_THREADS,
  OPTION_CONTEXT,
  OPTION_WINDOW,
  OPTION_KV,
  OPTION_CHUNK,
  OPTION_CPU,
  OPTION_QUANT,
  OPTION_OVERRIDE,
  OPTION_NO_CACHE,
  OPTION_NO_MEMORY_CHECK,
  OPTION_PREDICT,
  OPTION_TEMP,
  OPTION_TOP_K,
  OPTION_TOP_P,
  OPTION_MIN_P,
  OPTION_REPEAT_PENALTY,
  OPTION_REPEAT_LAST,
  OPTION_PRESENCE_PENALTY,
  OPTION_FREQUENCY_PENALTY,
  OPTION_DRY_MULTIPLIER,
  OPTION_DRY_BASE,
  OPTION_DRY_ALLOWED,
  OPTION_DRY_LAST,
  OPTION_DRY_BREAKER,
  OPTION_TOP_NSIGMA,
  OPTION_TYPICAL,
  OPTION_XTC_PROBABILITY,
  OPTION_XTC_THRESHOLD,
  OPTION_MIROSTAT,
  OPTION_MIROSTAT_LR,
  OPTION_MIROSTAT_ENT,
  OPTION_LOGIT_BIAS,
  OPTION_MIN_TOKENS,
  OPTION_IGNORE_EOS,
  OPTION_SEED,
  OPTION_STOP,
  OPTION_VERBOSE,
  OPTION_QUIET,
  OPTION_FILE,
  OPTION_SYSTEM,
  OPTION_TEMPLATE,
  OPTION_RAW,
  OPTION_SESSION,
  OPTION_TENSORS,
  OPTION_JSON,
  OPTION_JSON_SCHEMA,
  OPTION_REGEX,
  OPTION_CHOICE,
  OPTION_GRAMMAR,
  OPTION_CHECK,
  OPTION_BOS,
  OPTION_LINES,
  OPTION_CHAT,
  OPTION_TOOLS_GENERIC,
  OPTION_FIM,
  OPTION_SPECIAL,
  OPTION_IDS,
  OPTION_OUT,
  OPTION_LAST,
  OPTION_TYPE,
  OPTION_PPL_STRIDE,
  OPTION_CHUNKS,
  OPTION_KL,
  OPTION_SAVE,
  OPTION_N_PROMPT,
  OPTION_N_GEN,
  OPTION_BATCH,
  OPTION_N_DEPTH,
  OPTION_REPETITIONS,
  OPTION_CSV,
  OPTION_MARKDOWN,
  OPTION_PLOT,
  OPTION_SERVE,
  OPTION_SCENARIO,
  OPTION_SCALE,
  OPTION_RATE,
  OPTION_SHOTS,
  OPTION_FEWSHOT,
  OPTION_PROTOCOL,
  OPTION_SPLIT,
  OPTION_LIMIT,
  OPTION_SAMPLES,
  OPTION_RESUME,
  OPTION_DRY_RUN,
  OPTION_REPEATS,
  OPTION_NO_SHARE,
  OPTION_COMPLETIONS,
  OPTION_RESCORE,
  OPTION_LIST,
  OPTION_PRUNE,
  OPTION_HOST,
  OPTION_PORT,
  OPTION_API_KEY,
  OPTION_API_KEY_FILE,
  OPTION_INSECURE_NO_KEY,
  OPTION_ALIAS,
  OPTION_PARALLEL,
  OPTION_QUEUE,
  OPTION_QUEUE_TOKENS,
  OPTION_KV_MEMORY,
  OPTION_CACHE_DIR,
  OPTION_CACHE_LIMIT,
  OPTION_NO_PREFIX_CACHE,
  OPTION_DRAFT,
  OPTION_LOOKUP,
  OPTION_POOLING,
  OPTION_SHARD,
  OPTION_DRAIN,
  OPTION_HEADER_TIMEOUT,
  OPTION_BODY_TIMEOUT,
  OPTION_STALL_TIMEOUT,
  OPTION_MAX_BODY,
  OPTION_MAX_DEPTH,
  OPTION_MAX_N,
  OPTION_MAX_STOP,
  OPTION_MAX_TOOLS,
  OPTION_MAX_CONNECTIONS,
  OPTION_CORS,
  OPTION_ALLOW_HOST,
  OPTION_NO_WEB,
  OPTION_MAN,
  OPTION_COMPLETION,
  OPTION_HELP,
  OPTION_COUNT
} option_id;

typedef enum option_kind {
  KIND_FLAG,  /* bool */
  KIND_INT,   /* int32_t in [low, high] */
  KIND_INTS,  /* int_list of those, with commas between them; may be given again and again */
  KIND_SEED,  /* uint64_t, any */
  KIND_COUNT, /* int64_t in [low, high] */
  KIND_SIZE,  /* uint64_t in [low, high], of bytes: 500M */
  KIND_REAL,  /* double in [low, high], or (low, high] if open */
  KIND_TEXT,  /* const char *, one of choices unless that is NULL */
  KIND_FILE,  /* const char *, the name of a file */
  KIND_TEXTS, /* text_list; may be given again and again, up to `high` times (0: MAX_STOPS); not empty */
  KIND_PAIR,  /* const char *[2]: the option takes two values */
} option_kind;

typedef struct option_spec {
  const char *name; /* without its dashes */
  char letter;      /* 0: no short form */
  option_kind kind;
  const char *argument; /* as help shows it; NULL for a flag */
  size_t offset;        /* of the field in struct options */
  double low, high;
  bool open;
  const char *const *choices; /* ended by NULL */
  bool hidden;                /* left out of help, man page and completions */
  const char *help;
  const char *const *also; /* other names, with their dashes, ended by NULL; not shown */
} option_spec;

extern const option_spec option_table[OPTION_COUNT];

typedef struct options options;

/* A command, as far as its command line goes. */
typedef struct command {
  const char *name;
  const char *arguments; /* as usage shows them */
  int min_arguments, max_arguments;
  const option_id *options;     /* that it takes, ended by OPTION_COUNT */
  int (*run)(const options *o); /* returns the exit status */
  const char *surplus;          /* hint for an argument too many; may be NULL */
  const char *summary;          /* half a line */
  const char *description;      /* paragraphs */
} command;

typedef struct text_list {
  const char *items[MAX_TEXTS];
  size_t length;
} text_list;

typedef struct int_list {
  int32_t items[MAX_NUMBERS];
  size_t length;
} int_list;

/* A command line, parsed. Strings are borrowed from argv. */
struct options {
  const command *command;
  const char *arguments[MAX_ARGUMENTS];
  int n_arguments;
  bool given[OPTION_COUNT];

  int32_t threads, context, window, chunk, predict, top_k, ppl_stride, chunks, repetitions;
  double temp, top_p, min_p, repeat_penalty;
  int32_t repeat_last, dry_allowed, dry_last, min_tokens;
  double presence_penalty, frequency_penalty, dry_multiplier, dry_base, top_nsigma, typical, xtc_probability,
      xtc_threshold, mirostat_lr, mirostat_ent, scale, rate;
  bool ignore_eos;
  const char *mirostat;
  text_list dry_breakers, logit_bias;
  uint64_t seed;
  text_list stop, overrides, choices, scenarios;
  int_list n_prompt, n_gen, batch, n_depth;
  const char *kv, *cpu, *quant;
  const char *file, *session, *system, *template, *lines, *chat, *ids, *out, *type, *kl, *save, *plot, *completion;
  const char *json_schema, *regex, *grammar, *check;
  const char *fim[2];
  int32_t shots, limit, repeats; /* of eval, with what follows */
  const char *fewshot, *protocol, *split, *samples, *completions, *rescore;
  bool resume, dry_run, no_share, list;
  /* Of the server. */
  const char *host, *cache_dir, *draft, *lookup, *pooling, *shard;
  int32_t port, parallel, queue, max_depth, max_n, max_stop, max_tools, max_connections;
  int64_t queue_tokens;
  uint64_t kv_memory, cache_limit, max_body;
  double drain, header_timeout, body_timeout, stall_timeout;
  text_list api_keys, api_key_files, aliases, cors, allow_hosts;
  bool insecure_no_key, no_prefix_cache, no_web;
  bool verbose, quiet, raw, tensors, json, bos, special, last, csv, markdown, man, help, no_cache, no_memory_check,
      prune, tools_generic, serve;
};

/* Whether a list of options, ended by OPTION_COUNT, has one. */
bool options_have(const option_id *list, option_id id);

/* Reads the arguments that follow the command's name. Returns 0, or 2 after saying on standard error
 * what is wrong. With --help the number of arguments is not checked. */
int options_parse(options *o, const command *command, int argc, char **argv);

bool option_given(const options *o, option_id id);

#endif
