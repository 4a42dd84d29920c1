/* gale.h - inference for the Mistral family of language models. gale_tools.h has what goes beyond inference: measuring,
 * writing files, the packed weights that are kept.
 *
 * Handles are created by gale_x_open() and destroyed by gale_x_close(&x), which accepts NULL and
 * sets the handle to NULL. A function that can fail returns a gale_status and, where the caller
 * passes a gale_error (it may be NULL), fills in a message naming the file, the field and what would
 * have been accepted. On failure output arguments are left as they were. The library never exits,
 * prints or keeps global state.
 *
 * Structs grow. A struct of options or figures begins with its size, which its gale_x_defaults() or gale_x_get_...()
 * call sets; these are macros, so that the size is the one that the caller was compiled with. A library that is newer
 * than its caller takes the fields that the caller lacks at their defaults and writes none of them; one that is older
 * refuses what it does not know unless it is zero. Bindings without macros call the gale_..._sized() functions. Structs
 * without a size - those that stand in arrays, and gale_error - keep their layout for as long as the library's soname
 * is the same: libgale.so.N, N being GALE_VERSION_MAJOR. From version 1 on nothing is removed or changed within an N.
 *
 *   gale_model      weights, configuration and tokenizer; immutable, shared freely between threads
 *   gale_tokenizer  vocabulary and templates; immutable, shared freely between threads
 *   gale_session    key/value cache, scratch memory and worker threads; one caller at a time
 *   a sequence      an id inside a session: one text and its cache
 *   gale_generation one answer in the making; one caller at a time
 */
#ifndef GALE_H
#define GALE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define GALE_API __attribute__((visibility("default")))
#else
#define GALE_API
#endif

/* ---- Errors ------------------------------------------------------------------------------- */

typedef enum gale_status {
  GALE_OK = 0,
  GALE_E_ARGUMENT,    /* a parameter of the call is out of its range */
  GALE_E_IO,          /* the operating system refused or cut short a read or a write */
  GALE_E_FORMAT,      /* a file is malformed or contradicts itself */
  GALE_E_UNSUPPORTED, /* well formed, but an architecture, type or feature gale does not have */
  GALE_E_MEMORY,      /* an allocation failed */
  GALE_E_CONTEXT,     /* the sequence or the session's cache has no room left */
  GALE_E_CANCELLED,   /* a callback asked to stop */
  GALE_E_NUMERIC,     /* the model produced values that are not finite */
  GALE_E_BUSY,        /* a queue is full, or closed to what is new */
} gale_status;

/* code is GALE_OK and message is empty until a call fails. message is one line of UTF-8. */
typedef struct gale_error {
  gale_status code;
  char message[512];
} gale_error;

/* Version of this header, and of the library as "major.minor.patch"; static storage. */
#define GALE_VERSION_MAJOR 0
#define GALE_VERSION_MINOR 2
#define GALE_VERSION_PATCH 0
GALE_API const char *gale_version(void);

/* Version of the results' bits (docs/NUMERICS.md), of this header and of the library: the same model, tokens and
 * options give the same logits as long as it is the same, and may give others where it is not. Whatever keeps logits or
 * keys and values beyond a process keeps this with them. */
#define GALE_NUMERICS_VERSION 3
GALE_API int gale_numerics_version(void);

/* Frees memory that a gale function returned to the caller. NULL is accepted. */
GALE_API void gale_free(void *memory);

/* Called while something long runs. fraction is in [0, 1]; stage is a short English phrase.
 * Returning false stops the work, which then fails with GALE_E_CANCELLED. */
typedef bool (*gale_progress_fn)(void *user, double fraction, const char *stage);

/* ---- Tokenizer ---------------------------------------------------------------------------- */

typedef struct gale_tokenizer gale_tokenizer;

/* Opens a tokenizer alone: a SentencePiece model file, tokenizer.json, a vocabulary-carrying GGUF
 * file, or a model directory. */
GALE_API gale_status gale_tokenizer_open(const char *path, gale_tokenizer **tokenizer, gale_error *error);

typedef struct gale_tokenizer_options {
  size_t size;                  /* of this struct, as the caller knows it: gale_tokenizer_defaults() sets it */
  const char *const *overrides; /* as in gale_model_options; a tokenizer's file alone takes none */
  size_t n_overrides;
} gale_tokenizer_options;

#define gale_tokenizer_defaults(options) gale_tokenizer_defaults_sized(options, sizeof *(options))
GALE_API void gale_tokenizer_defaults_sized(gale_tokenizer_options *options, size_t size);

/* The same with options (NULL: the defaults). */
GALE_API gale_status gale_tokenizer_open_with(const char *path, const gale_tokenizer_options *options,
                                              gale_tokenizer **tokenizer, gale_error *error);

