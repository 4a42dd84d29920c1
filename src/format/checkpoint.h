/* A checkpoint: what every model file format is read into - named tensors, settings, and where the
 * tokenizer is. Nothing here knows what the tensors mean. */
#ifndef FORMAT_CHECKPOINT_H
#define FORMAT_CHECKPOINT_H

#include "base/arena.h"
#include "base/error.h"
#include "base/file.h"
#include "quant/quant.h"

typedef enum checkpoint_kind {
  CHECKPOINT_GGUF,    /* GGUF names and keys */
  CHECKPOINT_HF,      /* Hugging Face: config.json, *.safetensors */
  CHECKPOINT_MISTRAL, /* params.json, consolidated*.safetensors */
} checkpoint_kind;

typedef enum setting_type {
  SETTING_NULL,
  SETTING_BOOL,
  SETTING_INT,   /* any integer of the file that fits int64_t */
  SETTING_FLOAT, /* finite */
  SETTING_STRING,
  SETTING_ARRAY,
} setting_type;

/* One value. key is a GGUF key, or the path of a JSON value joined by dots ("rope_scaling.factor").
 * Array elements are settings without a key, all of one type in GGUF files. A JSON array that holds
 * arrays or objects is left out whole; a GGUF array of arrays is an error. In a Hugging Face directory
 * the values of generation_config.json and tokenizer_config.json are there too, under
 * "generation_config." and "tokenizer_config.", and those of added_tokens.json under "added_tokens.";
 * "tokenizer_config.chat_template" is the default one of several, or the text of chat_template.jinja. */
typedef struct setting {
  const char *key;
  setting_type type;
  uint64_t offset; /* of the value in the file; 0 for JSON */
  union {
    bool boolean;
    int64_t integer;
    double number;
    struct {
      const char *bytes; /* NUL-terminated as well; may hold NULs */
      size_t length;
    } string;
    struct {
      const struct setting *items;
      size_t length;
    } array;
  };
} setting;

/* shape is outermost first: a matrix is [rows, columns] and element (r, c) is at r * columns + c. */
typedef struct tensor {
  const char *name;
  quant_type type;
  int n_dims; /* 1..4 */
  int64_t shape[4];
  uint32_t file;   /* index into files */
  uint64_t offset; /* of the first byte, from the start of the file */
  uint64_t bytes;
  const struct fp8_scale *fp8; /* not NULL: the file holds 8-bit floats, which become `type` on reading (fp8.h) */
} tensor;

/* A tensor that no model's weights can be: of indices, masks, 8-bit floats without a scale, or of no elements. */
typedef struct foreign_tensor {
  tensor tensor;     /* its member `type` means nothing */
  const char *dtype; /* as the file names it, and what else is unusual */
} foreign_tensor;

typedef struct checkpoint checkpoint;
struct checkpoint {
  checkpoint_kind kind;
  const char *format;      /* "GGUF", "Hugging Face", "Mistral", "shape" */
  const char *path;        /* as given */
  const char *config_path; /* the file that the settings came from, for messages */
  /* The tokenizer's file in a directory (tokenizer.json, tokenizer.model*, tekken.json), or NULL. In a
   * GGUF file it is among the settings. */
  const char *tokenizer_path;

  size_t n_files;
  file *files;
  size_t n_tensors;
  tensor *tensors; /* in the files' order */
  size_t n_foreign;
  foreign_tensor *foreign;
  size_t n_settings;
  setting *settings;

  /* How many elements the arrays have memory for. 0 where a reader set an array of its own: the first one added then
   * moves it. */
  struct {
    size_t files, tensors, foreign, settings;
  } room;

  /* How tensor bytes are got: from the files, or made up. Set by the reader. */
  gale_status (*read)(const checkpoint *c, const tensor *t, uint64_t offset, void *to, uint64_t n, gale_error *error);
  const void *source; /* what read() needs besides */

  arena memory;            /* owns everything above but the open files */
  const uint32_t *by_name; /* tensor indices sorted by name */
  const uint32_t *by_key;  /* setting indices sorted by key */
  const uint32_t *by_foreign_name;
};

/* Opens a GGUF file (or the first of its shards), a Hugging Face or Mistral directory, or
 * "shape:NAME[:layers=N][@TYPE]" (as many layers as published, TYPE q4_0). Every size in the files is checked here:
 * each tensor's bytes lie inside its file and match its shape and type; names and keys are unique. */
gale_status checkpoint_open(const char *path, checkpoint **c, gale_error *error);

/* Reads of a directory in the form of Hugging Face only what concerns its tokenizer, whatever else is missing;
 * tokenizer_path is NULL if it has none. */
gale_status checkpoint_open_tokenizer(const char *directory, checkpoint **c, gale_error *error);
void checkpoint_close(checkpoint **c);

/* NULL if there is none. */
const tensor *checkpoint_tensor(const checkpoint *c, const char *name);
const setting *checkpoint_setting(const checkpoint *c, const char *key);

/* The type of a tensor that is in the files and cannot be used ("I64"), for the message of the caller that
 * looked for it in vain; NULL if there is none of that name either. */
const char *checkpoint_foreign(const checkpoint *c, const char *name);

/* Replaces the value of a key, or adds one. key_value is "KEY=VALUE" or "KEY=TYPE:VALUE", TYPE being int, float,
 * bool or str; KEY is the whole key. Without a TYPE the value gets the type of the existing one if that is a
 * number, a boolean or a string, else what it looks like: true, 7, 0.5, [1, null], null (the key counts as absent),
 * or otherwise a string. Call it before anything has looked at the settings. */
gale_status checkpoint_override(checkpoint *c, const char *key_value, gale_error *error);
/* The same for n of them, in order. */
gale_status checkpoint_override_all(checkpoint *c, const char *const *key_values, size_t n, gale_error *error);

/* Reads n bytes of a tensor's storage from byte offset on, both multiples of its type's block_bytes.
 * Thread-safe. */
gale_status checkpoint_read(const checkpoint *c, const tensor *t, uint64_t offset, void *to, uint64_t n,
                            gale_error *error);

/* ---- For the readers: one function each, called by checkpoint_open on an empty checkpoint. ---- */

gale_status gguf_read(checkpoint *c, const char *path, gale_error *error);
gale_status hf_read(checkpoint *c, const char *directory, gale_error *error);
gale_status hf_read_tokenizer(checkpoint *c, const char *directory, gale_error *error);
gale_status mistral_read(checkpoint *c, const char *directory, gale_error *error);
gale_status shape_read(checkpoint *c, const char *spec, gale_error *error);

/* ---- Writing ---- */

/* Writes c, which must have GGUF names and keys, as one GGUF v3 file: to a temporary name beside
 * path, synced and renamed when it is whole. */
gale_status gguf_write(const checkpoint *c, const char *path, gale_progress_fn progress, void *user, gale_error *error);

/* Names of the published shapes, ended by NULL. */
const char *const *shape_names(void);

#endif
