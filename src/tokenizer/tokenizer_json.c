/* Hugging Face's tokenizer.json with a BPE model: byte-level, or in SentencePiece's manner (spaces as
 * U+2581, bytes as <0xXX>). Its parts are recognised by their structure; an unknown one is refused. */
#include <jansson.h>
#include <stdlib.h>

#include "tokenizer/tekken.h"

enum { MOST_STAGES = 8, MOST_GAPS = 1024 };

/* A normalizer or pre_tokenizer: the steps of a Sequence, or the one there is. */
typedef struct stages {
  const json_t *steps[MOST_STAGES];
  size_t n;
} stages;

typedef struct json_tokenizer {
  const char *source;
  const json_t *root, *model;
  arena memory;
  vocabulary v;
  const char **tokens;
  uint32_t *lengths;
  uint8_t *types;
  gale_error *error;
} json_tokenizer;

static gale_status refuse(const json_tokenizer *j, gale_status code, const char *where, const char *what) {
  return error_set(j->error, code, "%s: %s: %s", j->source, where, what);
}

static const char *string_of(const json_t *object, const char *key) {
  const char *s = json_string_value(json_object_get(object, key));
  return s ? s : "";
}

static bool is_type(const json_t *object, const char *type) {
  return strcmp(string_of(object, "type"), type) == 0;
}

static bool flag_of(const json_t *object, const char *key, bool missing) {
  const json_t *flag = json_object_get(object, key);
  return json_is_boolean(flag) ? json_is_true(flag) : missing;
}

static gale_status read_stages(const json_tokenizer *j, const char *name, const char *list, stages *s) {
  const json_t *part = json_object_get(j->root, name);
  *s = (stages){0};
  if (!part || json_is_null(part)) return GALE_OK;
  const json_t *steps = is_type(part, "Sequence") ? json_object_get(part, list) : NULL;
  s->n = steps ? json_array_size(steps) : 1;
  if (s->n > MOST_STAGES) return refuse(j, GALE_E_UNSUPPORTED, name, "more than 8 steps");
  for (size_t i = 0; i < s->n; i++) s->steps[i] = steps ? json_array_get(steps, i) : part;
  return GALE_OK;
}

/* ---- Tokens ---- */

static gale_status set_token(json_tokenizer *j, const char *text, size_t length, const json_t *id, token_type type) {
  json_int_t i = json_is_integer(id) ? json_integer_value(id) : -1;
  if (i < 0 || (uint64_t)i >= j->v.n_tokens)
    return error_set(j->error, GALE_E_FORMAT,
                     "%s: the id of token \"%.64s\" is out of range; ids from 0 without large gaps are accepted",
                     j->source, text);
  if (length > UINT32_MAX / 4) return refuse(j, GALE_E_FORMAT, "model.vocab", "a token is too long");
  bool same = j->tokens[i] && j->lengths[i] == length && memcmp(j->tokens[i], text, length) == 0;
  if (j->tokens[i] && !same)
    return error_set(j->error, GALE_E_FORMAT, "%s: id %lld is given to \"%.64s\" and to \"%.64s\"", j->source,
                     (long long)i, j->tokens[i], text);
  j->tokens[i] = text;
  j->lengths[i] = (uint32_t)length;
  j->types[i] = (uint8_t)type;
  return GALE_OK;
}

static gale_status set_added(json_tokenizer *j, const json_t *added, size_t index) {
  const json_t *content = json_object_get(added, "content");
  if (!json_is_string(content))
    return error_set(j->error, GALE_E_FORMAT, "%s: added_tokens[%zu].content is not a string", j->source, index);
  bool special = flag_of(added, "special", false);
  bool plain =
      !flag_of(added, "lstrip", false) && !flag_of(added, "rstrip", false) && !flag_of(added, "single_word", false);
  if (!special && !plain)
    return error_set(
        j->error, GALE_E_UNSUPPORTED,
        "%s: added_tokens[%zu] is matched in text with lstrip, rstrip or single_word, which is not supported",
        j->source, index);
  return set_token(j, json_string_value(content), json_string_length(content), json_object_get(added, "id"),
                   special ? TOKEN_CONTROL : TOKEN_USER_DEFINED);
}