GALE_API void gale_tokenizer_close(gale_tokenizer **tokenizer);

/* Number of ids; every id is in [0, gale_tokenizer_size). A model may have fewer rows, or rows without a token: see
 * n_drawable in gale_model_info. */
GALE_API int32_t gale_tokenizer_size(const gale_tokenizer *tokenizer);

/* Ids of BOS and EOS, or -1 where the vocabulary has none. */
GALE_API int32_t gale_tokenizer_bos(const gale_tokenizer *tokenizer);
GALE_API int32_t gale_tokenizer_eos(const gale_tokenizer *tokenizer);

/* True if id ends an answer: end of sequence, or end of turn in chat models. */
GALE_API bool gale_tokenizer_is_end(const gale_tokenizer *tokenizer, int32_t id);

/* True if the tokenizer's own settings put BOS in front of a text. */
GALE_API bool gale_tokenizer_adds_bos(const gale_tokenizer *tokenizer);

/* Short name of the algorithm, e.g. "SentencePiece" or "byte-level BPE (smollm)"; static storage. */
GALE_API const char *gale_tokenizer_kind(const gale_tokenizer *tokenizer);

/* Something that the user should be told about the tokenizer, one line in static storage, or NULL. */
GALE_API const char *gale_tokenizer_note(const gale_tokenizer *tokenizer);

/* Bytes of a token as it is stored, and whether it is a control token. *text is owned by the
 * tokenizer and not terminated. Returns false if id is out of range. */
GALE_API bool gale_tokenizer_token(const gale_tokenizer *tokenizer, int32_t id, const char **text, size_t *length,
                                   bool *control);

/* Splits text (length bytes of any content; bytes that are not UTF-8 are kept) into ids. Text never
 * becomes a control token. No BOS is added unless bos is true. *ids is allocated for the caller, who
 * gives it to gale_free(). */
GALE_API gale_status gale_tokenize(const gale_tokenizer *tokenizer, const char *text, size_t length, bool bos,
                                   int32_t **ids, size_t *n_ids, gale_error *error);

/* The exact bytes of n_ids ids (control tokens write nothing unless special). *text is allocated for
 * the caller and has a NUL after its *length bytes. */
GALE_API gale_status gale_detokenize(const gale_tokenizer *tokenizer, const int32_t *ids, size_t n_ids, bool special,
                                     char **text, size_t *length, gale_error *error);

/* Turns ids into text one at a time and never cuts a character: bytes are held back until a whole
 * character is there, and bytes that cannot become one are given as U+FFFD. */
typedef struct gale_detokenizer gale_detokenizer;
GALE_API gale_status gale_detokenizer_open(const gale_tokenizer *tokenizer, bool special, gale_detokenizer **stream,
                                           gale_error *error);
GALE_API void gale_detokenizer_close(gale_detokenizer **stream);

/* *text points at *length bytes of valid UTF-8 (maybe none), valid until the next call on stream. */
GALE_API gale_status gale_detokenizer_push(gale_detokenizer *stream, int32_t id, const char **text, size_t *length,
                                           gale_error *error);

/* What was held back; the stream is then as new. */
GALE_API gale_status gale_detokenizer_finish(gale_detokenizer *stream, const char **text, size_t *length,
                                             gale_error *error);

/* ---- Conversations ------------------------------------------------------------------------ */

/* Everything in these structs is UTF-8, terminated by NUL and borrowed for the duration of a call. Zero or NULL: there
 * is none, so an initialiser may leave fields out. */

/* A part of a message: text, or what a model thought before it answered. */
typedef struct gale_part {
  const char *text;
  bool thinking;
  bool open; /* thinking that has no end yet */
} gale_part;

/* A function that the assistant called. */
typedef struct gale_tool_call {
  const char *id, *name;
  const char *arguments; /* as JSON; text that is no JSON counts as a string, NULL or "" as {} */
} gale_tool_call;

typedef struct gale_message {
  const char *role;    /* "system" ("developer" is the same), "user", "assistant" or "tool" */
  const char *content; /* used where parts is NULL; an assistant that calls tools may leave it NULL */
  const gale_part *parts;
  size_t n_parts;
  const gale_tool_call *tool_calls; /* an assistant's */
  size_t n_tool_calls;
  const char *tool_call_id, *name; /* of a tool's result: the call that it answers, and the function */
  bool prefix;                     /* the last message, an assistant's, is to be continued */
} gale_message;

