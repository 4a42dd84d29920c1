/* Logits have the bits that they had on other machines: of each kind of model and of cache, what the first tokens of
 * its text give is compared with a hash. Only a change of docs/NUMERICS.md may change one; the message of a failure
 * says what it would be. */
#include "models/model_cases.h"

enum { HASHES_OF_VERSION = 3 };

/* The long text ends in the second block of the third span of attention. */
enum { MOST_TOKENS = 24, CHUNK = 7, LONG_TOKENS = 8600, LONG_CHUNK = 500 };

typedef struct known {
  const char *model;
  uint64_t hash[3]; /* by gale_kv_type */
} known;

static const known models[] = {
    {"gguf-f32", {0x4DA6FAA57556E18A, 0xB22D7392514D7D42, 0xC5F82B89B4AB0E20}},
    {"gguf-f16", {0xB586A6E909D4AAF6, 0xF197A203B0FB3E1F, 0xF723263CBCE0D8B8}},
    {"gguf-bf16", {0xC8B3217BE5CC1400, 0x465DB915A85347A6, 0x986A35893DAB3C80}},
    {"gguf-q8_0", {0x7DEB2A108887C466, 0x115B7D2B59243D55, 0x8704D97817E02664}},
    {"gguf-q4_0", {0x10479BDE929D3E15, 0xC165285BC3CDC334, 0xADD133CD3E205A21}},
    {"gguf-q4_1", {0xEE6234D5EE7EB381, 0x2D60CA4C44A7F889, 0xD0980D4EB7BA284D}},
    {"gguf-q5_0", {0x822C0E304C8D97FB, 0x0C6FF1FFC5171824, 0x40028D2D6809202D}},
    {"gguf-q5_1", {0x92A19F85B0FB70DA, 0xA43183205ACE8CC0, 0x679D818741C77D99}},
    {"gguf-k", {0x80BBC9B75A39EE8E, 0x8FC32F2A439DB926, 0x716732A1A0AACD7A}},
    {"mistral-window-8", {0xF51B5959B5515191, 0x1F7A559BC82357A0, 0x93A5CAB84B0CCBC3}},
    {"mistral-odd", {0x2F52306BC84EC93E, 0xD7A1859AA0CCB0BC, 0x3A94893BB4CB0EB4}},
    {"mistral-yarn", {0x84BDD847E2E4C3B8, 0xFCB6C520F818286F, 0xAF594A3DEDD292C4}},
    {"ministral3", {0x8DEB0E4011415BD6, 0x8DF799001F5CF72E, 0x35F4678C5ED597E6}},
    {"mixtral-q4_0", {0xDD3B5F04BEE752D7, 0x3FAD88EF09D39DF9, 0x79CED52FE01E0768}},
    {"mixtral-8x2-window", {0x90E56FA382370C1A, 0x06E0211282B2E5C1, 0xF6F097C0609AECD0}},
    {"gemma-tanh", {0xC687CB6B0A46B2DF, 0x31DC80E4470156CC, 0x22573A022FA6C813}},
    {"gemma2-caps", {0xC65437AAE6EAB105, 0x85C1DE639A35C3D0, 0x8750377E5292B421}},
    {"gemma3", {0x69B0B5E6CF928BB0, 0x31153703A43C9DD4, 0x6B6FA3F6A35927FD}},
};
enum { MODELS_KNOWN = sizeof models / sizeof *models };

/* FNV-1a of the floats' bits. */
static uint64_t hash_of(const float *x, size_t n) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    for (int at = 0; at < 32; at += 8) hash = (hash ^ (bits >> at & 0xFF)) * 0x100000001B3u;
  }
  return hash;
}

static const model_case *find_case(const model_case *cases, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++)
    if (strcmp(cases[i].name, name) == 0) return &cases[i];
  fail_msg("cases.txt has no %s", name);
  return NULL;
}

/* The hash of all logits of n tokens, by type of cache; the case's ids are repeated if need be. */
static void hash_all(const model_case *c, size_t n, int32_t window, int32_t chunk, uint64_t is[3]) {
  reference r = reference_read(c);
  gale_model *model = model_open_cpu(c, NULL);
  int32_t *ids = malloc(n * sizeof *ids);
  assert_non_null(ids);
  for (size_t i = 0; i < n; i++) ids[i] = r.ids[i % r.n_ids];
  for (int kv = 0; kv < 3; kv++) {
    gale_session_options options = session_options((gale_kv_type)kv, (size_t)chunk);
    options.window = window;
    float *logits = run_text(model, &options, ids, n);
    is[kv] = hash_of(logits, n * r.vocab_size);
    free(logits);
  }
  free(ids);
  gale_model_close(&model);
  reference_free(&r);
}

static bool is_known(const known *k, const uint64_t is[3]) {
  if (memcmp(is, k->hash, sizeof k->hash) == 0) return true;
  print_error("{\"%s\", {0x%016llX, 0x%016llX, 0x%016llX}},\n", k->model, (unsigned long long)is[0],
              (unsigned long long)is[1], (unsigned long long)is[2]);
  return false;
}

static void test_hashes(void **state) {
  (void)state;
  static model_case cases[MAX_CASES];
  size_t n_cases = cases_read(cases);
  int wrong = 0;
  for (int i = 0; i < MODELS_KNOWN; i++) {
    const model_case *c = find_case(cases, n_cases, models[i].model);
    reference r = reference_read(c);
    uint64_t is[3];
    hash_all(c, r.n_ids < MOST_TOKENS ? r.n_ids : MOST_TOKENS, GALE_WINDOW_NATIVE, CHUNK, is);
    wrong += !is_known(&models[i], is);
    reference_free(&r);
  }
  if (wrong) fail_msg("%d of %d models give other bits", wrong, MODELS_KNOWN);
}

/* Over several spans of attention, with a window that begins within one, and without. */
static void test_long(void **state) {
  (void)state;
  static const known windowed = {"mistral-window-4096", {0x50BB0F6A882BB2E8, 0xC9572F1CB0AF5224, 0xAF2D9C88B41945EB}};
  static const known whole = {"mistral-window-4096", {0x6E96E4488A2D4FF2, 0xEF3C2E7C4596E523, 0xE4A9CA306AADC871}};
  static model_case cases[MAX_CASES];
  size_t n_cases = cases_read(cases);
  uint64_t is[3];
  const model_case *c = find_case(cases, n_cases, windowed.model);
  hash_all(c, LONG_TOKENS, GALE_WINDOW_NATIVE, LONG_CHUNK, is);
  bool same = is_known(&windowed, is);
  hash_all(c, LONG_TOKENS, GALE_WINDOW_NONE, LONG_CHUNK, is);
  same &= is_known(&whole, is);
  assert_true(same);
}

static void test_version(void **state) {
  (void)state;
  assert_int_equal(GALE_NUMERICS_VERSION, HASHES_OF_VERSION);
  assert_int_equal(gale_numerics_version(), HASHES_OF_VERSION);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_version), cmocka_unit_test(test_hashes),
                                     cmocka_unit_test(test_long)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
