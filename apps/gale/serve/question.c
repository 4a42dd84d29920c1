#include "gale/serve/question.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { MOST_ENDS = 1024, LONGEST_STOP = 1024 };

/* ---- Opening ---- */

static void refuse_body(question *q, value_status status, const value_report *report) {
  if (status == VALUE_MEMORY)
    fields_memory(&q->fields);
  else if (status)
    fields_refuse(&q->fields, FAILURE_JSON, "the body is not JSON that is accepted: byte %zu: %s", report->at,
                  report->why);
  else if (q->root->kind != VALUE_OBJECT)
    fields_refuse(&q->fields, FAILURE_JSON, "byte 0: the body must be a JSON object");
}

question *question_open(serving *s, http_exchange *x, api_family family) {
  question *q = calloc(1, sizeof *q);
  if (!q) {
    serve_fail(s, x, FAILURE_MEMORY, NULL, "out of memory");
    return NULL;
  }
  *q = (question){.serving = s, .exchange = x, .family = family, .n = 1, .max_tokens = -1};
  gale_sampler_defaults(&q->sampling);
  size_t length;
  const char *bytes = http_body(x, &length);
  value *root = NULL;
  value_report report = {0};
  value_status status =
      value_read(&q->fields.memory, (slice){bytes, length}, (value_form){.depth = s->limits.depth}, &root, &report);
  q->root = root;
  refuse_body(q, status, &report);
  if (!q->fields.refused) return q;
  serve_fail(s, x, q->fields.why, NULL, "%s", q->fields.message);
  question_close(&q);
  return NULL;
}

void question_close(question **opened) {
  question *q = *opened;
  if (!q) return;
  for (size_t i = 0; i < q->n_prompts; i++) gale_free(q->prompts[i].ids);
  free(q->prompts);
  compiled_release(&q->constraint);
  arena_free(&q->fields.memory);
  free(q);
  *opened = NULL;
}

void question_fail(const question *q) {
  const fields *f = &q->fields;
  serve_fail(q->serving, q->exchange, f->why, *f->param ? f->param : NULL, "%s", f->message);
}

place question_body(question *q) {
  return (place){&q->fields, q->root, ""};
}

/* ---- The model ---- */

bool model_is_served(const serving *s, slice name) {
  if (s->any_name) return true;
  for (size_t i = 0; i < s->n_names; i++)
    if (slice_is(name, s->names[i])) return true;
  return false;
}

void question_model(question *q, place body) {
  const char *name = field_string(body, "model");
  q->model = name && *name ? name : q->serving->names[0];
  if (name && *name && !model_is_served(q->serving, slice_of(name)))
    field_refuse(body, "model", FAILURE_MODEL, "the model \"%.100s\" is not served here; \"%.100s\" is", name,
                 q->serving->names[0]);
}

/* ---- Drawing ---- */