typedef struct gale_chat_options {
  size_t size;                  /* of this struct, as the caller knows it: gale_chat_defaults() sets it */
  const char *template_name;    /* NULL: gale_chat_template() */
  const char *tools;            /* a JSON array as in OpenAI's requests; NULL: none */
  bool continue_final;          /* as if the last message had prefix */
  const char *reasoning_effort; /* "none", "low", "high" ...; NULL: the model's default */
  const char *date;             /* the day that Llama 3.1 to 3.3 are told; NULL: the published "26 Jul 2024" */
  /* Templates that have no form for tools get one of gale's own: tools as lines of JSON in the system message, calls as
   * <tool_call>{"name": ..., "arguments": ...}</tool_call>, results as a user's text in <tool_response>. And a
   * reasoning_effort that the template does not know is left out instead of refused. */
  bool generic_tools;
} gale_chat_options;

#define gale_chat_defaults(options) gale_chat_defaults_sized(options, sizeof *(options))
GALE_API void gale_chat_defaults_sized(gale_chat_options *options, size_t size);

/* Name of the template that the model's files ask for ("chatml", ...), or NULL if there is none that
 * gale knows. */
GALE_API const char *gale_chat_template(const gale_tokenizer *tokenizer);

/* Where gale_chat_template() comes from. */
typedef enum gale_template_source {
  GALE_TEMPLATE_NONE,    /* nowhere: the files have no template, and their control tokens are those of none */
  GALE_TEMPLATE_STATED,  /* the model's own template, or what its tokenizer's file states */
  GALE_TEMPLATE_MARKS,   /* the files have none, and control tokens alone show it: it may be a base model */
  GALE_TEMPLATE_UNKNOWN, /* the files have a template, and it is none that gale knows: gale_chat_template() is NULL */
} gale_template_source;

/* *beginning (may be NULL): with GALE_TEMPLATE_UNKNOWN the first characters of the model's own template, owned by the
 * tokenizer; else NULL. */
GALE_API gale_template_source gale_chat_template_source(const gale_tokenizer *tokenizer, const char **beginning);

/* Names of all templates, ended by NULL; static storage. */
GALE_API const char *const *gale_chat_templates(void);

/* Ids of the whole prompt of a conversation, up to where the assistant's answer begins or goes on. Text in messages
 * never becomes a control token. options NULL means the defaults. GALE_E_ARGUMENT for what the template cannot express,
 * and, in Mistral's templates, for all that Mistral's own reference refuses; the message says what is wrong. */
GALE_API gale_status gale_chat_prompt(const gale_tokenizer *tokenizer, const gale_message *messages, size_t n_messages,
                                      const gale_chat_options *options, int32_t **ids, size_t *n_ids,
                                      gale_error *error);

/* The same for the body of an OpenAI-style request, length bytes of JSON: messages (contents as strings or lists of
 * parts, tool_calls, tool_call_id, prefix, reasoning_content), tools, tool_choice, continue_final_message,
 * reasoning_effort, response_format, and in chat_template_kwargs date_string and tools_in_user_message, which Llama 3.1
 * to 3.3 know. Other fields are ignored. name NULL means gale_chat_template(). */
GALE_API gale_status gale_chat_request(const gale_tokenizer *tokenizer, const char *name, const char *json,
                                       size_t length, int32_t **ids, size_t *n_ids, gale_error *error);

/* The same with options (NULL: the defaults), of which template_name and generic_tools count. */
GALE_API gale_status gale_chat_request_with(const gale_tokenizer *tokenizer, const gale_chat_options *options,
                                            const char *json, size_t length, int32_t **ids, size_t *n_ids,
                                            gale_error *error);

/* Ids of a prompt that asks for what belongs between prefix and suffix, texts of any content. The vocabulary must have
 * [PREFIX] and [SUFFIX], as Mistral's have from v3 on. */
GALE_API gale_status gale_fim_prompt(const gale_tokenizer *tokenizer, const char *prefix, size_t n_prefix,
                                     const char *suffix, size_t n_suffix, int32_t **ids, size_t *n_ids,
                                     gale_error *error);

/* ---- Model -------------------------------------------------------------------------------- */

typedef struct gale_model gale_model;

