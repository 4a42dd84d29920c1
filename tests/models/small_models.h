/* Small models in each form, made at run time in the test's directory with one thing wrong or nothing. The
 * directory holds one model at a time. */
#ifndef TESTS_ENGINE_SMALL_MODELS_H
#define TESTS_ENGINE_SMALL_MODELS_H

#include "format/files.h"

#include <jansson.h>

#include "gale.h"

static const char small_tokenizer_json[] =
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"special\":true}],"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},"
    "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"c\":3},"
    "\"merges\":[\"a b\"]}}";

static inline void empty_directory(void) {
  DIR *d = opendir(directory);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));)
    if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
  closedir(d);
}

static inline void copy_file(const char *from, const char *name) {
  char path[512];
  struct stat st;
  snprintf(path, sizeof path, TEST_DATA "/models/%s", from);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  assert_int_equal(fstat(fileno(f), &st), 0);
  char *bytes = malloc((size_t)st.st_size);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, (size_t)st.st_size, f), st.st_size);
  fclose(f);
  write_bytes(name, bytes, (size_t)st.st_size);
  free(bytes);
}

/* Writes the JSON file `from` as `name` with a key set to a value, which is JSON too; "absent": without the key. */
static inline void copy_json(const char *from, const char *name, const char *key, const char *value) {
  char path[512];
  snprintf(path, sizeof path, TEST_DATA "/models/%s", from);
  json_t *root = json_load_file(path, 0, NULL);
  assert_non_null(root);
  if (key && strcmp(value, "absent") == 0) {
    json_object_del(root, key);
  } else if (key) {
    json_t *parsed = json_loads(value, JSON_DECODE_ANY, NULL);
    assert_non_null(parsed);
    json_object_set_new(root, key, parsed);
  }
  assert_int_equal(json_dump_file(root, at(name), 0), 0);
  json_decref(root);
}

/* A Hugging Face directory: dim 32, 2 layers, 4 heads, 2 key/value heads, vocabulary 64. Returns its path, as the
 * others do. key NULL: nothing is changed in config.json. */
static inline const char *make_hf(const char *key, const char *value) {
  empty_directory();
  copy_file("mistral-window-8/model.safetensors", "model.safetensors");
  copy_json("mistral-window-8/config.json", "config.json", key, value);
  write_text("tokenizer.json", small_tokenizer_json);
  return directory;
}

/* The same in three shards. */
static inline const char *make_hf_shards(void) {
  static const char *const files[] = {"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                      "model-00003-of-00003.safetensors", "model.safetensors.index.json"};
  char from[128];
  empty_directory();
  for (int i = 0; i < 4; i++) {
    snprintf(from, sizeof from, "llama-sharded/%s", files[i]);
    copy_file(from, files[i]);
  }
  copy_json("llama-sharded/config.json", "config.json", NULL, NULL);
  write_text("tokenizer.json", small_tokenizer_json);
  return directory;
}

static inline void put_field(char *bytes, size_t *n, int number, const void *value, size_t length) {
  bytes[(*n)++] = (char)(number << 3 | 2);
  bytes[(*n)++] = (char)length;
  memcpy(bytes + *n, value, length);
  *n += length;
}

/* A SentencePiece model: <unk>, <s>, </s> and a few pieces with score -1. */
static inline void write_sentencepiece(const char *name) {
  static const char *const pieces[] = {"<unk>", "<s>", "</s>", "\xE2\x96\x81", "a", "b", "ab"};
  static const char types[] = {2, 3, 3, 1, 1, 1, 1};
  char bytes[512];
  size_t n = 0;
  for (int i = 0; i < 7; i++) {
    char piece[64];
    size_t m = 0;
    float score = (float)-i;
    put_field(piece, &m, 1, pieces[i], strlen(pieces[i]));
    piece[m++] = 2 << 3 | 5;
    memcpy(piece + m, &score, 4);
    m += 4;
    piece[m++] = 3 << 3;
    piece[m++] = types[i];
    put_field(bytes, &n, 1, piece, m);
  }
  put_field(bytes, &n, 2, "\x18\x02", 2);                  /* trainer_spec: model_type BPE */
  put_field(bytes, &n, 3, "\x0A\x08identity\x20\x00", 12); /* normalizer_spec: name, remove_extra_whitespaces */
  write_bytes(name, bytes, n);
}

/* Mistral's own form, of the same sizes. */
static inline const char *make_mistral(const char *key, const char *value) {
  empty_directory();
  copy_file("native-window-8/consolidated.safetensors", "consolidated.safetensors");
  copy_json("native-window-8/params.json", "params.json", key, value);
  write_sentencepiece("tokenizer.model.v3");
  return directory;
}

static inline void write_gguf(const checkpoint *c, const char *name) {
  gale_error error = {0};
  if (gguf_write(c, at(name), NULL, NULL, &error)) fail_msg("%s", error.message);
}

static inline void override(checkpoint *c, const char *key_value) {
  gale_error error = {0};
  if (checkpoint_override(c, key_value, &error)) fail_msg("%s", error.message);
}

static inline setting *setting_at(checkpoint *c, const char *key) {
  const setting *s = checkpoint_setting(c, key);
  assert_non_null(s);
  return &c->settings[s - c->settings];
}

/* A GGUF file: dim 64, 2 layers, 4 heads, 2 key/value heads, vocabulary 320. key_value NULL: nothing is changed. */
static inline const char *make_gguf(const char *key_value) {
  empty_directory();
  checkpoint *c = open_good("shape:tiny@f32");
  if (key_value) override(c, key_value);
  write_gguf(c, "model.gguf");
  checkpoint_close(&c);
  return at("model.gguf");
}

/* Replaces all of one text by another of its length. */
static inline void patch_file(const char *path, const char *old, const char *fresh) {
  struct stat st;
  FILE *f = fopen(path, "r+b");
  assert_non_null(f);
  assert_int_equal(fstat(fileno(f), &st), 0);
  char *bytes = malloc((size_t)st.st_size);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, (size_t)st.st_size, f), st.st_size);
  for (char *p = bytes; (p = memmem(p, (size_t)(bytes + st.st_size - p), old, strlen(old)));)
    memcpy(p, fresh, strlen(old));
  rewind(f);
  assert_int_equal(fwrite(bytes, 1, (size_t)st.st_size, f), st.st_size);
  fclose(f);
  free(bytes);
}

/* The same in two shards. The writer leaves the keys about shards out, so they are written under another name. */
static inline const char *make_gguf_shards(void) {
  empty_directory();
  for (int shard = 0; shard < 2; shard++) {
    checkpoint *c = open_good("shape:tiny@f32");
    char text[64];
    size_t all = c->n_tensors, half = all / 2;
    snprintf(text, sizeof text, "shard.no=%d", shard);
    override(c, text);
    override(c, "shard.count=2");
    snprintf(text, sizeof text, "shard.tensors.count=%zu", all);
    override(c, text);
    if (shard == 1) c->tensors += half;
    c->n_tensors = shard == 0 ? half : all - half;
    snprintf(text, sizeof text, "model-0000%d-of-00002.gguf", shard + 1);
    write_gguf(c, text);
    checkpoint_close(&c);
    patch_file(at(text), "shard.", "split.");
  }
  return at("model-00001-of-00002.gguf");
}

#endif