uint64_t identity_number(const char *identity, uint64_t index) {
  uint64_t x = 14695981039346656037u;
  for (const char *c = identity; *c; c++) x = (x ^ (unsigned char)*c) * 1099511628211u;
  x += (index + 1) * 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

static void read_seed(question *q, place at, const field_names *names) {
  for (int i = 0; i < 2; i++) {
    const value *v = names->seed[i] ? field_any(at, names->seed[i]) : NULL;
    int64_t number = 0;
    uint64_t seed = 0;
    if (!v) continue;
    bool small = value_int64(v, &number), large = value_uint64(v, &seed);
    if (!small && !large)
      field_refuse(at, names->seed[i], FAILURE_FIELD, "an integer from -2^63 to 2^64-1 is accepted");
    if (small && number == -1) break;
    q->sampling.seed = large ? seed : (uint64_t)number;
    q->seed_negative = !large;
    return;
  }
  uint32_t chosen = 0;
  const char *identity = http_identity(q->exchange);
  if (identity)
    chosen = (uint32_t)identity_number(identity, 0);
  else if (getrandom(&chosen, sizeof chosen, 0) != sizeof chosen)
    fields_refuse(at.f, FAILURE_MEMORY, "no random numbers");
  q->sampling.seed = chosen;
}

/* An id of the vocabulary, in digits. */
static bool read_id(slice text, int32_t n, int32_t *id) {
  int64_t number = 0;
  if (text.n < 1 || text.n > 10 || (text.n > 1 && text.s[0] == '0')) return false;
  for (size_t i = 0; i < text.n; i++) {
    if (text.s[i] < '0' || text.s[i] > '9') return false;
    number = 10 * number + text.s[i] - '0';
  }
  *id = (int32_t)(number < n ? number : -1);
  return *id >= 0;
}

/* Whether some token can still be drawn. */
static bool some_token_left(const question *q) {
  const gale_sampler_options *o = &q->sampling;
  size_t banned = 0;
  for (size_t i = 0; i < o->n_bias; i++)
    banned +=
        o->bias[i].bias <= -100 && !(o->ignore_end && gale_tokenizer_is_end(q->serving->tokenizer, o->bias[i].token));
  int32_t n = q->serving->info.n_drawable;
  for (int32_t id = 0; id < n && o->ignore_end && banned > 0; id++)
    banned += gale_tokenizer_is_end(q->serving->tokenizer, id);
  return banned < (size_t)n;
}

static void read_bias(question *q, place at) {
  place map = field_object(at, "logit_bias");
  if (!map.v) return;
  gale_logit_bias *bias = fields_new(at.f, map.v->count, sizeof *bias);
  size_t n = 0;
  for (const value *v = map.v->first; v && bias && !at.f->refused; v = v->next) {
    double number = value_double(v);
    if (!read_id(v->key, q->serving->info.n_drawable, &bias[n].token))
      field_refuse(at, "logit_bias", FAILURE_FIELD, "ids from \"0\" to \"%d\" are accepted, and not \"%.*s\"",
                   q->serving->info.n_drawable - 1, (int)(v->key.n < 40 ? v->key.n : 40), v->key.s);
    if (!(number >= -100 && number <= 100))
      field_refuse(map, NULL, FAILURE_FIELD, "a bias from -100 to 100 is accepted");
    bias[n++].bias = number;
  }
  q->sampling.bias = bias;
  q->sampling.n_bias = n;
  if (!at.f->refused && !some_token_left(q)) field_refuse(map, NULL, FAILURE_FIELD, "every token is banned");
}

static double read_repetition(place at, double missing) {
  const char *key = field_any(at, "repetition_penalty") ? "repetition_penalty" : "repeat_penalty";
  const value *v = field_any(at, key);
  double number = v ? value_double(v) : missing;
  if (number > 0 && number <= 10) return number;
  field_refuse(at, key, FAILURE_FIELD, "a number above 0, up to 10, is accepted");
  return missing;
}

static void read_drawing(question *q, place at, const sampling_defaults *missing) {
  const options *o = q->serving->options;
  gale_sampler_options *to = &q->sampling;
  double temperature = option_given(o, OPTION_TEMP) ? o->temp : missing->temperature;
  double top_p = option_given(o, OPTION_TOP_P) ? o->top_p : missing->top_p;
  int32_t top_k = option_given(o, OPTION_TOP_K) ? o->top_k : missing->top_k;
  to->temperature = field_number(at, "temperature", 0, 10, temperature);
  to->top_p = field_number(at, "top_p", 0, 1, top_p);
  to->min_p = field_number(at, "min_p", 0, 1, option_given(o, OPTION_MIN_P) ? o->min_p : 0);
  to->top_k = (int32_t)field_integer(at, "top_k", -1, INT32_MAX, top_k);
  if (to->top_k < 0) to->top_k = 0;
  to->presence_penalty = field_number(at, "presence_penalty", -2, 2, 0);
  to->frequency_penalty = field_number(at, "frequency_penalty", -2, 2, 0);
  to->repeat_penalty = read_repetition(at, option_given(o, OPTION_REPEAT_PENALTY) ? o->repeat_penalty : 1);
  to->repeat_last = -1;
  to->min_tokens = (int32_t)field_integer(at, "min_tokens", 0, INT32_MAX, 0);
  to->ignore_end = field_flag(at, "ignore_eos", false);
}

/* ---- Stopping ---- */

static void read_ends(question *q, place at) {
  place list = field_list(at, "stop_token_ids");
  if (!list.v) return;
  if (list.v->count > MOST_ENDS) field_refuse(list, NULL, FAILURE_LIMIT, "at most %d ids are accepted", MOST_ENDS);
  int32_t *ends = fields_new(at.f, list.v->count, sizeof *ends);
  size_t n = 0;
  for (const value *v = list.v->first; v && ends && !at.f->refused; v = v->next) {
    int64_t id = -1;
    if (!value_int64(v, &id) || id < 0 || id >= q->serving->info.n_drawable)
      field_refuse(place_item(list, n, v), NULL, FAILURE_FIELD, "an id from 0 to %d is accepted",
                   q->serving->info.n_drawable - 1);
    ends[n++] = (int32_t)id;
  }
  q->sampling.ends = ends;
  q->sampling.n_ends = n;
}

static void add_stop(question *q, place at, const value *v) {
  if (v->kind != VALUE_STRING || v->text.n < 1 || v->text.n > LONGEST_STOP || memchr(v->text.s, 0, v->text.n))
    field_refuse(at, NULL, FAILURE_FIELD, "a string of 1 to %d bytes without U+0000 is accepted", LONGEST_STOP);
  else
    q->stop[q->n_stop++] = fields_string(at.f, v->text);
}

static void read_stop(question *q, place at, const char *key) {
  const value *v = field_any(at, key);
  if (!v) return;
  if (v->kind != VALUE_STRING && v->kind != VALUE_ARRAY) {
    field_refuse(at, key, FAILURE_FIELD, "a string or a list of strings is accepted");
    return;
  }
  size_t n = v->kind == VALUE_ARRAY ? v->count : 1, index = 0;
  if (n > (size_t)q->serving->limits.stop)
    field_refuse(at, key, FAILURE_LIMIT, "there are %zu; at most %d are accepted", n, q->serving->limits.stop);
  q->stop = at.f->refused ? NULL : fields_new(at.f, n, sizeof *q->stop);
  if (!q->stop) return;
  place list = {at.f, v, key};
  if (*at.path) list.path = arena_printf(&at.f->memory, "%s.%s", at.path, key);
  if (!list.path) fields_memory(at.f);
  if (v->kind == VALUE_STRING) add_stop(q, list, v);
  for (const value *item = v->kind == VALUE_ARRAY ? v->first : NULL; item && !at.f->refused; item = item->next, index++)
    add_stop(q, place_item(list, index, item), item);
}

static void read_length(question *q, place at, const field_names *names) {
  for (int i = 0; i < 2; i++) {
    const char *key = names->max_tokens[i];
    const value *v = key ? field_any(at, key) : NULL;
    int64_t number;
    if (!v) continue;
    number = field_integer(at, key, names->max_needed ? names->max_least : -1, INT32_MAX, -1);
    if (number < names->max_least && number != -1)
      field_refuse(at, key, FAILURE_FIELD, "an integer from %lld to 2147483647, or -1, is accepted",
                   (long long)names->max_least);
    if (q->max_given) continue; /* it is checked, and does not count */
    q->max_tokens = (int32_t)number;
    q->max_given = true;
  }
  if (names->max_needed && !q->max_given) field_refuse(at, names->max_tokens[0], FAILURE_FIELD, "an integer is needed");
}

void question_sampling(question *q, place at, const field_names *names, const sampling_defaults *missing) {
  read_drawing(q, at, missing);
  read_bias(q, at);
  read_ends(q, at);
  read_seed(q, at, names);
  read_length(q, at, names);
  if (names->stop) read_stop(q, at, names->stop);
}
