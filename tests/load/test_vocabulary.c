/* Tokenizers of checkpoints: from GGUF settings, good and bad, and from a directory's files and settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "load/vocabulary.h"

enum { MOST_SETTINGS = 16, N_TOKENS = 7 };

/* A checkpoint of settings alone; keys are added in order. */
typedef struct sample {
  checkpoint c;
  setting settings[MOST_SETTINGS];
  uint32_t by_key[MOST_SETTINGS];
  setting tokens[N_TOKENS], types[N_TOKENS], scores[N_TOKENS], merges[1];
} sample;

static void add(sample *s, const char *key, setting value) {
  size_t n = s->c.n_settings++;
  value.key = key;
  value.offset = 100 + n;
  s->settings[n] = value;
  s->c.settings = s->settings;
  s->c.by_key = s->by_key;
  for (; n > 0 && strcmp(s->settings[s->by_key[n - 1]].key, key) > 0; n--) s->by_key[n] = s->by_key[n - 1];
  s->by_key[n] = (uint32_t)s->c.n_settings - 1;
}

static setting text(const char *bytes) {
  return (setting){.type = SETTING_STRING, .string = {bytes, strlen(bytes)}};
}

static setting integer(int64_t value) {
  return (setting){.type = SETTING_INT, .integer = value};
}

static setting flag(bool value) {
  return (setting){.type = SETTING_BOOL, .boolean = value};
}

static setting array(const setting *items, size_t n) {
  return (setting){.type = SETTING_ARRAY, .array = {items, n}};
}

static void make(sample *s, const char *model) {
  static const char *const TOKENS[N_TOKENS] = {"<unk>", "<s>", "</s>", "ab", "a", "b", "<end>"};
  *s = (sample){.c = {.kind = CHECKPOINT_GGUF, .path = "x.gguf", .config_path = "x.gguf"}};
  for (int i = 0; i < N_TOKENS; i++) {
    s->tokens[i] = text(TOKENS[i]);
    s->types[i] = integer(i == 0 ? TOKEN_UNKNOWN : i < 3 || i == 6 ? TOKEN_CONTROL : TOKEN_NORMAL);
    s->scores[i] = (setting){.type = SETTING_FLOAT, .number = -i};
  }
  s->merges[0] = text("a b");
  add(s, "tokenizer.ggml.model", text(model));
  add(s, "tokenizer.ggml.tokens", array(s->tokens, N_TOKENS));
  add(s, "tokenizer.ggml.token_type", array(s->types, N_TOKENS));
  if (strcmp(model, "llama") == 0) {
    add(s, "tokenizer.ggml.scores", array(s->scores, N_TOKENS));
  } else {
    add(s, "tokenizer.ggml.pre", text("llama-bpe"));
    add(s, "tokenizer.ggml.merges", array(s->merges, 1));
  }
}

static gale_tokenizer *accepted(const sample *s) {
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  if (vocabulary_load(&s->c, &t, &error)) fail_msg("%s", error.message);
  return t;
}

static void refused(const sample *s, gale_status code, const char *part) {
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  assert_int_equal(vocabulary_load(&s->c, &t, &error), code);
  assert_null(t);
  if (!strstr(error.message, part) || !strstr(error.message, "x.gguf")) fail_msg("\"%s\"", error.message);
}

