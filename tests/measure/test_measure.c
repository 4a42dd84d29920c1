/* Probing, costs and pretended positions. No test depends on how fast anything is. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gale_tools.h"

static const char *const levels[] = {"generic", "avx2", "avxvnni", "avx512", "amx", "neon"};

static gale_model *open_model(const char *name) {
  gale_model *m = NULL;
  gale_error error = {0};
  if (gale_model_open(name, NULL, &m, &error)) fail_msg("%s", error.message);
  return m;
}

static gale_session *open_session(const gale_model *m, gale_kv_type type, int32_t window, int32_t context) {
  gale_session_options o;
  gale_session_defaults(&o);
  o.threads = 1;
  o.chunk = 40;
  o.context = context;
  o.window = window;
  o.kv_type = type;
  o.max_sequences = 2;
  gale_session *s = NULL;
  assert_int_equal(gale_session_open(m, &o, &s, NULL), GALE_OK);
  return s;
}

static void check_rates(double best, double sustained) {
  assert_true(sustained > 0 && best >= sustained && isfinite(best));
}

static void every_level_is_probed(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
    for (int threads = 1; threads <= 3; threads += 2) {
      gale_probe_options o;
      gale_probe_defaults(&o);
      o.cpu = levels[i];
      o.threads = threads;
      o.seconds = 0;
      o.bytes = 5000001;
      gale_limits l = {0};
      gale_probe *p = NULL;
      gale_status status = gale_probe_open(&o, &p, NULL);
      if (status == GALE_E_UNSUPPORTED) continue;
      assert_int_equal(status, GALE_OK);
      gale_probe_run(p, &l);
      gale_probe_close(&p);
      assert_null(p);
      assert_string_equal(l.cpu, levels[i]);
      assert_int_equal(l.threads, threads);
      check_rates(l.best.read_bytes_per_second, l.sustained.read_bytes_per_second);
      check_rates(l.best.int8_ops_per_second, l.sustained.int8_ops_per_second);
      check_rates(l.best.float_ops_per_second, l.sustained.float_ops_per_second);
    }
}

static void options_of_a_probe_are_checked(void **state) {
  (void)state;
  const gale_probe_options wrong[] = {{.threads = -1},  {.threads = 1025},     {.seconds = -1},
                                      {.seconds = NAN}, {.bytes = UINT64_MAX}, {.cpu = "z80"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    gale_probe *p = NULL;
    gale_error error = {0};
    assert_int_equal(gale_probe_open(&wrong[i], &p, &error), GALE_E_ARGUMENT);
    assert_int_equal(error.code, GALE_E_ARGUMENT);
    assert_null(p);
  }
}

static void near(double a, double b) {
  assert_true(fabs(a - b) <= 1e-9 * fabs(b));
}

/* tiny: 2 layers, dim 64, 4 heads and 2 key/value heads of 16, hidden_dim 96, vocabulary 320, window 8. */
static void costs_of_a_small_model(void **state) {
  (void)state;
  gale_model *m = open_model("shape:tiny@f32");
  gale_session *s = open_session(m, GALE_KV_F16, GALE_WINDOW_NATIVE, 200);
  const double layer = 64 * 64 * 2 + 32 * 64 * 2 + 3 * 64 * 96, position = 2 * 2 * 16 * 2, pair = 4.0 * 4 * 16;
  gale_cost c;
  gale_step_cost(s, 1, 100, 1, &c);
  near(c.weight_bytes, 4 * (2 * layer + 320 * 64));
  near(c.float_ops, 2 * (2 * layer + 320 * 64));
  near(c.cache_bytes, 2 * 8 * position);
  near(c.attention_ops, 2 * 8 * pair);
  assert_true(c.int8_ops == 0);
  gale_step_cost(s, 3, 4, 8, &c); /* positions 4 .. 11: the window is full from position 7 on */
  near(c.float_ops, 2 * (24 * 2 * layer + 3 * 320 * 64));
  near(c.cache_bytes, 3 * 2 * 12 * position);
  near(c.attention_ops, 3 * 2 * (5 + 6 + 7 + 8 * 5) * pair);
  gale_session_close(&s);
  s = open_session(m, GALE_KV_Q8, GALE_WINDOW_NONE, 200);
  gale_step_cost(s, 1, 100, 1, &c);
  near(c.cache_bytes, 2 * 101 * 2 * 2 * (16 + 2.0));
  gale_session_close(&s);
  gale_model_close(&m);
}

