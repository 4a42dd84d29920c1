#include "load/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/pretokenize.h"

/* Files larger than this hold no vocabulary: the largest known are below 40 MB. */
#define LARGEST_TOKENIZER_FILE (UINT64_C(1) << 28)

enum { MOST_ENDS = 16 };

static gale_status bad_setting(const checkpoint *c, const char *key, const char *accepted, gale_error *error) {
  const setting *s = checkpoint_setting(c, key);
  return error_set(error, GALE_E_FORMAT, "%s: %s (byte %llu): %s", c->config_path, key,
                   (unsigned long long)(s ? s->offset : 0), accepted);
}

/* A setting that may be missing (then *value stays) but must be of its type. */
static gale_status read_flag(const checkpoint *c, const char *key, bool *value, gale_error *error) {
  const setting *s = checkpoint_setting(c, key);
  if (!s || s->type == SETTING_NULL) return GALE_OK;
  if (s->type != SETTING_BOOL) return bad_setting(c, key, "true or false is accepted", error);
  *value = s->boolean;
  return GALE_OK;
}

static gale_status read_text(const checkpoint *c, const char *key, const char **value, gale_error *error) {
  const setting *s = checkpoint_setting(c, key);
  if (!s || s->type == SETTING_NULL) return GALE_OK;
  if (s->type != SETTING_STRING || memchr(s->string.bytes, 0, s->string.length))
    return bad_setting(c, key, "a string without NUL is accepted", error);
  *value = s->string.bytes;
  return GALE_OK;
}

static gale_status read_id(const checkpoint *c, const char *key, size_t n_tokens, int32_t *value, gale_error *error) {
  const setting *s = checkpoint_setting(c, key);
  if (!s || s->type == SETTING_NULL) return GALE_OK;
  if (s->type != SETTING_INT || s->integer < 0 || (uint64_t)s->integer >= n_tokens)
    return bad_setting(c, key, "the id of a token of the vocabulary is accepted", error);
  *value = (int32_t)s->integer;
  return GALE_OK;
}

/* ---- GGUF ---- */

/* An array of n settings of one type, or NULL with *status set; n 0: any number but none. */
static const setting *read_array(const checkpoint *c, const char *key, setting_type type, size_t n, gale_status *status,
                                 gale_error *error) {
  const setting *s = checkpoint_setting(c, key);
  *status = GALE_OK;
  if (!s) return NULL;
  bool fits = s->type == SETTING_ARRAY && s->array.length > 0 && (n == 0 || s->array.length == n);
  for (size_t i = 0; fits && i < s->array.length; i++) fits = s->array.items[i].type == type;
  if (fits) return s;
  *status = bad_setting(c, key,
                        n ? "an array of its type, as long as tokenizer.ggml.tokens, is accepted"
                          : "an array of strings is accepted",
                        error);
  return NULL;
}

static gale_status strings_of(arena *memory, const checkpoint *c, const char *key, const setting *list,
                              const char *const **texts, const uint32_t **lengths, gale_error *error) {
  size_t n = list->array.length;
  const char **t = arena_array(memory, n, sizeof *t);
  uint32_t *l = arena_array(memory, n, sizeof *l);
  if (!t || !l) return error_memory(error, n * sizeof *t);
  for (size_t i = 0; i < n; i++) {
    if (list->array.items[i].string.length > UINT32_MAX / 4)
      return bad_setting(c, key, "a string is too long for a token", error);
    t[i] = list->array.items[i].string.bytes;
    l[i] = (uint32_t)list->array.items[i].string.length;
  }
  *texts = t;
  *lengths = l;
  return GALE_OK;
}

static gale_status gguf_tokens(arena *memory, const checkpoint *c, vocabulary *v, gale_error *error) {
  static const char TOKENS[] = "tokenizer.ggml.tokens", TYPES[] = "tokenizer.ggml.token_type";
  gale_status status;
  const setting *list = read_array(c, TOKENS, SETTING_STRING, 0, &status, error);
  if (!list) return status ? status : bad_setting(c, TOKENS, "missing; an array of strings is expected", error);
  v->n_tokens = list->array.length;
  status = strings_of(memory, c, TOKENS, list, &v->tokens, &v->lengths, error);
  if (status) return status;
  list = read_array(c, TYPES, SETTING_INT, v->n_tokens, &status, error);
  if (!list) return status;
  uint8_t *types = arena_alloc(memory, v->n_tokens);
  if (!types) return error_memory(error, v->n_tokens);
  for (size_t i = 0; i < v->n_tokens; i++) {
    int64_t type = list->array.items[i].integer;
    if (type < TOKEN_NORMAL || type > TOKEN_BYTE) return bad_setting(c, TYPES, "types 1 to 6 are accepted", error);
    types[i] = (uint8_t)type;
  }
  v->types = types;
  return GALE_OK;
}