static void gguf(void **state) {
  (void)state;
  sample s;
  make(&s, "llama");
  add(&s, "tokenizer.ggml.bos_token_id", integer(1));
  add(&s, "tokenizer.ggml.eos_token_id", integer(2));
  add(&s, "tokenizer.ggml.eot_token_id", integer(6));
  gale_tokenizer *t = accepted(&s);
  assert_string_equal(gale_tokenizer_kind(t), "SentencePiece");
  assert_int_equal(gale_tokenizer_bos(t), 1);
  assert_int_equal(gale_tokenizer_eos(t), 2);
  assert_true(gale_tokenizer_adds_bos(t));
  assert_true(gale_tokenizer_is_end(t, 2) && gale_tokenizer_is_end(t, 6) && !gale_tokenizer_is_end(t, 1));
  gale_tokenizer_close(&t);
  make(&s, "gpt2");
  t = accepted(&s);
  assert_string_equal(gale_tokenizer_kind(t), "byte-level BPE (llama-bpe)");
  assert_int_equal(gale_tokenizer_bos(t), -1);
  assert_false(gale_tokenizer_adds_bos(t));
  gale_tokenizer_close(&t);
  make(&s, "gpt2");
  add(&s, "tokenizer.ggml.bos_token_id", integer(1));
  t = accepted(&s);
  assert_true(gale_tokenizer_adds_bos(t));
  gale_tokenizer_close(&t);
  add(&s, "tokenizer.ggml.add_bos_token", flag(false));
  t = accepted(&s);
  assert_false(gale_tokenizer_adds_bos(t));
  gale_tokenizer_close(&t);
  s = (sample){.c = {.kind = CHECKPOINT_GGUF, .path = "x.gguf", .config_path = "x.gguf"}};
  assert_null(accepted(&s));
}

/* Names of pre-tokenisers whose split is one of ours. */
static void pre_names(void **state) {
  (void)state;
  static const struct {
    const char *names[12], *kind;
    bool add_bos;
  } CASES[] = {
      {{"llama3", "llama-v3", "llama-bpe", "smaug-bpe", "pixtral", "falcon3", "falcon-h1", "midm-2.0", "lfm2"},
       "byte-level BPE (llama-bpe)",
       true},
      {{"gpt2", "gpt-2", "phi-2", "olmo", "mpt", "exaone4", "jina-v2-es", "modern-bert", "a.x-4.0"},
       "byte-level BPE (gpt-2)",
       false},
      {{"smollm", "starcoder", "command-r", "refact", "codeshell", "exaone", "minerva-7b"},
       "byte-level BPE (smollm)",
       false},
      {{"dbrx", "glm4", "chatglm-bpe"}, "byte-level BPE (dbrx)", false},
      {{"tekken"}, "byte-level BPE (tekken)", true},
  };
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
    for (const char *const *name = CASES[i].names; *name; name++) {
      sample s;
      make(&s, "gpt2");
      add(&s, "tokenizer.ggml.bos_token_id", integer(1));
      s.settings[3] = (setting){.key = "tokenizer.ggml.pre", .type = SETTING_STRING, .string = {*name, strlen(*name)}};
      gale_tokenizer *t = accepted(&s);
      assert_string_equal(gale_tokenizer_kind(t), CASES[i].kind);
      assert_int_equal(gale_tokenizer_adds_bos(t), CASES[i].add_bos);
      assert_null(gale_tokenizer_note(t));
      gale_tokenizer_close(&t);
    }
  static const char *const NOT[] = {"qwen2", "llama", "jina", "", " ", "gpt2 phi-2", "llama-v"};
  for (size_t i = 0; i < sizeof NOT / sizeof *NOT; i++) {
    sample s;
    make(&s, "gpt2");
    s.settings[3] = (setting){.key = "tokenizer.ggml.pre", .type = SETTING_STRING, .string = {NOT[i], strlen(NOT[i])}};
    refused(&s, GALE_E_UNSUPPORTED, "--override tokenizer.ggml.pre=llama-bpe");
  }
  sample s;
  make(&s, "gpt2");
  s.settings[3] = (setting){.key = "tokenizer.ggml.pre", .type = SETTING_NULL};
  gale_tokenizer *t = accepted(&s);
  assert_string_equal(gale_tokenizer_kind(t), "byte-level BPE (default)");
  assert_non_null(gale_tokenizer_note(t));
  gale_tokenizer_close(&t);
}

