/* gale_tools.h - what goes beyond inference: figures of caches and machines, writing model files, and the packed
 * weights that are kept for the next start. The rules of gale.h hold here too. */
#ifndef GALE_TOOLS_H
#define GALE_TOOLS_H

#include "gale.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Key/value cache figures ----------------------------------------------------------------- */

/* Bytes that n_positions positions of one sequence take in all layers together, by arithmetic alone.
 * window: GALE_WINDOW_NATIVE, GALE_WINDOW_NONE or a number of positions for every layer. gqa false:
 * as if each query head had its own key/value head. 32 layers x 8 heads x 128 x 2 x 2 bytes x 8192
 * positions = 1 GiB for Mistral 7B in f16. */
GALE_API uint64_t gale_kv_bytes(const gale_model *model, gale_kv_type type, int64_t n_positions, int32_t window,
                                bool gqa);

/* ---- Files -------------------------------------------------------------------------------- */

/* Writes synthetic weights of a published shape as a GGUF file that other engines load too. shape is
 * e.g. "mistral-7b" or "mixtral-8x7b:layers=4", with or without "shape:" in front; type e.g. "q4_0" or "q4_k_m". The
 * file appears under its name only when it is whole. */
GALE_API gale_status gale_synth(const char *shape, const char *type, const char *path, gale_progress_fn progress,
                                void *user, gale_error *error);

/* Writes the model `in`, which may be anything that gale_model_open() takes, as a GGUF file with its weights in another
 * type. type is a storage type - f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k - or a mix - q4_k_s,
 * q4_k_m, q5_k_m. Some tensors get a better type than asked for, and those whose rows do not fit its blocks a near
 * one (docs/QUANTIZATION.md). Weights that have their type already are copied. The bytes are the same for any number
 * of threads (0: one per processor). The keys of a GGUF source stay; for others they are made of the configuration and
 * the tokenizer. The file appears under its name only when it is whole, and is not a file that `in` consists of. */
GALE_API gale_status gale_quantize(const char *in, const char *out, const char *type, int threads,
                                   gale_progress_fn progress, void *user, gale_error *error);

typedef struct gale_quantize_options {
  size_t size;               /* of this struct, as the caller knows it: gale_quantize_defaults() sets it */
  int threads;               /* 0: one per processor */
  gale_progress_fn progress; /* may be NULL */
  void *progress_user;
  const char *const *overrides; /* as in gale_model_options; what they say is written */
  size_t n_overrides;
} gale_quantize_options;

#define gale_quantize_defaults(options) gale_quantize_defaults_sized(options, sizeof *(options))
GALE_API void gale_quantize_defaults_sized(gale_quantize_options *options, size_t size);

/* gale_quantize() with options (NULL: the defaults). */
GALE_API gale_status gale_quantize_with(const char *in, const char *out, const char *type,
                                        const gale_quantize_options *options, gale_error *error);

/* Names of the shapes, ended by NULL; static storage. */
GALE_API const char *const *gale_shapes(void);

/* ---- Packed weights that are kept ------------------------------------------------------------ */

/* One file of packed weights in a cache directory. */
typedef struct gale_cache_entry {
  const char *path;
  const char *source;   /* path of the model */
  const char *quantize; /* the option with which it was opened; "": as stored */
  uint64_t bytes;
  int64_t used; /* when last, in seconds since 1970 */
  bool sound;   /* false: damaged, of another version, or not of this user; source and quantize are "" */
} gale_cache_entry;

/* What a cache directory holds, last used first. *entries is allocated for the caller, who gives it to gale_free(). A
 * directory that does not exist holds nothing. */
GALE_API gale_status gale_cache_list(const char *directory, gale_cache_entry **entries, size_t *n, gale_error *error);

/* Removes the files that were not used for longest, until no more than `keep` bytes are left, and what interrupted
 * writers left. Models that use them keep them until they are closed. *removed, unless NULL, becomes the bytes of the
 * files removed. */
GALE_API gale_status gale_cache_prune(const char *directory, uint64_t keep, uint64_t *removed, gale_error *error);

/* ---- Sequences in files ---------------------------------------------------------------------- */

/* Writes an open sequence to a file: the ids that it was given [gale_sequence_length()], its part of the cache, and
 * n_text bytes of the caller's own. The file is synced, is for this user alone, and appears under its name only when it
 * is whole, in place of what was there. GALE_E_IO if it cannot be written; then what was there stays. */