/* Makes room for every id of the file: as many as there are tokens, and few gaps. */
static gale_status count_tokens(json_tokenizer *j, json_t *vocab, const json_t *added) {
  size_t named = json_object_size(vocab) + json_array_size(added), most = named + MOST_GAPS, n = 0;
  const char *key;
  json_t *id;
  json_object_foreach(vocab, key, id) {
    json_int_t i = json_integer_value(id);
    if (i >= 0 && (uint64_t)i < most && (size_t)i >= n) n = (size_t)i + 1;
  }
  for (size_t k = 0; k < json_array_size(added); k++) {
    json_int_t i = json_integer_value(json_object_get(json_array_get(added, k), "id"));
    if (i >= 0 && (uint64_t)i < most && (size_t)i >= n) n = (size_t)i + 1;
  }
  j->v.n_tokens = n;
  j->tokens = arena_array(&j->memory, n, sizeof *j->tokens);
  j->lengths = arena_array(&j->memory, n, sizeof *j->lengths);
  j->types = arena_array(&j->memory, n, sizeof *j->types);
  return j->tokens && j->lengths && j->types ? GALE_OK : error_memory(j->error, n * 16);
}

static gale_status read_tokens(json_tokenizer *j) {
  json_t *vocab = json_object_get(j->model, "vocab");
  const json_t *added = json_object_get(j->root, "added_tokens");
  if (!json_is_object(vocab)) return refuse(j, GALE_E_FORMAT, "model.vocab", "not an object of tokens and their ids");
  gale_status status = count_tokens(j, vocab, added);
  bool bytes = j->v.kind == VOCABULARY_SENTENCEPIECE && flag_of(j->model, "byte_fallback", false);
  const char *unk = string_of(j->model, "unk_token");
  const char *key;
  json_t *id;
  if (status) return status;
  json_object_foreach(vocab, key, id) {
    size_t length = strlen(key);
    token_type type = bytes && spelled_byte(key, length) >= 0 ? TOKEN_BYTE : TOKEN_NORMAL;
    status = set_token(j, key, length, id, type);
    if (status) return status;
  }
  for (size_t i = 0; i < json_array_size(added) && !status; i++) status = set_added(j, json_array_get(added, i), i);
  for (size_t i = 0; i < j->v.n_tokens && !status; i++) {
    if (!j->tokens[i]) {
      j->tokens[i] = "";
      j->types[i] = TOKEN_UNUSED;
    } else if (*unk && strcmp(j->tokens[i], unk) == 0) {
      j->types[i] = TOKEN_UNKNOWN;
    }
  }
  j->v.tokens = j->tokens;
  j->v.lengths = j->lengths;
  j->v.types = j->types;
  return status;
}

/* ---- Merges: strings "left right", or pairs ---- */

static gale_status read_merge(json_tokenizer *j, const json_t *entry, size_t i, const char **text, uint32_t *length) {
  size_t n = json_string_length(entry);
  *text = json_string_value(entry);
  if (!*text) {
    const json_t *left = json_array_get(entry, 0), *right = json_array_get(entry, 1);
    if (json_array_size(entry) != 2 || !json_is_string(left) || !json_is_string(right))
      return error_set(j->error, GALE_E_FORMAT, "%s: model.merges[%zu] is neither a string nor a pair of strings",
                       j->source, i);
    *text = arena_printf(&j->memory, "%s %s", json_string_value(left), json_string_value(right));
    if (!*text) return error_memory(j->error, json_string_length(left) + json_string_length(right));
    n = strlen(*text);
  }
  if (n > UINT32_MAX / 4) return refuse(j, GALE_E_FORMAT, "model.merges", "a merge is too long");
  *length = (uint32_t)n;
  return GALE_OK;
}

static gale_status read_merges(json_tokenizer *j) {
  const json_t *merges = json_object_get(j->model, "merges");
  if (!json_is_array(merges)) return refuse(j, GALE_E_FORMAT, "model.merges", "not an array");
  size_t n = json_array_size(merges);
  const char **lines = arena_array(&j->memory, n, sizeof *lines);
  uint32_t *lengths = arena_array(&j->memory, n, sizeof *lengths);
  if (!lines || !lengths) return error_memory(j->error, n * sizeof *lines);
  gale_status status = GALE_OK;
  for (size_t i = 0; i < n && !status; i++)
    status = read_merge(j, json_array_get(merges, i), i, &lines[i], &lengths[i]);
  j->v.n_merges = n;
  j->v.merges = lines;
  j->v.merge_lengths = lengths;
  return status;
}

/* ---- How text is prepared ---- */

