/* One model in several kinds of file gives one result: cases that share a reference give the same bytes, whatever
 * names, layouts, settings and orders of rows their files have. */
#include "models/model_cases.h"

enum { LONGEST = 300 };

typedef struct twins {
  char title[160];
  const model_case *first, *other;
} twins;

static float *logits_of(const model_case *c, const reference *r, size_t n) {
  gale_model *model = model_open_cpu(c, NULL);
  assert_int_equal(model_vocab(model), r->vocab_size);
  gale_session_options options = session_options(GALE_KV_F16, n);
  float *logits = run_text(model, &options, r->ids, n);
  gale_model_close(&model);
  return logits;
}

static void test_twins_agree(void **state) {
  const twins *t = *state;
  reference r = reference_read(t->first);
  size_t n = r.n_ids < LONGEST ? r.n_ids : LONGEST;
  float *a = logits_of(t->first, &r, n), *b = logits_of(t->other, &r, n);
  for (size_t i = 0; i < n * r.vocab_size; i++)
    if (memcmp(&a[i], &b[i], sizeof *a) != 0)
      fail_msg("position %zu, logit %zu: %a and %a", i / r.vocab_size, i % r.vocab_size, (double)a[i], (double)b[i]);
  free(a);
  free(b);
  reference_free(&r);
}

int main(void) {
  static model_case cases[MAX_CASES];
  static twins pairs[MAX_CASES];
  static struct CMUnitTest tests[MAX_CASES];
  size_t n_cases = cases_read(cases), n = 0;
  for (size_t i = 0; i < n_cases; i++) {
    const model_case *first = case_first_twin(cases, &cases[i]);
    if (first == &cases[i]) continue;
    pairs[n] = (twins){.first = first, .other = &cases[i]};
    snprintf(pairs[n].title, sizeof pairs[n].title, "%.63s and %.63s", first->name, cases[i].name);
    tests[n] = (struct CMUnitTest){pairs[n].title, test_twins_agree, NULL, NULL, &pairs[n]};
    n++;
  }
  return _cmocka_run_group_tests("twins", tests, n, NULL, NULL);
}
