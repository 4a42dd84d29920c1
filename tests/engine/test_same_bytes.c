/* Logits have the bits that they had on other machines: of each kind of model and of cache, what the first tokens of
 * its text give is compared with a hash. Only a change of docs/NUMERICS.md may change one; the message of a failure
 * says what it would be. */
#include "models/model_cases.h"

/* The long text ends in the second block of the third span of attention. */
enum { MOST_TOKENS = 24, CHUNK = 7, LONG_TOKENS = 8600, LONG_CHUNK = 500 };

typedef struct known {
  const char *model;
  uint64_t hash[3]; /* by gale_kv_type */
} known;

static const known models[] = {
    {"gguf-f32", {0x8D129A19BAC632F4, 0xE197B836F8A42757, 0xC437531300A0A328}},
    {"gguf-f16", {0x57DF92B030EEBA4A, 0x9787397C22382741, 0x36F2F7F0C105599B}},
    {"gguf-bf16", {0x9517995E9A8E456C, 0x60DD78EBB0320957, 0x2AD7BECF82405DD8}},
    {"gguf-q8_0", {0xD9C510BFEE4C1A40, 0x72BB90BC45E3FD02, 0x7E81741B64EDF128}},
    {"gguf-q4_0", {0xCA6027CAB87995A6, 0x6668EB9158B68574, 0xCCB13AA33759C44B}},
    {"gguf-q4_1", {0xDDCC1E0E7FE1E670, 0x7BC76D23F7E47E25, 0x5AE07F4928387F7F}},
    {"gguf-q5_0", {0x78EF71ED99742A2F, 0x2036ED9523DF34E0, 0xAFBDEA179C7C25BA}},
    {"gguf-q5_1", {0xA4C1467875B81843, 0xA9A32847CE05FF0E, 0x28A02EBC722A2250}},
    {"gguf-k", {0x81D6AD4BCA338736, 0x0BF6E512DEC77186, 0xAE36F349FD20B7E3}},
    {"mistral-window-8", {0x14E2182244B81078, 0x56FAE6DA6FD33230, 0xF1C11C2FB984CD39}},
    {"mistral-odd", {0x278BE91E4A7997E7, 0x1D50FD8E8CC9D1C9, 0x65DD2600337276E2}},
    {"mistral-yarn", {0x84BDD847E2E4C3B8, 0xFCB6C520F818286F, 0xAF594A3DEDD292C4}},
    {"ministral3", {0x8DEB0E4011415BD6, 0x8DF799001F5CF72E, 0x35F4678C5ED597E6}},
    {"mixtral-q4_0", {0x07159257C7148412, 0x55A9CB3E063C940A, 0xE4C98258CA6581B1}},
    {"mixtral-8x2-window", {0x90E56FA382370C1A, 0x06E0211282B2E5C1, 0xF6F097C0609AECD0}},
    {"gemma-tanh", {0x79B9DBAA6A2FD845, 0xF8515F36C278C09C, 0x90472B26A2C50DC4}},
    {"gemma2-caps", {0xC875B8D4E8C7CBDA, 0xD9764A6835EF68A5, 0x387740C26403720E}},
    {"gemma3", {0x8C66159C93D007BA, 0x15B70788801C5722, 0x8156BD47031A8BF4}},
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

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_hashes), cmocka_unit_test(test_long)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