typedef struct gale_model_options {
  size_t size;               /* of this struct, as the caller knows it: gale_model_defaults() sets it */
  const char *cpu;           /* highest instruction set: generic, avx2, avxvnni, avx512, amx or neon; NULL: the best */
  int threads;               /* for packing weights; 0: one per processor */
  bool metadata_only;        /* no weights are read: for gale_model_info and its like; no session can be opened */
  gale_progress_fn progress; /* may be NULL */
  void *progress_user;
  const char *quantize;         /* type to hold the weights in, as for gale_quantize(); NULL: as stored */
  const char *const *overrides; /* n_overrides texts "key=value": metadata that replaces or adds to the files' */
  size_t n_overrides;
  /* Directory in which packed weights are kept for the next time, made where it is missing; NULL: none is used, and
   * nothing is written. What was kept is used when everything that it depends on is as it was; a file that is damaged
   * or cannot be written is no error, but the weights are then read and packed as without. Models of less than
   * cache_least packed bytes are not kept, nor are shapes. cache_limit bounds the directory: what was not used for
   * longest is removed. 0: half of what the file system would have free without it, up to 64 GiB. */
  const char *cache;
  uint64_t cache_least; /* default 64 MiB */
  uint64_t cache_limit;
  /* Before anything is loaded, the packed weights are compared with the memory that is available: what the system says,
   * but at most what the control groups of the process leave. Packed weights that were kept count as well: they are
   * read for every token, so a machine that cannot hold them all would read the disk each time. GALE_E_MEMORY if they
   * don't fit; the message says what would. */
  bool no_memory_check;
  /* Options of a session that is to be opened on the model, borrowed for the call: its cache (kv_bytes, or where
   * context is given what that takes) and scratch are counted too. NULL: the weights alone are. */
  const struct gale_session_options *session;
} gale_model_options;

#define gale_model_defaults(options) gale_model_defaults_sized(options, sizeof *(options))
GALE_API void gale_model_defaults_sized(gale_model_options *options, size_t size);

/* path is a GGUF file, a Hugging Face directory, a Mistral directory, or "shape:NAME[:layers=N][@TYPE]"
 * for synthetic weights of a published shape. options NULL means the defaults. */
GALE_API gale_status gale_model_open(const char *path, const gale_model_options *options, gale_model **model,
                                     gale_error *error);
/* Every session on the model must be closed first. */
GALE_API void gale_model_close(gale_model **model);

/* The model's tokenizer, owned by it, or NULL if its files have none. */
GALE_API const gale_tokenizer *gale_model_tokenizer(const gale_model *model);

/* Hyperparameters, in Mistral's words. Strings are owned by the model. */
typedef struct gale_model_info {
  size_t size;        /* of this struct, as the caller knows it: gale_model_get_info() sets it */
  const char *name;   /* as the files state it, else the path's last part */
  const char *family; /* "llama", ... */
  const char *format; /* "GGUF", "Hugging Face", "Mistral", "shape" */
  const char *types;  /* storage types of the weights by share, e.g. "Q4_0, F32" */
  const char *cpu;    /* instruction set in use */
  const char *note;   /* something the user should be told about this model, or NULL */
  int32_t dim, n_layers, head_dim, hidden_dim, n_heads, n_kv_heads, vocab_size;
  int32_t context;        /* positions the model was made for */
  int32_t sliding_window; /* the largest over the layers; 0: none */
  int32_t windowed_layers;
  int32_t n_experts, n_experts_per_tok; /* 0: no mixture of experts */
  double norm_eps, rope_theta;
  bool tied; /* the output matrix is the embedding */
  int64_t n_parameters;
  uint64_t weight_bytes;  /* as stored in the files */
  uint64_t packed_bytes;  /* as held in memory; 0 with metadata_only */
  bool kept;              /* the cache has the packed weights for the next time, */
  bool from_cache;        /* and had them already */
  const char *cache_note; /* what became of the cache, e.g. "kept for the next start"; NULL: none was asked for */
  int32_t n_drawable;     /* ids below it have a row and a token, and may be drawn; vocab_size without a tokenizer */
} gale_model_info;
#define gale_model_get_info(model, info) gale_model_get_info_sized(model, info, sizeof *(info))
GALE_API void gale_model_get_info_sized(const gale_model *model, gale_model_info *info, size_t size);

/* One tensor of the source files, 0 <= index < gale_model_tensors(). */
typedef struct gale_tensor_info {
  size_t size; /* of this struct, as the caller knows it: gale_model_tensor() sets it */
  const char *name, *type;
  int n_dims;
  int64_t shape[4]; /* outermost first, as the field writes shapes */
  uint64_t bytes;
} gale_tensor_info;
GALE_API size_t gale_model_tensors(const gale_model *model);
#define gale_model_tensor(model, index, info) gale_model_tensor_sized(model, index, info, sizeof *(info))
GALE_API bool gale_model_tensor_sized(const gale_model *model, size_t index, gale_tensor_info *info, size_t size);

/* ---- Session ------------------------------------------------------------------------------ */

typedef struct gale_session gale_session;

typedef enum gale_kv_type { GALE_KV_F16 = 0, GALE_KV_F32, GALE_KV_Q8 } gale_kv_type;