static gale_status gguf_scores(arena *memory, const checkpoint *c, vocabulary *v, gale_error *error) {
  gale_status status;
  const setting *list = read_array(c, "tokenizer.ggml.scores", SETTING_FLOAT, v->n_tokens, &status, error);
  if (!list) return status;
  float *scores = arena_array(memory, v->n_tokens, sizeof *scores);
  if (!scores) return error_memory(error, v->n_tokens * sizeof *scores);
  for (size_t i = 0; i < v->n_tokens; i++) scores[i] = (float)list->array.items[i].number;
  v->scores = scores;
  return GALE_OK;
}

static gale_status gguf_merges(arena *memory, const checkpoint *c, vocabulary *v, gale_error *error) {
  static const char MERGES[] = "tokenizer.ggml.merges";
  gale_status status;
  const setting *list = read_array(c, MERGES, SETTING_STRING, 0, &status, error);
  if (!list) return status ? status : bad_setting(c, MERGES, "missing; an array of strings is expected", error);
  v->n_merges = list->array.length;
  return strings_of(memory, c, MERGES, list, &v->merges, &v->merge_lengths, error);
}

static gale_status gguf_kind(arena *memory, const checkpoint *c, const char *model, vocabulary *v, gale_error *error) {
  if (strcmp(model, "llama") == 0) {
    v->kind = VOCABULARY_SENTENCEPIECE;
    v->add_bos = v->add_space_prefix = true;
    return gguf_scores(memory, c, v, error);
  }
  if (strcmp(model, "gpt2") != 0)
    return error_set(error, GALE_E_UNSUPPORTED, "%s: tokenizer.ggml.model is \"%.32s\"; llama and gpt2 are accepted",
                     c->config_path, model);
  v->kind = VOCABULARY_BPE;
  gale_status status = read_text(c, "tokenizer.ggml.pre", &v->pre, error);
  const pretokenizer *pre = v->pre ? pretokenizer_find(v->pre) : NULL;
  v->add_bos = pre && pre->add_bos;
  return status ? status : gguf_merges(memory, c, v, error);
}

/* What Mistral's own tokenizer files say of prompts, where gale has written the file. */
static gale_status gguf_prompts(arena *memory, const checkpoint *c, vocabulary *v, gale_error *error) {
  static const int VERSIONS[] = {1, 2, 3, 7, 11, 13, 15};
  gale_status status;
  const setting *version = checkpoint_setting(c, VOCABULARY_VERSION);
  for (size_t i = 0; version && version->type == SETTING_INT && i < sizeof VERSIONS / sizeof *VERSIONS; i++)
    if (version->integer == VERSIONS[i]) v->version = VERSIONS[i];
  if (version && !v->version) return bad_setting(c, VOCABULARY_VERSION, "1, 2, 3, 7, 11, 13 or 15 is accepted", error);
  const setting *schema = checkpoint_setting(c, VOCABULARY_SCHEMA);
  const setting *list = read_array(c, VOCABULARY_EFFORTS, SETTING_STRING, 0, &status, error);
  if (status || !schema) return status;
  size_t n = list ? list->array.length : 0;
  model_settings *settings = arena_alloc(memory, sizeof *settings);
  const char **efforts = arena_array(memory, n, sizeof *efforts);
  if (!settings || !efforts) return error_memory(error, n * sizeof *efforts);
  for (size_t i = 0; i < n; i++) {
    if (memchr(list->array.items[i].string.bytes, 0, list->array.items[i].string.length))
      return bad_setting(c, VOCABULARY_EFFORTS, "strings without NUL are accepted", error);
    efforts[i] = list->array.items[i].string.bytes;
  }
  *settings = (model_settings){.efforts = efforts, .n_efforts = n};
  v->settings = settings;
  status = read_flag(c, VOCABULARY_SCHEMA, &settings->schema, error);
  return status ? status : read_text(c, VOCABULARY_EFFORT, &settings->default_effort, error);
}