static void ends(void **state) {
  (void)state;
  static const setting IDS[] = {{.type = SETTING_INT, .integer = 2}, {.type = SETTING_INT, .integer = 5}};
  sample s;
  make(&s, "llama");
  add(&s, "tokenizer.ggml.eos_token_ids", array(IDS, 2));
  gale_tokenizer *t = accepted(&s);
  assert_true(gale_tokenizer_is_end(t, 2) && gale_tokenizer_is_end(t, 5) && !gale_tokenizer_is_end(t, 6));
  gale_tokenizer_close(&t);
  make(&s, "llama");
  static const setting OUTSIDE[] = {{.type = SETTING_INT, .integer = N_TOKENS}};
  add(&s, "tokenizer.ggml.eos_token_ids", array(OUTSIDE, 1));
  refused(&s, GALE_E_FORMAT, "eos_token_ids");
  /* Known texts end an answer where they are control tokens, whatever EOS is. */
  static const char *const KNOWN[] = {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>",
                                      "<|im_end|>", "<eos>",      "<end_of_turn>",   "</s>"};
  for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
    for (int control = 0; control < 2; control++) {
      make(&s, "llama");
      s.tokens[2] = text("<pad>");
      s.tokens[6] = text(KNOWN[i]);
      s.types[6] = integer(control ? TOKEN_CONTROL : TOKEN_NORMAL);
      t = accepted(&s);
      assert_int_equal(gale_tokenizer_is_end(t, 6), control);
      assert_false(gale_tokenizer_is_end(t, 2));
      gale_tokenizer_close(&t);
    }
}

/* A file without a template shows it by its control tokens. */
static void template_by_controls(void **state) {
  (void)state;
  static const char *const CASES[][4] = {
      {"<|im_start|>", "<|im_end|>", "<x>", "chatml"},
      {"<start_of_turn>", "<end_of_turn>", "<x>", "gemma"},
      {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "llama-3"},
      {"<|im_start|>", "<|im_end|>", "<|im_sep|>", NULL},
      {"<|start_header_id|>", "<|end_header_id|>", "<x>", NULL},
      {"<|user|>", "<|assistant|>", "<x>", NULL},
  };
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
    sample s;
    make(&s, "llama");
    s.tokens[0] = text(CASES[i][0]);
    s.tokens[2] = text(CASES[i][1]);
    s.tokens[6] = text(CASES[i][2]);
    s.types[0] = s.types[6] = integer(TOKEN_CONTROL);
    add(&s, "tokenizer.ggml.bos_token_id", integer(1));
    gale_tokenizer *t = accepted(&s);
    if (CASES[i][3]) {
      assert_string_equal(gale_chat_template(t), CASES[i][3]);
      assert_int_equal(gale_chat_template_source(t, NULL), GALE_TEMPLATE_MARKS);
    } else {
      assert_null(gale_chat_template(t));
      assert_int_equal(gale_chat_template_source(t, NULL), GALE_TEMPLATE_NONE);
    }
    gale_tokenizer_close(&t);
    /* One that is there and not known is not overruled by them. */
    add(&s, "tokenizer.chat_template", text("{{ what }}"));
    t = accepted(&s);
    const char *beginning;
    assert_null(gale_chat_template(t));
    assert_int_equal(gale_chat_template_source(t, &beginning), GALE_TEMPLATE_UNKNOWN);
    assert_string_equal(beginning, "{{ what }}");
    gale_tokenizer_close(&t);
  }
}

/* Tokens behind the embedding's last row. */
static void spare_tokens(void **state) {
  (void)state;
  tensor embedding = {.name = "token_embd.weight", .n_dims = 2, .shape = {N_TOKENS - 1, 8}};
  sample s;
  static const token_type GOOD[] = {TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED};
  for (int i = 0; i < 3; i++) {
    make(&s, "llama");
    s.types[6] = integer(GOOD[i]);
    s.c.tensors = &embedding;
    s.c.n_tensors = 1;
    gale_tokenizer *t = accepted(&s);
    assert_int_equal(gale_tokenizer_size(t), N_TOKENS);
    assert_int_equal(tokenizer_rows(t), N_TOKENS - 1);
    int32_t *ids;
    size_t n;
    assert_int_equal(gale_tokenize(t, "<end>", 5, false, &ids, &n, NULL), GALE_OK);
    for (size_t k = 0; k < n; k++) assert_int_not_equal(ids[k], 6);
    gale_free(ids);
    gale_tokenizer_close(&t);
  }
  s.types[6] = integer(TOKEN_NORMAL);
  refused(&s, GALE_E_FORMAT, "token 6, \"<end>\"");
  embedding.shape[0] = N_TOKENS;
  gale_tokenizer *t = accepted(&s);
  assert_int_equal(tokenizer_rows(t), N_TOKENS);
  gale_tokenizer_close(&t);
}