static gale_status byte_level_family(json_tokenizer *j, const stages *pre) {
  static const char WHERE[] = "pre_tokenizer";
  const json_t *last = pre->steps[pre->n - 1], *first = pre->steps[0];
  j->v.kind = VOCABULARY_BPE;
  if (flag_of(last, "add_prefix_space", true))
    return refuse(j, GALE_E_UNSUPPORTED, WHERE, "ByteLevel with add_prefix_space is not supported");
  if (pre->n == 1 && flag_of(last, "use_regex", true)) {
    j->v.pre = "gpt-2";
  } else if (pre->n == 2 && is_type(first, "Digits") && flag_of(first, "individual_digits", false) &&
             flag_of(last, "use_regex", true)) {
    j->v.pre = "smollm";
  } else if (pre->n == 2 && is_type(first, "Split") && !flag_of(last, "use_regex", true) &&
             strcmp(string_of(first, "behavior"), "Isolated") == 0 && !flag_of(first, "invert", false)) {
    const pretokenizer *row = pretokenizer_by_pattern(string_of(json_object_get(first, "pattern"), "Regex"));
    j->v.pre = row ? row->name : NULL;
  }
  if (j->v.pre) return GALE_OK;
  return refuse(j, GALE_E_UNSUPPORTED, WHERE, "not the split of GPT-2, SmolLM2, Llama 3 or tekken");
}

/* Spaces become U+2581, with one in front of the text or not, and no split that could matter. Where
 * Metaspace would add none to a text that begins with a space, SentencePiece does, and so does this. */
static gale_status sentencepiece_family(json_tokenizer *j, const stages *normal, const stages *pre) {
  static const char SPACE[] = "\xE2\x96\x81";
  bool escapes = false;
  j->v.kind = VOCABULARY_SENTENCEPIECE;
  for (size_t i = 0; i < normal->n; i++) {
    const json_t *step = normal->steps[i];
    if (is_type(step, "Prepend") && strcmp(string_of(step, "prepend"), SPACE) == 0) {
      j->v.add_space_prefix = true;
    } else if (is_type(step, "Replace") && strcmp(string_of(step, "content"), SPACE) == 0 &&
               strcmp(string_of(json_object_get(step, "pattern"), "String"), " ") == 0) {
      escapes = true;
    } else {
      return refuse(j, GALE_E_UNSUPPORTED, "normalizer", "only Prepend and Replace of spaces by U+2581 are supported");
    }
  }
  for (size_t i = 0; i < pre->n; i++) {
    const json_t *step = pre->steps[i];
    bool no_split =
        is_type(step, "Split") && escapes && strcmp(string_of(json_object_get(step, "pattern"), "String"), " ") == 0;
    if (no_split) continue;
    if (!is_type(step, "Metaspace") || strcmp(string_of(step, "replacement"), SPACE) != 0 ||
        flag_of(step, "split", true))
      return refuse(j, GALE_E_UNSUPPORTED, "pre_tokenizer", "only ByteLevel and Metaspace without split are supported");
    escapes = true;
    const char *scheme = string_of(step, "prepend_scheme");
    j->v.add_space_prefix = strcmp(scheme, "never") != 0 && flag_of(step, "add_prefix_space", true);
  }
  if (escapes) return GALE_OK;
  return refuse(j, GALE_E_UNSUPPORTED, "normalizer", "neither byte-level BPE nor spaces as U+2581");
}

static gale_status read_family(json_tokenizer *j) {
  stages normal, pre;
  gale_status status = read_stages(j, "normalizer", "normalizers", &normal);
  if (!status) status = read_stages(j, "pre_tokenizer", "pretokenizers", &pre);
  if (status) return status;
  static const char *const AFFIXES[] = {"continuing_subword_prefix", "end_of_word_suffix"};
  for (int i = 0; i < 2; i++)
    if (*string_of(j->model, AFFIXES[i])) return refuse(j, GALE_E_UNSUPPORTED, "model", "subword affixes");
  j->v.ignore_merges = flag_of(j->model, "ignore_merges", false);
  if (pre.n == 0 || !is_type(pre.steps[pre.n - 1], "ByteLevel")) return sentencepiece_family(j, &normal, &pre);
  if (normal.n) return refuse(j, GALE_E_UNSUPPORTED, "normalizer", "byte-level BPE with a normalizer is not supported");
  return byte_level_family(j, &pre);
}

/* ---- BOS and EOS ---- */

static int32_t control_token(const json_tokenizer *j, const char *text) {
  for (size_t i = 0; i < j->v.n_tokens; i++)
    if (j->types[i] == TOKEN_CONTROL && strcmp(j->tokens[i], text) == 0) return (int32_t)i;
  return -1;
}

