/* Hugging Face's tokenizer.json with a BPE model: byte-level, or in SentencePiece's manner (spaces as
 * U+2581, bytes as <0xXX>). Its parts are recognised by their structure; an unknown one is refused. */
#include "tokenizer/tekken.h"

enum { MOST_STAGES = 8, MOST_GAPS = 1024, MAX_DEPTH = 64 };

/* A normalizer or pre_tokenizer: the steps of a Sequence, or the one there is. */
typedef struct stages {
  const value *steps[MOST_STAGES];
  size_t n;
} stages;

typedef struct json_tokenizer {
  const char *source;
  const value *root, *model;
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

/* A string of an object; empty where there is none. */
static slice string_of(const value *object, const char *key) {
  const value *v = value_get(object, key);
  return value_is(v, VALUE_STRING) ? v->text : SLICE("");
}

static bool is_type(const value *object, const char *type) {
  return slice_is(string_of(object, "type"), type);
}

static bool flag_of(const value *object, const char *key, bool missing) {
  const value *flag = value_get(object, key);
  return value_is_bool(flag) ? flag->kind == VALUE_TRUE : missing;
}

/* How much of a text a message shows, as printf's precision. */
static int shown(slice text) {
  return text.n < 64 ? (int)text.n : 64;
}

static gale_status read_stages(const json_tokenizer *j, const char *name, const char *list, stages *s) {
  const value *stage = value_given(j->root, name);
  *s = (stages){0};
  if (!stage) return GALE_OK;
  const value *steps = is_type(stage, "Sequence") ? value_get(stage, list) : NULL;
  if (!steps) {
    s->steps[s->n++] = stage;
    return GALE_OK;
  }
  for (const value *step = steps->kind == VALUE_ARRAY ? steps->first : NULL; step; step = step->next) {
    if (s->n == MOST_STAGES) return refuse(j, GALE_E_UNSUPPORTED, name, "more than 8 steps");
    s->steps[s->n++] = step;
  }
  return GALE_OK;
}

/* ---- Tokens ---- */

static gale_status set_token(json_tokenizer *j, slice text, const value *id, token_type type) {
  int64_t i;
  if (!value_int64(id, &i) || i < 0 || (uint64_t)i >= j->v.n_tokens)
    return error_set(j->error, GALE_E_FORMAT,
                     "%s: the id of token \"%.*s\" is out of range; ids from 0 without large gaps are accepted",
                     j->source, shown(text), text.s);
  if (text.n > UINT32_MAX / 4) return refuse(j, GALE_E_FORMAT, "model.vocab", "a token is too long");
  slice earlier = {j->tokens[i], j->lengths[i]};
  if (earlier.s && !slice_equal(earlier, text))
    return error_set(j->error, GALE_E_FORMAT, "%s: id %lld is given to \"%.*s\" and to \"%.*s\"", j->source,
                     (long long)i, shown(earlier), earlier.s, shown(text), text.s);
  j->tokens[i] = text.s;
  j->lengths[i] = (uint32_t)text.n;
  j->types[i] = (uint8_t)type;
  return GALE_OK;
}

static gale_status set_added(json_tokenizer *j, const value *added, size_t index) {
  const value *content = value_get(added, "content");
  if (!value_is(content, VALUE_STRING))
    return error_set(j->error, GALE_E_FORMAT, "%s: added_tokens[%zu].content is not a string", j->source, index);
  bool special = flag_of(added, "special", false);
  bool plain =
      !flag_of(added, "lstrip", false) && !flag_of(added, "rstrip", false) && !flag_of(added, "single_word", false);
  if (!special && !plain)
    return error_set(
        j->error, GALE_E_UNSUPPORTED,
        "%s: added_tokens[%zu] is matched in text with lstrip, rstrip or single_word, which is not supported",
        j->source, index);
  return set_token(j, content->text, value_get(added, "id"), special ? TOKEN_CONTROL : TOKEN_USER_DEFINED);
}

/* n becomes large enough for an id, if that is below `most`. */
static void count_id(const value *id, size_t most, size_t *n) {
  int64_t i;
  if (value_int64(id, &i) && i >= 0 && (uint64_t)i < most && (size_t)i >= *n) *n = (size_t)i + 1;
}

/* Makes room for every id of the file: as many as there are tokens, and few gaps. */
static gale_status count_tokens(json_tokenizer *j, const value *vocab, const value *added) {
  size_t most = (size_t)vocab->count + (added ? added->count : 0) + MOST_GAPS, n = 0;
  for (const value *id = vocab->first; id; id = id->next) count_id(id, most, &n);
  for (const value *token = added ? added->first : NULL; token; token = token->next)
    count_id(value_get(token, "id"), most, &n);
  j->v.n_tokens = n;
  j->tokens = arena_array(&j->memory, n, sizeof *j->tokens);
  j->lengths = arena_array(&j->memory, n, sizeof *j->lengths);
  j->types = arena_array(&j->memory, n, sizeof *j->types);
  return j->tokens && j->lengths && j->types ? GALE_OK : error_memory(j->error, n * 16);
}

static gale_status read_tokens(json_tokenizer *j) {
  const value *vocab = value_get(j->model, "vocab"), *added = value_get(j->root, "added_tokens");
  if (!value_is(vocab, VALUE_OBJECT))
    return refuse(j, GALE_E_FORMAT, "model.vocab", "not an object of tokens and their ids");
  if (!value_is(added, VALUE_ARRAY)) added = NULL;
  gale_status status = count_tokens(j, vocab, added);
  bool bytes = j->v.kind == VOCABULARY_SENTENCEPIECE && flag_of(j->model, "byte_fallback", false);
  slice unk = string_of(j->model, "unk_token");
  size_t index = 0;
  for (const value *id = vocab->first; id && !status; id = id->next) {
    bool byte = bytes && spelled_byte(id->key.s, id->key.n) >= 0;
    status = set_token(j, id->key, id, byte ? TOKEN_BYTE : TOKEN_NORMAL);
  }
  for (const value *token = added ? added->first : NULL; token && !status; token = token->next)
    status = set_added(j, token, index++);
  for (size_t i = 0; i < j->v.n_tokens && !status; i++) {
    if (!j->tokens[i]) {
      j->tokens[i] = "";
      j->types[i] = TOKEN_UNUSED;
    } else if (unk.n && slice_equal((slice){j->tokens[i], j->lengths[i]}, unk)) {
      j->types[i] = TOKEN_UNKNOWN;
    }
  }
  j->v.tokens = j->tokens;
  j->v.lengths = j->lengths;
  j->v.types = j->types;
  return status;
}

/* ---- Merges: strings "left right", or pairs ---- */

static gale_status read_merge(json_tokenizer *j, const value *entry, size_t i, const char **text, uint32_t *length) {
  slice line = entry->text;
  if (entry->kind != VALUE_STRING) {
    const value *left = value_item(entry, 0), *right = value_item(entry, 1);
    if (entry->kind != VALUE_ARRAY || entry->count != 2 || left->kind != VALUE_STRING || right->kind != VALUE_STRING)
      return error_set(j->error, GALE_E_FORMAT, "%s: model.merges[%zu] is neither a string nor a pair of strings",
                       j->source, i);
    size_t n = left->text.n;
    char *joined = arena_alloc(&j->memory, n + 1 + right->text.n);
    if (!joined) return error_memory(j->error, n + 1 + right->text.n);
    memcpy(joined, left->text.s, n);
    joined[n] = ' ';
    memcpy(joined + n + 1, right->text.s, right->text.n);
    line = (slice){joined, n + 1 + right->text.n};
  }
  if (line.n > UINT32_MAX / 4) return refuse(j, GALE_E_FORMAT, "model.merges", "a merge is too long");
  *text = line.s;
  *length = (uint32_t)line.n;
  return GALE_OK;
}

static gale_status read_merges(json_tokenizer *j) {
  const value *merges = value_get(j->model, "merges");
  if (!value_is(merges, VALUE_ARRAY)) return refuse(j, GALE_E_FORMAT, "model.merges", "not an array");
  size_t n = merges->count, i = 0;
  const char **lines = arena_array(&j->memory, n, sizeof *lines);
  uint32_t *lengths = arena_array(&j->memory, n, sizeof *lengths);
  if (!lines || !lengths) return error_memory(j->error, n * sizeof *lines);
  gale_status status = GALE_OK;
  for (const value *v = merges->first; v && !status; v = v->next, i++)
    status = read_merge(j, v, i, &lines[i], &lengths[i]);
  j->v.n_merges = n;
  j->v.merges = lines;
  j->v.merge_lengths = lengths;
  return status;
}

/* ---- How text is prepared ---- */

static gale_status byte_level_family(json_tokenizer *j, const stages *pre) {
  static const char WHERE[] = "pre_tokenizer";
  const value *last = pre->steps[pre->n - 1], *first = pre->steps[0];
  j->v.kind = VOCABULARY_BPE;
  if (flag_of(last, "add_prefix_space", true))
    return refuse(j, GALE_E_UNSUPPORTED, WHERE, "ByteLevel with add_prefix_space is not supported");
  if (pre->n == 1 && flag_of(last, "use_regex", true)) {
    j->v.pre = "gpt-2";
  } else if (pre->n == 2 && is_type(first, "Digits") && flag_of(first, "individual_digits", false) &&
             flag_of(last, "use_regex", true)) {
    j->v.pre = "smollm";
  } else if (pre->n == 2 && is_type(first, "Split") && !flag_of(last, "use_regex", true) &&
             slice_is(string_of(first, "behavior"), "Isolated") && !flag_of(first, "invert", false)) {
    slice written = string_of(value_get(first, "pattern"), "Regex");
    const char *pattern = arena_string(&j->memory, written.s, written.n);
    if (!pattern) return error_memory(j->error, written.n);
    const pretokenizer *row = pretokenizer_by_pattern(pattern);
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
    const value *step = normal->steps[i];
    if (is_type(step, "Prepend") && slice_is(string_of(step, "prepend"), SPACE)) {
      j->v.add_space_prefix = true;
    } else if (is_type(step, "Replace") && slice_is(string_of(step, "content"), SPACE) &&
               slice_is(string_of(value_get(step, "pattern"), "String"), " ")) {
      escapes = true;
    } else {
      return refuse(j, GALE_E_UNSUPPORTED, "normalizer", "only Prepend and Replace of spaces by U+2581 are supported");
    }
  }
  for (size_t i = 0; i < pre->n; i++) {
    const value *step = pre->steps[i];
    bool no_split = is_type(step, "Split") && escapes && slice_is(string_of(value_get(step, "pattern"), "String"), " ");
    if (no_split) continue;
    if (!is_type(step, "Metaspace") || !slice_is(string_of(step, "replacement"), SPACE) || flag_of(step, "split", true))
      return refuse(j, GALE_E_UNSUPPORTED, "pre_tokenizer", "only ByteLevel and Metaspace without split are supported");
    escapes = true;
    bool never = slice_is(string_of(step, "prepend_scheme"), "never");
    j->v.add_space_prefix = !never && flag_of(step, "add_prefix_space", true);
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
    if (string_of(j->model, AFFIXES[i]).n) return refuse(j, GALE_E_UNSUPPORTED, "model", "subword affixes");
  j->v.ignore_merges = flag_of(j->model, "ignore_merges", false);
  if (pre.n == 0 || !is_type(pre.steps[pre.n - 1], "ByteLevel")) return sentencepiece_family(j, &normal, &pre);
  if (normal.n) return refuse(j, GALE_E_UNSUPPORTED, "normalizer", "byte-level BPE with a normalizer is not supported");
  return byte_level_family(j, &pre);
}

/* ---- BOS and EOS ---- */

static int32_t control_token(const json_tokenizer *j, slice text) {
  for (size_t i = 0; i < j->v.n_tokens; i++)
    if (j->types[i] == TOKEN_CONTROL && slice_equal((slice){j->tokens[i], j->lengths[i]}, text)) return (int32_t)i;
  return -1;
}

/* The special token that the post-processor puts in front of a single text; not there: none. */
static slice template_bos(const value *processor) {
  if (is_type(processor, "Sequence")) {
    const value *list = value_get(processor, "processors");
    for (const value *step = value_is(list, VALUE_ARRAY) ? list->first : NULL; step; step = step->next) {
      slice bos = is_type(step, "TemplateProcessing") ? template_bos(step) : (slice){0};
      if (bos.s) return bos;
    }
    return (slice){0};
  }
  const value *single = value_get(processor, "single");
  const value *first = value_is(single, VALUE_ARRAY) ? single->first : NULL;
  const value *id = value_get(value_get(first, "SpecialToken"), "id");
  return value_is(id, VALUE_STRING) ? id->text : (slice){0};
}

static void read_controls(json_tokenizer *j) {
  static const char *const BOS[] = {"<s>", "<bos>", "<|begin_of_text|>"};
  static const char *const EOS[] = {"</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"};
  j->v.bos = j->v.eos = j->v.unk = -1;
  slice bos = template_bos(value_get(j->root, "post_processor"));
  if (bos.s) j->v.bos = control_token(j, bos);
  j->v.add_bos = j->v.bos >= 0;
  for (size_t i = 0; i < sizeof BOS / sizeof *BOS && j->v.bos < 0; i++) j->v.bos = control_token(j, slice_of(BOS[i]));
  for (size_t i = 0; i < sizeof EOS / sizeof *EOS && j->v.eos < 0; i++) j->v.eos = control_token(j, slice_of(EOS[i]));
}

static gale_status read_all(json_tokenizer *j, const tokenizer_hints *hints) {
  j->model = value_get(j->root, "model");
  slice type = string_of(j->model, "type");
  if (!value_is(j->model, VALUE_OBJECT))
    return refuse(j, GALE_E_FORMAT, "model", "missing; a Hugging Face tokenizer.json is expected");
  if (type.n && !slice_is(type, "BPE"))
    return error_set(j->error, GALE_E_UNSUPPORTED, "%s: model.type is \"%.*s\"; BPE is accepted", j->source,
                     shown(type), type.s);
  gale_status status = read_family(j);
  if (!status) status = read_tokens(j);
  if (!status) status = read_merges(j);
  if (status) return status;
  read_controls(j);
  return vocabulary_apply(&j->v, hints, j->error);
}

/* Keys, which are tokens, hold no NUL; integers of any size may stand where gale has no use for them. */
static gale_status read_tree(const char *source, slice text, arena *memory, value **root, gale_error *error) {
  const value_form form = {.flags = VALUE_NO_NUL_KEY, .depth = MAX_DEPTH};
  value_report report;
  value_status status = value_read(memory, text, form, root, &report);
  if (status == VALUE_OK) return GALE_OK;
  if (status == VALUE_MEMORY) return error_memory(error, text.n);
  size_t line = 1;
  for (size_t i = 0; i < report.at; i++) line += text.s[i] == '\n';
  return error_set(error, GALE_E_FORMAT, "%s: line %zu, byte %zu: %s", source, line, report.at, report.why);
}

gale_status vocabulary_from_json(const char *source, const void *data, size_t n, const tokenizer_hints *hints,
                                 vocabulary_fn use, void *user, gale_error *error) {
  arena memory = {0};
  value *root;
  gale_status status = read_tree(source, (slice){data, n}, &memory, &root, error);
  if (!status && is_tekken(root)) {
    status = vocabulary_from_tekken(source, root, hints, use, user, error);
  } else if (!status) {
    json_tokenizer j = {.source = source, .root = root, .v = {.source = source}, .error = error};
    status = read_all(&j, hints);
    if (!status) status = use(&j.v, user, error);
    arena_free(&j.memory);
  }
  arena_free(&memory);
  return status;
}

gale_status tokenizer_from_json(const char *source, const void *data, size_t n, const tokenizer_hints *hints,
                                gale_tokenizer **tokenizer, gale_error *error) {
  return vocabulary_from_json(source, data, n, hints, vocabulary_create, tokenizer, error);
}