static void chosen_experts_only(void **state) {
  (void)state;
  gale_model *m = open_model("shape:tiny-moe@q8_0");
  gale_session *s = open_session(m, GALE_KV_F16, GALE_WINDOW_NATIVE, 200);
  gale_cost one, two, many;
  gale_step_cost(s, 1, 0, 1, &one);
  gale_step_cost(s, 2, 0, 1, &two);
  gale_step_cost(s, 1, 0, 39, &many);
  const double expert = 3 * 64 * 96, values = 2 * (64 * 64 * 2 + 32 * 64 * 2 + 2 * expert) + 320 * 64;
  near(one.int8_ops + one.float_ops, 2 * (values + 2 * 4 * 64));
  const double packed = 12 * 1088 + 4 * 1664; /* panels of 64 and 96 inputs */
  near(two.weight_bytes - one.weight_bytes, 2 * packed * (4 * 0.75 - 2));
  near(many.weight_bytes - one.weight_bytes, 2 * packed * (4 * (1 - pow(0.5, 39)) - 2));
  gale_session_close(&s);
  gale_model_close(&m);
}

static uint64_t page_bytes(const gale_session *s) {
  gale_session_stats stats;
  gale_session_get_stats(s, &stats);
  return stats.kv_page_bytes;
}

/* It holds as many pages as after computing, and goes on from there with finite logits. */
static void pretended_positions(void **state) {
  (void)state;
  const int32_t lengths[] = {0, 1, 39, 40, 63, 64, 65, 100, 190},
                windows[] = {GALE_WINDOW_NATIVE, GALE_WINDOW_NONE, 70};
  gale_model *m = open_model("shape:tiny-mixed@q8_0");
  int32_t tokens[200] = {0};
  for (gale_kv_type type = GALE_KV_F16; type <= GALE_KV_Q8; type++)
    for (size_t w = 0; w < 3; w++)
      for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        gale_session *s = open_session(m, type, windows[w], 200);
        int32_t pretended, computed, n = lengths[i];
        assert_int_equal(gale_sequence_open(s, &computed, NULL), GALE_OK);
        if (n) assert_int_equal(gale_prefill(s, computed, tokens, (size_t)n, NULL, NULL, NULL), GALE_OK);
        uint64_t bytes = page_bytes(s);
        assert_int_equal(gale_sequence_open(s, &pretended, NULL), GALE_OK);
        assert_int_equal(gale_sequence_pretend(s, pretended, n, NULL), GALE_OK);
        assert_int_equal(gale_sequence_length(s, pretended), n);
        assert_true(page_bytes(s) == 2 * bytes);
        gale_input in = {pretended, tokens, 10, GALE_LOGITS_LAST};
        assert_int_equal(gale_step(s, &in, 1, NULL), GALE_OK);
        assert_int_equal(gale_sequence_length(s, pretended), n + 10);
        for (int v = 0; v < 320; v++) assert_true(isfinite(gale_logits(s, pretended, 0)[v]));
        gale_session_close(&s);
      }
  gale_model_close(&m);
}

static void pretending_is_refused(void **state) {
  (void)state;
  gale_model *m = open_model("shape:tiny@q8_0");
  gale_session *s = open_session(m, GALE_KV_F16, GALE_WINDOW_NATIVE, 200);
  int32_t sequence;
  assert_int_equal(gale_sequence_pretend(s, 0, 1, NULL), GALE_E_ARGUMENT);
  assert_int_equal(gale_sequence_open(s, &sequence, NULL), GALE_OK);
  assert_int_equal(gale_sequence_pretend(s, sequence, 201, NULL), GALE_E_CONTEXT);
  assert_int_equal(gale_sequence_pretend(s, sequence, -1, NULL), GALE_E_ARGUMENT);
  assert_int_equal(gale_sequence_length(s, sequence), 0);
  assert_int_equal(gale_sequence_pretend(s, sequence, 200, NULL), GALE_OK);
  assert_int_equal(gale_sequence_pretend(s, sequence, 1, NULL), GALE_E_ARGUMENT);
  gale_session_close(&s);
  gale_model_close(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_level_is_probed),  cmocka_unit_test(options_of_a_probe_are_checked),
      cmocka_unit_test(costs_of_a_small_model), cmocka_unit_test(chosen_experts_only),
      cmocka_unit_test(pretended_positions),    cmocka_unit_test(pretending_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