static gale_status gguf_marks(const checkpoint *c, vocabulary *v, int32_t ends[2], gale_error *error) {
  size_t n = v->n_tokens;
  ends[0] = ends[1] = -1;
  gale_status status = read_id(c, "tokenizer.ggml.bos_token_id", n, &v->bos, error);
  if (!status) status = read_id(c, "tokenizer.ggml.eos_token_id", n, &v->eos, error);
  if (!status) status = read_id(c, "tokenizer.ggml.unknown_token_id", n, &v->unk, error);
  if (!status) status = read_id(c, "tokenizer.ggml.eot_token_id", n, &ends[0], error);
  if (!status) status = read_id(c, "tokenizer.ggml.eom_token_id", n, &ends[1], error);
  if (!status) status = read_flag(c, "tokenizer.ggml.add_bos_token", &v->add_bos, error);
  if (!status) status = read_flag(c, "tokenizer.ggml.add_space_prefix", &v->add_space_prefix, error);
  if (!status) status = read_text(c, "tokenizer.chat_template", &v->chat_template, error);
  v->ends = ends;
  v->n_ends = 2;
  return status;
}

static gale_status load_gguf(const checkpoint *c, gale_tokenizer **tokenizer, gale_error *error) {
  const char *model = NULL;
  gale_status status = read_text(c, "tokenizer.ggml.model", &model, error);
  if (status || !model || strcmp(model, "none") == 0 || strcmp(model, "no_vocab") == 0) return status;
  arena memory = {0};
  int32_t ends[2];
  vocabulary v = {.source = c->config_path, .bos = -1, .eos = -1, .unk = -1};
  status = gguf_tokens(&memory, c, &v, error);
  if (!status) status = gguf_kind(&memory, c, model, &v, error);
  if (!status) status = gguf_marks(c, &v, ends, error);
  if (!status) status = gguf_prompts(&memory, c, &v, error);
  if (!status) status = tokenizer_create(&v, tokenizer, error);
  arena_free(&memory);
  return status;
}

/* ---- Tokenizer files ---- */

static gale_status read_bytes(const char *path, const char *data, size_t n, const tokenizer_hints *hints,
                              vocabulary_fn use, void *user, gale_error *error) {
  size_t first = 0;
  while (first < n && strchr(" \t\r\n", data[first]) && data[first]) first++;
  bool json = first < n && data[first] == '{';
  return json ? vocabulary_from_json(path, data, n, hints, use, user, error)
              : vocabulary_from_sentencepiece(path, data, n, hints, use, user, error);
}

static gale_status read_file(const char *path, const tokenizer_hints *hints, vocabulary_fn use, void *user,
                             gale_error *error) {
  char *data;
  size_t n;
  gale_status status = file_load(path, LARGEST_TOKENIZER_FILE, &data, &n, error);
  if (status) return status;
  status = read_bytes(path, data, n, hints, use, user, error);
  free(data);
  return status;
}

/* A token that tokenizer_config.json names: a string, or an object that holds it. */
static gale_status read_named(const checkpoint *c, const char *key, const char *object_key, const char **text,
                              gale_error *error) {
  gale_status status = read_text(c, key, text, error);
  return status || *text ? status : read_text(c, object_key, text, error);
}

static void add_end(const setting *s, int32_t *ends, size_t *n) {
  if (s->type != SETTING_INT || *n == MOST_ENDS) return;
  ends[(*n)++] = s->integer >= 0 && s->integer <= INT32_MAX ? (int32_t)s->integer : INT32_MAX;
}

/* Ids that end an answer: a number or an array, in generation_config.json, else in config.json. */
static void read_ends(const checkpoint *c, int32_t *ends, size_t *n) {
  const setting *s = checkpoint_setting(c, "generation_config.eos_token_id");
  if (!s) s = checkpoint_setting(c, "eos_token_id");
  if (!s) return;
  add_end(s, ends, n);
  for (size_t i = 0; s->type == SETTING_ARRAY && i < s->array.length; i++) add_end(&s->array.items[i], ends, n);
}