static int32_t id_of(const gale_tokenizer *t, const char *bytes) {
  for (int32_t i = 0; i < gale_tokenizer_size(t); i++) {
    const char *text;
    size_t n;
    bool control;
    gale_tokenizer_token(t, i, &text, &n, &control);
    if (n == strlen(bytes) && memcmp(text, bytes, n) == 0) return control ? i : -i;
  }
  return 0;
}

/* Tokens that files beside a tokenizer.model add to it: added_tokens.json, or tokenizer_config.json. */
static void added_tokens(void **state) {
  (void)state;
  const sample empty = {
      .c = {
          .kind = CHECKPOINT_HF, .path = "x", .config_path = "x.gguf", .tokenizer_path = TEST_DATA "/text/cut.model"}};
  sample s = empty;
  gale_tokenizer *t = accepted(&s);
  int32_t n = gale_tokenizer_size(t);
  gale_tokenizer_close(&t);
  add(&s, "added_tokens.<|im_end|>", integer(n));
  add(&s, "added_tokens.<|im_start|>", integer(n + 1));
  add(&s, "added_tokens.a.b", integer(n + 2));
  add(&s, "added_tokens.<pad>", integer(n + 3));
  add(&s, "tokenizer_config.pad_token", text("<pad>"));
  add(&s, "tokenizer_config.eos_token", text("<|im_end|>"));
  add(&s, "tokenizer_config.chat_template", text("<|im_start|>"));
  t = accepted(&s);
  assert_int_equal(gale_tokenizer_size(t), n + 4);
  assert_int_equal(gale_tokenizer_eos(t), n);
  assert_string_equal(gale_chat_template(t), "chatml");
  assert_int_equal(id_of(t, "<|im_start|>"), n + 1);
  assert_int_equal(id_of(t, "a.b"), -(n + 2));
  assert_int_equal(id_of(t, "<pad>"), n + 3);
  int32_t *ids;
  size_t n_ids;
  assert_int_equal(gale_tokenize(t, "a.b", 3, false, &ids, &n_ids, NULL), GALE_OK);
  assert_int_equal(ids[n_ids - 1], n + 2);
  gale_free(ids);
  gale_tokenizer_close(&t);
  s = empty;
  char keys[4][80];
  for (int i = 0; i < 2; i++) {
    snprintf(keys[2 * i], 80, "tokenizer_config.added_tokens_decoder.%d.content", n + i);
    snprintf(keys[2 * i + 1], 80, "tokenizer_config.added_tokens_decoder.%d.special", n + i);
    add(&s, keys[2 * i], text(i ? "<x>" : "<y>"));
    add(&s, keys[2 * i + 1], flag(i));
  }
  t = accepted(&s);
  assert_int_equal(gale_tokenizer_size(t), n + 2);
  assert_int_equal(id_of(t, "<x>"), n + 1);
  assert_int_equal(id_of(t, "<y>"), -n);
  gale_tokenizer_close(&t);
  s = empty;
  add(&s, "added_tokens.<x>", integer(n + 100000));
  gale_error error = {0};
  assert_int_equal(vocabulary_load(&s.c, &t, &error), GALE_E_FORMAT);
  assert_non_null(strstr(error.message, "<x>"));
}