/* The special token that the post-processor puts in front of a single text, or NULL. */
static const char *template_bos(const json_t *processor) {
  const json_t *list = json_object_get(processor, "processors");
  if (is_type(processor, "Sequence")) {
    for (size_t i = 0; i < json_array_size(list); i++) {
      const json_t *step = json_array_get(list, i);
      const char *bos = is_type(step, "TemplateProcessing") ? template_bos(step) : NULL;
      if (bos) return bos;
    }
    return NULL;
  }
  const json_t *first = json_array_get(json_object_get(processor, "single"), 0);
  return json_string_value(json_object_get(json_object_get(first, "SpecialToken"), "id"));
}

static void read_marks(json_tokenizer *j) {
  static const char *const BOS[] = {"<s>", "<bos>", "<|begin_of_text|>"};
  static const char *const EOS[] = {"</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"};
  j->v.bos = j->v.eos = j->v.unk = -1;
  const char *bos = template_bos(json_object_get(j->root, "post_processor"));
  if (bos) j->v.bos = control_token(j, bos);
  j->v.add_bos = j->v.bos >= 0;
  for (size_t i = 0; i < sizeof BOS / sizeof *BOS && j->v.bos < 0; i++) j->v.bos = control_token(j, BOS[i]);
  for (size_t i = 0; i < sizeof EOS / sizeof *EOS && j->v.eos < 0; i++) j->v.eos = control_token(j, EOS[i]);
}

static gale_status read_all(json_tokenizer *j, const tokenizer_hints *hints) {
  j->model = json_object_get(j->root, "model");
  const char *type = string_of(j->model, "type");
  if (!json_is_object(j->model))
    return refuse(j, GALE_E_FORMAT, "model", "missing; a Hugging Face tokenizer.json is expected");
  if (*type && strcmp(type, "BPE") != 0)
    return error_set(j->error, GALE_E_UNSUPPORTED, "%s: model.type is \"%.32s\"; BPE is accepted", j->source, type);
  gale_status status = read_family(j);
  if (!status) status = read_tokens(j);
  if (!status) status = read_merges(j);
  if (status) return status;
  read_marks(j);
  return vocabulary_apply(&j->v, hints, j->error);
}

/* The file's tree, but for the words of a tekken.json: an empty list stands in their place. */
static gale_status read_tree(const char *source, const char *data, size_t n, const tekken_words *words, json_t **root,
                             gale_error *error) {
  size_t left_out = words->end - words->begin, skip = words->begin + 2;
  char *rest = left_out ? malloc(n) : NULL;
  if (left_out && !rest) return error_memory(error, n);
  if (left_out) {
    memcpy(rest, data, words->begin);
    memcpy(rest + words->begin, "[]", 2);
    memcpy(rest + skip, data + words->end, n - words->end);
    left_out -= 2;
  }
  json_error_t problem;
  *root = json_loadb(rest ? rest : data, n - left_out, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
  free(rest);
  if (*root) return GALE_OK;
  size_t line = (size_t)problem.line, at = (size_t)problem.position;
  if (left_out && at > skip) {
    at += left_out;
    for (size_t i = words->begin; i < words->end; i++) line += data[i] == '\n';
  }
  return error_set(error, GALE_E_FORMAT, "%s: line %zu, byte %zu: %s", source, line, at, problem.text);
}

gale_status vocabulary_from_json(const char *source, const void *data, size_t n, const tokenizer_hints *hints,
                                 vocabulary_fn use, void *user, gale_error *error) {
  tekken_words words;
  json_t *root;
  gale_status status = tekken_words_read(source, data, n, &words, error);
  if (status) return status;
  status = read_tree(source, data, n, &words, &root, error);
  if (!status && is_tekken(root)) {
    status = vocabulary_from_tekken(source, root, &words, hints, use, user, error);
    json_decref(root);
  } else if (!status) {
    json_tokenizer j = {.source = source, .root = root, .v = {.source = source}, .error = error};
    status = read_all(&j, hints);
    if (!status) status = use(&j.v, user, error);
    arena_free(&j.memory);
    json_decref(root);
  }
  tekken_words_free(&words);
  return status;
}

gale_status tokenizer_from_json(const char *source, const void *data, size_t n, const tokenizer_hints *hints,
                                gale_tokenizer **tokenizer, gale_error *error) {
  return vocabulary_from_json(source, data, n, hints, vocabulary_create, tokenizer, error);
}