#define GALE_WINDOW_NATIVE (-1) /* the model's own windows */
#define GALE_WINDOW_NONE 0      /* every layer sees everything */

typedef struct gale_session_options {
  size_t size;           /* of this struct, as the caller knows it: gale_session_defaults() sets it */
  int threads;           /* 0: one per processor */
  int32_t context;       /* positions a sequence may reach; 0: the model's */
  int32_t window;        /* GALE_WINDOW_NATIVE, GALE_WINDOW_NONE or a number of positions */
  int32_t chunk;         /* most tokens computed in one step */
  int32_t max_sequences; /* open at a time */
  gale_kv_type kv_type;
  /* Threads whose processors other programs take make short pauses of their own, between items of work, rather than
   * being interrupted within one, which would make the others wait. Default true. Results don't depend on it. */
  bool give_way;
  /* Memory for the pages of the cache; 0: what all sequences can take, but at most half of the memory that is free. It
   * is all there is, for whatever mix of sequences: layers with a window and layers without one share it. */
  uint64_t kv_bytes;
  bool no_memory_check; /* don't compare cache and scratch with the memory that is available: GALE_E_MEMORY else */
} gale_session_options;

#define gale_session_defaults(options) gale_session_defaults_sized(options, sizeof *(options))
GALE_API void gale_session_defaults_sized(gale_session_options *options, size_t size);

/* Reserves the session's memory once: kv_bytes for the cache, and scratch for chunk tokens. Pages of the cache take
 * physical memory when they are first used. The model must outlive the session.
 * The thread that calls gale_step(), and what is built on it, computes as one of the session's threads and needs
 * 256 KiB of stack for that. The session's own threads get no signals that are sent to the process. */
GALE_API gale_status gale_session_open(const gale_model *model, const gale_session_options *options,
                                       gale_session **session, gale_error *error);
GALE_API void gale_session_close(gale_session **session);

/* The options as they took effect; kv_bytes is then a whole number of pages. */
#define gale_session_get_options(session, options) gale_session_get_options_sized(session, options, sizeof *(options))
GALE_API void gale_session_get_options_sized(const gale_session *session, gale_session_options *options, size_t size);

/* A sequence starts empty. Ids are small numbers and are used again after close. */
GALE_API gale_status gale_sequence_open(gale_session *session, int32_t *sequence, gale_error *error);
GALE_API gale_status gale_sequence_close(gale_session *session, int32_t sequence, gale_error *error);

/* A new sequence with the same content, sharing the cache's pages until one of them is written. */
GALE_API gale_status gale_sequence_fork(gale_session *session, int32_t sequence, int32_t *fork, gale_error *error);

/* Number of positions, or -1 if the sequence is not open. */
GALE_API int32_t gale_sequence_length(const gale_session *session, int32_t sequence);

/* Forgets positions from length on. Where a window has already let go of positions that a text of
 * that length would need, nothing can be kept: *kept is then 0, otherwise length. */
GALE_API gale_status gale_sequence_truncate(gale_session *session, int32_t sequence, int32_t length, int32_t *kept,
                                            gale_error *error);

/* Which tokens of an input get a row: of logits and hidden state, or of the hidden state alone, which spares the
 * product with the output matrix. */
typedef enum gale_logits_wanted {
  GALE_LOGITS_NONE = 0,
  GALE_LOGITS_LAST,
  GALE_LOGITS_ALL,
  GALE_HIDDEN_LAST,
  GALE_HIDDEN_ALL,
} gale_logits_wanted;

/* n_tokens >= 1 tokens appended to a sequence. A sequence appears at most once in a step. */
typedef struct gale_input {
  int32_t sequence;
  const int32_t *tokens;
  int32_t n_tokens;
  gale_logits_wanted logits;
} gale_input;

/* Computes all inputs together; their tokens are at most options.chunk. The result for a token is the
 * same, bit for bit, however tokens are divided into steps and whatever else is in the step. On
 * failure nothing has changed. GALE_E_CONTEXT if a sequence would exceed the context, or if the cache has too few free
 * pages for all inputs together. */
GALE_API gale_status gale_step(gale_session *session, const gale_input *inputs, size_t n_inputs, gale_error *error);

/* What gale_step() with these inputs would take of the cache, without computing anything: *needed bytes of new pages
 * and of copies of shared ones; it has room if that is at most *available. Tokens are not looked at. */
GALE_API gale_status gale_step_pages(gale_session *session, const gale_input *inputs, size_t n_inputs, uint64_t *needed,
                                     uint64_t *available, gale_error *error);

/* Appends any number of tokens in steps of options.chunk and keeps the logits of the last one (as row
 * 0). progress may be NULL; when it stops the work, or pages run out, the sequence keeps the tokens done so far. */