gale_status vocabulary_read(const checkpoint *c, vocabulary_fn use, void *user, gale_error *error) {
  int32_t ends[MOST_ENDS];
  bool add_bos = false;
  tokenizer_hints hints = {.ends = ends};
  gale_status status =
      read_named(c, "tokenizer_config.bos_token", "tokenizer_config.bos_token.content", &hints.bos, error);
  if (!status)
    status = read_named(c, "tokenizer_config.eos_token", "tokenizer_config.eos_token.content", &hints.eos, error);
  if (!status) status = read_text(c, "tokenizer_config.chat_template", &hints.chat_template, error);
  if (!status) status = read_flag(c, "tokenizer_config.add_bos_token", &add_bos, error);
  if (status) return status;
  const setting *said = checkpoint_setting(c, "tokenizer_config.add_bos_token");
  if (said && said->type == SETTING_BOOL) hints.add_bos = &add_bos;
  read_ends(c, ends, &hints.n_ends);
  return read_file(c->tokenizer_path, &hints, use, user, error);
}

gale_status vocabulary_load(const checkpoint *c, gale_tokenizer **tokenizer, gale_error *error) {
  *tokenizer = NULL;
  if (c->kind == CHECKPOINT_GGUF) return load_gguf(c, tokenizer, error);
  if (!c->tokenizer_path) return GALE_OK;
  return vocabulary_read(c, vocabulary_create, tokenizer, error);
}

/* ---- gale.h ---- */

/* The tokenizer file of a directory that is no checkpoint, or NULL; the caller frees it. */
static char *find_file(const char *directory) {
  static const char *const NAMES[] = {"tekken.json",        "tokenizer.json",     "tokenizer.model",
                                      "tokenizer.model.v7", "tokenizer.model.v3", "tokenizer.model.v2",
                                      "tokenizer.model.v1"};
  for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
    char *path = path_join(directory, NAMES[i]);
    if (path && path_is_file(path)) return path;
    free(path);
  }
  return NULL;
}

static gale_status take_tokenizer(checkpoint *c, const char *path, gale_tokenizer **tokenizer, gale_error *error) {
  gale_tokenizer *loaded = NULL;
  gale_status status = vocabulary_load(c, &loaded, error);
  if (!status && loaded)
    *tokenizer = loaded;
  else if (!status)
    status = error_set(error, GALE_E_UNSUPPORTED, "%s: no tokenizer that can be read", path);
  checkpoint_close(&c);
  return status;
}

static gale_status open_checkpoint(const char *path, gale_tokenizer **tokenizer, gale_error *error) {
  checkpoint *c;
  gale_status status = checkpoint_open(path, &c, error);
  return status ? status : take_tokenizer(c, path, tokenizer, error);
}

/* Without its weights or configuration a directory still has its tokenizer. */
static gale_status open_directory(const char *path, gale_tokenizer **tokenizer, gale_error *error) {
  gale_status status = open_checkpoint(path, tokenizer, error);
  char *found = status ? find_file(path) : NULL;
  if (!found) return status;
  const char *name = strrchr(found, '/') + 1;
  if (strcmp(name, "tokenizer.json") == 0 || strcmp(name, "tokenizer.model") == 0) {
    checkpoint *c;
    status = checkpoint_open_tokenizer(path, &c, error);
    if (!status) status = take_tokenizer(c, path, tokenizer, error);
  } else {
    status = read_file(found, NULL, vocabulary_create, tokenizer, error);
  }
  free(found);
  return status;
}

gale_status gale_tokenizer_open(const char *path, gale_tokenizer **tokenizer, gale_error *error) {
  if (path_is_directory(path)) return open_directory(path, tokenizer, error);
  if (strncmp(path, "shape:", 6) == 0) return open_checkpoint(path, tokenizer, error);
  file f;
  char magic[4] = "";
  gale_status status = file_open(&f, path, error);
  if (status) return status;
  if (f.size >= sizeof magic) status = file_read(&f, 0, magic, sizeof magic, error);
  file_close(&f);
  if (status) return status;
  if (memcmp(magic, "GGUF", sizeof magic) == 0) return open_checkpoint(path, tokenizer, error);
  return read_file(path, NULL, vocabulary_create, tokenizer, error);
}