GALE_API gale_status gale_sequence_save(const gale_session *session, int32_t sequence, const int32_t *ids,
                                        const char *text, size_t n_text, const char *path, gale_error *error);

/* Fills an open, empty sequence with what gale_sequence_save() wrote; it goes on as the saved one would have, to the
 * bit. *ids [gale_sequence_length()] and *text, n_text bytes and a NUL, are allocated for the caller, who gives them to
 * gale_free(). GALE_E_FORMAT for what is not such a file, damaged, or of another model, type of cache, window, or
 * version of the numerics; GALE_E_CONTEXT where context or pages do not suffice; then the sequence stays empty. */
GALE_API gale_status gale_sequence_load(gale_session *session, int32_t sequence, const char *path, int32_t **ids,
                                        char **text, size_t *n_text, gale_error *error);

/* ---- Measuring ---------------------------------------------------------------------------- */

typedef struct gale_probe gale_probe; /* one caller at a time */

typedef struct gale_probe_options {
  size_t size;     /* of this struct, as the caller knows it: gale_probe_defaults() sets it */
  const char *cpu; /* as in gale_model_options */
  int threads;     /* 0: one per processor; at most 1024 */
  double seconds;  /* about how long each of the three probes repeats its work, in [0, 60] */
  uint64_t bytes;  /* read in one pass; 0: eight times the last-level cache, at least 256 MiB */
} gale_probe_options;

#define gale_probe_defaults(options) gale_probe_defaults_sized(options, sizeof *(options))
GALE_API void gale_probe_defaults_sized(gale_probe_options *options, size_t size);

/* What the machine does, with this instruction set and all threads. */
typedef struct gale_rates {
  /* Memory that lies in large pages where the system grants them, as packed weights do, and does not fit into the
   * caches, read from end to end. */
  double read_bytes_per_second;
  /* Arithmetic in registers; a multiply-add is two operations. int8: the dot product of bytes, by the instructions
   * that the kernels use. float: fused multiply-add of 32-bit floats. */
  double int8_ops_per_second, float_ops_per_second;
} gale_rates;

typedef struct gale_limits {
  size_t size;     /* of this struct, as the caller knows it: gale_probe_run() sets it */
  const char *cpu; /* instruction set; static storage */
  int threads;
  gale_rates best;      /* of the passes, each of some milliseconds: what the machine can do at most */
  gale_rates sustained; /* their median: less where it is shared with others, or slows down under load */
} gale_limits;

/* Takes the memory and starts the threads. options NULL means the defaults. */
GALE_API gale_status gale_probe_open(const gale_probe_options *options, gale_probe **probe, gale_error *error);
GALE_API void gale_probe_close(gale_probe **probe);

/* Measures; may be called again and again, since other work on the machine lowers the figures. */
#define gale_probe_run(probe, limits) gale_probe_run_sized(probe, limits, sizeof *(limits))
GALE_API void gale_probe_run_sized(gale_probe *probe, gale_limits *limits, size_t size);

/* What a step must read and compute at least. */
typedef struct gale_cost {
  size_t size;         /* of this struct, as the caller knows it: gale_step_cost() sets it */
  double weight_bytes; /* packed matrices; of experts, those expected to be chosen by n independent tokens */
  double cache_bytes;  /* keys and values that its tokens see */
  double int8_ops;     /* products with quantised weights; a multiply-add is two operations */
  double float_ops;    /* products with float weights */
  double attention_ops;
} gale_cost;

/* The cost of a step in which each of n_sequences >= 1 sequences with length >= 0 positions gets n_tokens >= 1 tokens,
 * logits of the last one included. By arithmetic alone: the session need not have such sequences. */
#define gale_step_cost(session, n_sequences, length, n_tokens, cost)                                                   \
  gale_step_cost_sized(session, n_sequences, length, n_tokens, cost, sizeof *(cost))
GALE_API void gale_step_cost_sized(const gale_session *session, int32_t n_sequences, int32_t length, int32_t n_tokens,
                                   gale_cost *cost, size_t size);

/* For measuring only: gives an empty sequence n_positions positions without computing them. Their keys and values are
 * finite and the same everywhere; what later steps read and compute is as after as many tokens of text, but their
 * logits mean nothing. GALE_E_ARGUMENT if the sequence is not empty, GALE_E_CONTEXT if the context is too small. */
GALE_API gale_status gale_sequence_pretend(gale_session *session, int32_t sequence, int32_t n_positions,
                                           gale_error *error);

#ifdef __cplusplus
}
#endif
#endif