GALE_API gale_status gale_prefill(gale_session *session, int32_t sequence, const int32_t *tokens, size_t n_tokens,
                                  gale_progress_fn progress, void *user, gale_error *error);

/* A sequence's rows of logits, [vocab_size] floats each, in the order of its tokens in the session's last step; NULL if
 * there is no such row. A step takes away the rows of all sequences that have no part in it; so do closing a sequence
 * and making it shorter with its own. A fork has the rows of its source. */
GALE_API const float *gale_logits(const gale_session *session, int32_t sequence, size_t row);
GALE_API size_t gale_logits_rows(const gale_session *session, int32_t sequence);

/* The same for final hidden states, behind the last norm: [dim] floats each, for every token that was asked for, with
 * logits or without. */
GALE_API const float *gale_hidden(const gale_session *session, int32_t sequence, size_t row);
GALE_API size_t gale_hidden_rows(const gale_session *session, int32_t sequence);

typedef enum gale_pooling {
  GALE_POOLING_MEAN = 0, /* of the hidden states of all tokens */
  GALE_POOLING_LAST,     /* the hidden state of the last token */
} gale_pooling;

/* A text's embedding: its pooled hidden state, of unit length (docs/NUMERICS.md). embedding is [dim]. Computed in steps
 * of options.chunk in a sequence of its own, so that one more must be possible; the same bytes however the session was
 * opened, but for its type of cache and its window. GALE_E_NUMERIC if the hidden states are not finite or all zero. */
GALE_API gale_status gale_embed(gale_session *session, const int32_t *tokens, size_t n_tokens, gale_pooling pooling,
                                float *embedding, gale_error *error);

/* Memory and work of a session so far. */
typedef struct gale_session_stats {
  size_t size;                /* of this struct, as the caller knows it: gale_session_get_stats() sets it */
  uint64_t kv_page_bytes;     /* of pages in use now; options.kv_bytes is the most */
  uint64_t kv_peak_bytes;     /* the most that were in use */
  uint64_t kv_reserved_bytes; /* address space reserved for pages */
  uint64_t scratch_bytes;
  uint64_t tokens, steps;
} gale_session_stats;
#define gale_session_get_stats(session, stats) gale_session_get_stats_sized(session, stats, sizeof *(stats))
GALE_API void gale_session_get_stats_sized(const gale_session *session, gale_session_stats *stats, size_t size);

/* ---- Sampling ----------------------------------------------------------------------------- */

/* Added to the logit of a token: -100 and below bans it; with 100 and above nothing but such tokens can be drawn,
 * unless none of them is allowed. */
typedef struct gale_logit_bias {
  int32_t token;
  double bias;
} gale_logit_bias;

/* The steps between a row of logits and a token: bias, penalties, DRY, ends, top_n_sigma, temperature, top_k,
 * typical_p, top_p, min_p, XTC, draw. docs/NUMERICS.md defines each. "History" is the prompt as far as a
 * generation is told it, and the answer. */
typedef struct gale_sampler_options {
  size_t size;           /* of this struct, as the caller knows it: gale_sampler_defaults() sets it */
  double temperature;    /* in [0, 100]; 0: the token with the largest logit, whatever the steps behind it */
  int32_t top_k;         /* 0: off */
  double top_p;          /* in [0, 1]; 1: off */
  double min_p;          /* in [0, 1]; 0: off */
  double repeat_penalty; /* in (0, 100]; 1: off; over the last repeat_last tokens of the history */
  int32_t repeat_last;   /* 0: off; -1: all */
  uint64_t seed;         /* each draw depends on it and on the token's place in the answer alone */

  const gale_logit_bias *bias; /* [n_bias], no token twice */
  size_t n_bias;
  double presence_penalty;  /* in [-100, 100]; 0: off; once for each token that was generated */
  double frequency_penalty; /* likewise, as often as the token was generated */
  /* DRY: multiplier * base^(length - allowed_length) is taken off a token that would make a repetition of `length`
   * tokens longer. */
  double dry_multiplier;       /* in [0, 100]; 0: off */
  double dry_base;             /* in [1, 100] */
  int32_t dry_allowed_length;  /* >= 1: shorter repetitions cost nothing */
  int32_t dry_last;            /* tokens of the history that are looked at; 0: off; -1: all */
  const int32_t *dry_breakers; /* [n_dry_breakers] tokens that no repetition contains */
  size_t n_dry_breakers;
  const int32_t *ends; /* [n_ends] tokens that end an answer, beside the tokenizer's */
  size_t n_ends;
  int32_t min_tokens; /* no end is drawn before so many tokens were */
  bool ignore_end;    /* no end is ever drawn */
  int32_t mirostat;   /* 0: off; 2: mirostat version 2, instead of the steps from top_n_sigma on but temperature */
  double mirostat_tau, mirostat_eta; /* target surprise in bits, > 0; learning rate, in [0, 1] */
  double top_n_sigma;                /* 0: off; keeps logits down to so many standard deviations below the largest */
  double typical_p;                  /* in (0, 1]; 1: off */
  double xtc_probability;            /* in [0, 1]; 0: off */
  double xtc_threshold;              /* in [0, 1]; above 0.5: off */
} gale_sampler_options;

