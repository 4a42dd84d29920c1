#include "load/vocabulary.h"

#include "base/sized.h"

#include <stdio.h>
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

/* Rows of the embedding, or 0 where the checkpoint has none. */
static size_t embedding_rows(const checkpoint *c) {
  static const char *const NAMES[] = {"token_embd.weight", "tok_embeddings.weight", "embed_tokens.weight"};
  for (size_t i = 0; i < c->n_tensors; i++) {
    const tensor *t = &c->tensors[i];
    size_t n = strlen(t->name);
    for (size_t k = 0; k < sizeof NAMES / sizeof *NAMES; k++) {
      size_t m = strlen(NAMES[k]);
      bool whole = n == m || (n > m && t->name[n - m - 1] == '.');
      if (whole && strcmp(t->name + n - m, NAMES[k]) == 0 && t->n_dims == 2) return (size_t)t->shape[0];
    }
  }
  return 0;
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

/* Tokens that end an answer beside EOS: one for turns, one for messages, and a list. */
static gale_status gguf_ends(arena *memory, const checkpoint *c, vocabulary *v, gale_error *error) {
  static const char LIST[] = "tokenizer.ggml.eos_token_ids",
                    ACCEPTED[] = "ids of tokens of the vocabulary are accepted";
  const setting *list = checkpoint_setting(c, LIST);
  if (list && list->type == SETTING_NULL) list = NULL;
  if (list && list->type != SETTING_ARRAY) return bad_setting(c, LIST, ACCEPTED, error);
  size_t n = list ? list->array.length : 0;
  int32_t *ends = arena_array(memory, n + 2, sizeof *ends);
  if (!ends) return error_memory(error, n * sizeof *ends);
  for (size_t i = 0; i < n; i++) {
    const setting *id = &list->array.items[i];
    if (id->type != SETTING_INT || id->integer < 0 || (uint64_t)id->integer >= v->n_tokens)
      return bad_setting(c, LIST, ACCEPTED, error);
    ends[i] = (int32_t)id->integer;
  }
  ends[n] = ends[n + 1] = -1;
  v->ends = ends;
  v->n_ends = n + 2;
  gale_status status = read_id(c, "tokenizer.ggml.eot_token_id", v->n_tokens, &ends[n], error);
  return status ? status : read_id(c, "tokenizer.ggml.eom_token_id", v->n_tokens, &ends[n + 1], error);
}

static gale_status gguf_controls(arena *memory, const checkpoint *c, vocabulary *v, gale_error *error) {
  size_t n = v->n_tokens;
  gale_status status = read_id(c, "tokenizer.ggml.bos_token_id", n, &v->bos, error);
  if (!status) status = read_id(c, "tokenizer.ggml.eos_token_id", n, &v->eos, error);
  if (!status) status = read_id(c, "tokenizer.ggml.unknown_token_id", n, &v->unk, error);
  if (!status) status = gguf_ends(memory, c, v, error);
  if (!status) status = read_flag(c, "tokenizer.ggml.add_bos_token", &v->add_bos, error);
  if (!status) status = read_flag(c, "tokenizer.ggml.add_space_prefix", &v->add_space_prefix, error);
  if (!status) status = read_text(c, "tokenizer.chat_template", &v->chat_template, error);
  return status;
}

static gale_status load_gguf(const checkpoint *c, gale_tokenizer **tokenizer, gale_error *error) {
  const char *model = NULL;
  gale_status status = read_text(c, "tokenizer.ggml.model", &model, error);
  if (status || !model || strcmp(model, "none") == 0 || strcmp(model, "no_vocab") == 0) return status;
  arena memory = {0};
  vocabulary v = {.source = c->config_path,
                  .n_rows = embedding_rows(c),
                  .template_by_controls = true,
                  .bos = -1,
                  .eos = -1,
                  .unk = -1};
  status = gguf_tokens(&memory, c, &v, error);
  if (!status) status = gguf_kind(&memory, c, model, &v, error);
  if (!status) status = gguf_controls(&memory, c, &v, error);
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
  if (!s || s->type == SETTING_NULL) s = checkpoint_setting(c, "eos_token_id");
  if (!s) return;
  add_end(s, ends, n);
  for (size_t i = 0; s->type == SETTING_ARRAY && i < s->array.length; i++) add_end(&s->array.items[i], ends, n);
}

/* ---- Tokens that are added to a SentencePiece model ---- */

#define ADDED_TOKENS "added_tokens."
#define ADDED_DECODER "tokenizer_config.added_tokens_decoder."

/* What stands behind a prefix, or NULL. */
static const char *behind(const char *text, const char *prefix) {
  size_t n = strlen(prefix);
  return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* Notes in special[] which entries of added_tokens.json have this text. */
static void note_special(const checkpoint *c, const setting *text, bool *special) {
  char key[256];
  int n = text->type == SETTING_STRING ? snprintf(key, sizeof key, ADDED_TOKENS "%s", text->string.bytes) : -1;
  const setting *entry = n > 0 && n < (int)sizeof key ? checkpoint_setting(c, key) : NULL;
  if (entry) special[entry - c->settings] = true;
}

/* The special tokens that tokenizer_config.json names: BOS and the like, as strings or objects, and a list of others.
 */
static void find_special(const checkpoint *c, bool *special) {
  for (size_t i = 0; i < c->n_settings; i++) {
    const setting *s = &c->settings[i];
    const char *name = behind(s->key, "tokenizer_config.");
    if (!name) continue;
    size_t n = strcspn(name, ".");
    bool named = n > 6 && memcmp(name + n - 6, "_token", 6) == 0 && (!name[n] || strcmp(name + n, ".content") == 0);
    if (named) note_special(c, s, special);
    if (strcmp(name, "additional_special_tokens") != 0 || s->type != SETTING_ARRAY) continue;
    for (size_t k = 0; k < s->array.length; k++) note_special(c, &s->array.items[k], special);
  }
}

/* tokenizer_config.json: {"added_tokens_decoder": {ID: {"content": TEXT, "special": ...}}}. */
static gale_status read_decoder_entry(const checkpoint *c, const setting *s, added_token *to, gale_error *error) {
  char id[24], key[96];
  const char *number = behind(s->key, ADDED_DECODER);
  size_t n = strcspn(number, ".");
  if (n == 0 || n > 10 || strspn(number, "0123456789") != n)
    return bad_setting(c, s->key, "the id of a token is accepted as its key", error);
  memcpy(id, number, n);
  id[n] = 0;
  bool special = false;
  snprintf(key, sizeof key, ADDED_DECODER "%s.special", id);
  gale_status status = read_flag(c, key, &special, error);
  *to = (added_token){s->string.bytes, s->string.length, strtoll(id, NULL, 10), special};
  return status;
}

/* Both lists of added tokens: that one, and added_tokens.json, {TEXT: ID}. */
static gale_status read_added(arena *memory, const checkpoint *c, tokenizer_hints *hints, gale_error *error) {
  added_token *list = arena_array(memory, c->n_settings, sizeof *list);
  bool *special = arena_array(memory, c->n_settings, sizeof *special);
  if (!list || !special) return error_memory(error, c->n_settings * sizeof *list);
  hints->added = list;
  find_special(c, special);
  gale_status status = GALE_OK;
  for (size_t i = 0; i < c->n_settings && !status; i++) {
    const setting *s = &c->settings[i];
    const char *text = behind(s->key, ADDED_TOKENS), *field = behind(s->key, ADDED_DECODER);
    if (text) {
      if (s->type != SETTING_INT) return bad_setting(c, s->key, "the id of a token is accepted", error);
      list[hints->n_added++] = (added_token){text, strlen(text), s->integer, special[i]};
    } else if (field && strcmp(field + strcspn(field, "."), ".content") == 0) {
      if (s->type != SETTING_STRING) return bad_setting(c, s->key, "a string is accepted", error);
      status = read_decoder_entry(c, s, &list[hints->n_added++], error);
    }
  }
  return status;
}

gale_status vocabulary_read(const checkpoint *c, vocabulary_fn use, void *user, gale_error *error) {
  int32_t ends[MOST_ENDS];
  bool add_bos = false;
  arena memory = {0};
  tokenizer_hints hints = {.ends = ends, .n_rows = embedding_rows(c)};
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
  status = read_added(&memory, c, &hints, error);
  if (!status) status = read_file(c->tokenizer_path, &hints, use, user, error);
  arena_free(&memory);
  return status;
}

gale_status vocabulary_load(const checkpoint *c, gale_tokenizer **tokenizer, gale_error *error) {
  *tokenizer = NULL;
  if (c->kind == CHECKPOINT_GGUF) return load_gguf(c, tokenizer, error);
  if (!c->tokenizer_path) return GALE_OK;
  return vocabulary_read(c, vocabulary_create, tokenizer, error);
}

/* ---- gale.h ---- */

static gale_status take_tokenizer(checkpoint *c, const char *path, const gale_tokenizer_options *options,
                                  gale_tokenizer **tokenizer, gale_error *error) {
  gale_tokenizer *loaded = NULL;
  gale_status status = checkpoint_override_all(c, options->overrides, options->n_overrides, error);
  if (!status) status = vocabulary_load(c, &loaded, error);
  if (!status && loaded)
    *tokenizer = loaded;
  else if (!status)
    status = error_set(error, GALE_E_UNSUPPORTED, "%s: no tokenizer that can be read", path);
  checkpoint_close(&c);
  return status;
}

static gale_status open_checkpoint(const char *path, const gale_tokenizer_options *options, gale_tokenizer **tokenizer,
                                   gale_error *error) {
  checkpoint *c;
  gale_status status = checkpoint_open(path, &c, error);
  return status ? status : take_tokenizer(c, path, options, tokenizer, error);
}

/* Without its weights or configuration a directory still has its tokenizer. */
static gale_status open_directory(const char *path, const gale_tokenizer_options *options, gale_tokenizer **tokenizer,
                                  gale_error *error) {
  gale_status status = open_checkpoint(path, options, tokenizer, error);
  checkpoint *c;
  gale_error other;
  if (!status || checkpoint_open_tokenizer(path, &c, &other)) return status;
  if (c->tokenizer_path) return take_tokenizer(c, path, options, tokenizer, error);
  checkpoint_close(&c);
  return status;
}

void gale_tokenizer_defaults_sized(gale_tokenizer_options *options, size_t size) {
  const gale_tokenizer_options defaults = {0};
  sized_write(options, size, &defaults, sizeof defaults);
}

gale_status gale_tokenizer_open_with(const char *path, const gale_tokenizer_options *options,
                                     gale_tokenizer **tokenizer, gale_error *error) {
  gale_tokenizer_options o = {0};
  gale_status status = options ? sized_read(&o, sizeof o, options, "gale_tokenizer_options", error) : GALE_OK;
  if (status) return status;
  if (path_is_directory(path)) return open_directory(path, &o, tokenizer, error);
  if (strncmp(path, "shape:", 6) == 0) return open_checkpoint(path, &o, tokenizer, error);
  file f;
  char magic[4] = "";
  status = file_open(&f, path, error);
  if (status) return status;
  if (f.size >= sizeof magic) status = file_read(&f, 0, magic, sizeof magic, error);
  file_close(&f);
  if (status) return status;
  if (memcmp(magic, "GGUF", sizeof magic) == 0) return open_checkpoint(path, &o, tokenizer, error);
  if (o.n_overrides)
    return error_set(error, GALE_E_ARGUMENT,
                     "%s: override \"%.120s\": a tokenizer's file alone has no metadata; a "
                     "model's is accepted",
                     path, o.overrides[0]);
  return read_file(path, NULL, vocabulary_create, tokenizer, error);
}

gale_status gale_tokenizer_open(const char *path, gale_tokenizer **tokenizer, gale_error *error) {
  return gale_tokenizer_open_with(path, NULL, tokenizer, error);
}