static void bad_vocabularies(void **state) {
  (void)state;
  static const char *const IDS[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                    "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.eot_token_id"};
  sample s;
  for (size_t i = 0; i < sizeof IDS / sizeof *IDS; i++) {
    make(&s, "llama");
    add(&s, IDS[i], integer(i % 2 ? -1 : N_TOKENS));
    refused(&s, GALE_E_FORMAT, IDS[i]);
    make(&s, "llama");
    add(&s, IDS[i], text("1"));
    refused(&s, GALE_E_FORMAT, "(byte 104)");
  }
  make(&s, "no-such");
  refused(&s, GALE_E_UNSUPPORTED, "llama and gpt2");
  make(&s, "llama");
  s.settings[2].array.length = 3;
  refused(&s, GALE_E_FORMAT, "token_type");
  make(&s, "llama");
  s.types[4] = integer(7);
  refused(&s, GALE_E_FORMAT, "token_type");
  make(&s, "llama");
  s.scores[4] = text("x");
  refused(&s, GALE_E_FORMAT, "scores");
  make(&s, "llama");
  s.types[4] = integer(TOKEN_BYTE);
  refused(&s, GALE_E_FORMAT, "byte token 4");
  make(&s, "llama");
  s.settings[1].type = SETTING_INT;
  refused(&s, GALE_E_FORMAT, "tokenizer.ggml.tokens");
  make(&s, "gpt2");
  s.merges[0] = text("a c");
  refused(&s, GALE_E_FORMAT, "merge 0");
  make(&s, "gpt2");
  s.settings[3] = (setting){.key = "tokenizer.ggml.pre", .type = SETTING_STRING, .string = {"no", 2}};
  refused(&s, GALE_E_UNSUPPORTED, "smollm");
  make(&s, "llama");
  add(&s, "tokenizer.ggml.add_bos_token", integer(1));
  refused(&s, GALE_E_FORMAT, "true or false");
}

static void hugging_face(void **state) {
  (void)state;
  sample s = {.c = {.kind = CHECKPOINT_HF,
                    .path = "x",
                    .config_path = "x.gguf",
                    .tokenizer_path = TEST_DATA "/text/smollm.json"}};
  static const setting ENDS[] = {{.type = SETTING_INT, .integer = 2}, {.type = SETTING_INT, .integer = 0}};
  add(&s, "tokenizer_config.bos_token.content", text("<|im_start|>"));
  add(&s, "tokenizer_config.eos_token", text("<|im_end|>"));
  add(&s, "tokenizer_config.add_bos_token", flag(true));
  add(&s, "tokenizer_config.chat_template", text("<|im_start|>"));
  add(&s, "generation_config.eos_token_id", array(ENDS, 2));
  gale_tokenizer *t = accepted(&s);
  assert_int_equal(gale_tokenizer_bos(t), 1);
  assert_int_equal(gale_tokenizer_eos(t), 2);
  assert_true(gale_tokenizer_is_end(t, 0));
  assert_true(gale_tokenizer_adds_bos(t));
  assert_string_equal(gale_chat_template(t), "chatml");
  gale_tokenizer_close(&t);
  s.settings[1] = (setting){.key = s.settings[1].key, .type = SETTING_STRING, .string = {"nothing", 7}};
  gale_error error = {0};
  assert_int_equal(vocabulary_load(&s.c, &t, &error), GALE_E_FORMAT);
  assert_non_null(strstr(error.message, "EOS"));
}

static void opened_by_name(void **state) {
  (void)state;
  static const char *const PATHS[] = {TEST_DATA "/text/smollm.json", TEST_DATA "/text/cut.model", "shape:mistral-7b"};
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  for (int i = 0; i < 3; i++) {
    if (gale_tokenizer_open(PATHS[i], &t, &error)) fail_msg("%s", error.message);
    gale_tokenizer_close(&t);
  }
  assert_int_equal(gale_tokenizer_open(TEST_DATA "/no-such-file", &t, &error), GALE_E_IO);
  assert_int_not_equal(gale_tokenizer_open(TEST_DATA, &t, &error), GALE_OK);
  assert_null(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gguf),
      cmocka_unit_test(pre_names),
      cmocka_unit_test(ends),
      cmocka_unit_test(template_by_controls),
      cmocka_unit_test(spare_tokens),
      cmocka_unit_test(added_tokens),
      cmocka_unit_test(bad_vocabularies),
      cmocka_unit_test(hugging_face),
      cmocka_unit_test(opened_by_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