/* Temperature 0.8, top_k 40, top_p 0.95, min_p 0.05; all else off. Tokens that the options name are below the model's
 * n_drawable (gale_model_info); no other is ever drawn. */
#define gale_sampler_defaults(options) gale_sampler_defaults_sized(options, sizeof *(options))
GALE_API void gale_sampler_defaults_sized(gale_sampler_options *options, size_t size);

/* ---- Generation --------------------------------------------------------------------------- */

/* One answer in the making: tokens are chosen from rows of logits, or come from elsewhere, and become typed text. A
 * generation reads rows but changes no session: whoever drives it feeds the tokens. So one thread may drive any number
 * of them over one session, each taking from its own sequence's rows, and computes their tokens in one step:
 *
 *     gale_generation_take(g, session, sequence, 0, &token, error)
 *     while ((piece = gale_generation_next(g))) ...
 *     until gale_generation_get_result() says why it ended; else the token is part of the next gale_step()
 *
 * gale_generate() is that loop for one answer. A generation is small: its memory does not grow with the vocabulary. */
typedef struct gale_generation gale_generation;

typedef enum gale_piece_kind {
  GALE_PIECE_CONTENT,
  GALE_PIECE_THINKING,
  GALE_PIECE_CALL,      /* a call of a tool begins: text is the function's name */
  GALE_PIECE_ARGUMENTS, /* text of the call's arguments: JSON as the model writes it, which may turn out to be none */
} gale_piece_kind;

typedef struct gale_piece {
  gale_piece_kind kind;
  const char *text; /* length bytes of valid UTF-8, of whole characters */
  size_t length;
  size_t call;    /* of a call and its arguments: which of the answer's, from 0 */
  const char *id; /* with GALE_PIECE_CALL: the call's id, ended by NUL */
} gale_piece;

typedef enum gale_finish {
  GALE_FINISH_NONE,    /* the answer goes on */
  GALE_FINISH_END,     /* the model ended it */
  GALE_FINISH_STOP,    /* a stop text or its token appeared; it is not part of the output */
  GALE_FINISH_LENGTH,  /* max_tokens is reached */
  GALE_FINISH_CONTEXT, /* the sequence's context or the session's pages are used up */
  GALE_FINISH_CANCELLED,
} gale_finish;

struct gale_constraint;

typedef struct gale_generation_options {
  size_t size;                          /* of this struct, as the caller knows it: its defaults call sets it */
  const gale_sampler_options *sampling; /* NULL: the defaults */
  const int32_t *prompt;                /* [n_prompt] ids before the answer, for the penalties; may be NULL */
  size_t n_prompt;
  /* Name of the template that asked for the answer, which decides what is thinking and what are calls: Mistral's from
   * v13 on have thinking, those from v2 on and Llama 3's calls. NULL: all is content. gale_chat_template() is the
   * model's own. */
  const char *form;
  /* [n_stop] texts, none empty, that end the answer; looked for in content, between other pieces. One that is the text
   * of a control token also ends it at that token, wherever it comes. */
  const char *const *stop;
  size_t n_stop;
  int32_t max_tokens;   /* -1: as many as there is room for */
  bool special;         /* control tokens that tell nothing of the form are content too */
  bool logprobs;        /* compute log-probabilities */
  int32_t top_logprobs; /* 0 to 1024: of so many of the likeliest tokens too */
  /* What the content must satisfy (gale_constraint.h); NULL: nothing. Thinking is free, but the answer ends by itself
   * only where the content is complete, and always where nothing else may follow. It must be of the answer's tokenizer
   * and outlive the generation. */
  const struct gale_constraint *constraint;
  /* 0 to 32. gale_generate() computes up to so many tokens on trial, where it expects them: because the constraint
   * forces them, or because they followed earlier in prompt and answer. How many it tries depends on how often such
   * tokens were right and on what steps have taken. It changes no bit of the answer; it takes memory for each token of
   * prompt and answer, at most 264 bytes. 0: none. */
  int32_t speculate;
  bool generic_tools; /* as in gale_chat_options: the form's calls, where it has none of its own */
  bool no_calls;      /* calls are not told apart: their text is content */
  bool continued;     /* the answer goes on within a text: the space in front of its first word is part of it */
  const char
      *begun; /* [n_begun] that text, as far as the constraint counts it as the content's beginning; may be NULL */
  size_t n_begun;
} gale_generation_options;

#define gale_generation_defaults(options) gale_generation_defaults_sized(options, sizeof *(options))
GALE_API void gale_generation_defaults_sized(gale_generation_options *options, size_t size);

/* Begins an answer of a model. tokenizer NULL means the model's; model NULL: nothing can be taken, and tokens come by
 * gale_generation_accept() alone. Both must outlive the generation; options are copied, with all they point at. */
GALE_API gale_status gale_generation_open(const gale_model *model, const gale_tokenizer *tokenizer,
                                          const gale_generation_options *options, gale_generation **generation,
                                          gale_error *error);
GALE_API void gale_generation_close(gale_generation **generation);

/* Chooses the next token from a row of a sequence's logits (as in gale_logits()) and accepts it. The choice depends on
 * options, prompt, answer so far and logits alone. Uses the session's scratch, but changes nothing of its sequences:
 * the caller feeds *token, unless the answer has ended. GALE_E_ARGUMENT if it had ended before, if the sequence has no
 * such row, or if the options ban every token; GALE_E_NUMERIC if no logit is finite; then nothing has changed. */
GALE_API gale_status gale_generation_take(gale_generation *generation, gale_session *session, int32_t sequence,
                                          size_t row, int32_t *token, gale_error *error);

/* Takes the next token from the caller. Any error but GALE_E_ARGUMENT, with which nothing has changed, ends the answer.
 */
GALE_API gale_status gale_generation_accept(gale_generation *generation, int32_t token, gale_error *error);

/* Ends the answer from outside, for GALE_FINISH_LENGTH, _CONTEXT or _CANCELLED; nothing happens if it has ended. What
 * was held back becomes pieces, but for a character that is not whole. */
GALE_API gale_status gale_generation_end(gale_generation *generation, gale_finish finish, gale_error *error);

/* The next piece of text that is sure, or NULL: text that may become a stop text and characters that are not whole are
 * held back. Valid until the next call with this generation that is not gale_generation_next(). */
GALE_API const gale_piece *gale_generation_next(gale_generation *generation);

/* The calls so far, arguments as far as they have come. In answers of v2 to v7, where calls are one list, they are
 * there when it has ended. *calls is owned by the generation, until the next call with it. */
GALE_API gale_status gale_generation_calls(gale_generation *generation, const gale_tool_call **calls, size_t *n_calls,
                                           gale_error *error);

typedef struct gale_logprob {
  int32_t token;
  double logprob; /* natural logarithm; -INFINITY where the logit is no number or minus infinity */
} gale_logprob;

/* Log-probabilities by the logits as the model gave them, of the token that was taken last and then of the likeliest,
 * best first. *logprobs is owned by the generation, until its next token. Returns how many there are; 0 if they were
 * not asked for. */
GALE_API size_t gale_generation_logprobs(const gale_generation *generation, const gale_logprob **logprobs);

typedef struct gale_generation_result {
  size_t size; /* of this struct, as the caller knows it: gale_generation_get_result() sets it */
  gale_finish finish;
  int32_t stop;        /* with GALE_FINISH_STOP: index of the stop text; else -1 */
  int32_t n_tokens;    /* so far; a token that ends the answer counts */
  int32_t n_thinking;  /* of these, thinking with its control tokens */
  int64_t n_drafted;   /* tokens that were computed on trial, */
  int64_t n_right;     /* and so many of them were right */
  double mask_seconds; /* that the masks of the constraint took */
} gale_generation_result;

#define gale_generation_get_result(generation, result)                                                                 \
  gale_generation_get_result_sized(generation, result, sizeof *(result))
GALE_API void gale_generation_get_result_sized(const gale_generation *generation, gale_generation_result *result,
                                               size_t size);

/* Called with each piece; returning false stops. */
typedef bool (*gale_piece_fn)(void *user, const gale_piece *piece);

/* Generates until the answer ends, from the last row of logits that the sequence has. All tokens but the last are in
 * the sequence afterwards. Where the session's pages run out the answer ends with GALE_FINISH_CONTEXT. piece must leave
 * the session alone, and may be NULL; when it returns false the answer is cancelled and no more pieces are given. */
GALE_API gale_status gale_generate(gale_generation *generation, gale_session *session, int32_t sequence,
                                   gale_piece_fn piece, void *user, gale_error *error);

#ifdef __cplusplus
}
#endif
#endif
