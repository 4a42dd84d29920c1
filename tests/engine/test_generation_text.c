/* The text of generations whose tokens are given: stop texts across tokens, thinking and calls, characters that are
 * cut, what is held back and when it comes. */
#include "tokenizer/built.h"
#include "tokenizer/text_cases.h"

/* Ids of parts, each encoded by itself; those that begin with [ and a capital or a slash are control tokens. */
static size_t make_ids(const gale_tokenizer *t, const char *const *parts, int32_t *to) {
  size_t n = 0;
  for (; *parts; parts++) {
    int32_t *ids;
    size_t more;
    if (**parts == '[' && ((*parts)[1] == '/' || ((*parts)[1] >= 'A' && (*parts)[1] <= 'Z'))) {
      to[n++] = tokenizer_control(t, *parts);
      assert_true(to[n - 1] >= 0);
      continue;
    }
    assert_int_equal(gale_tokenize(t, *parts, strlen(*parts), false, &ids, &more, NULL), GALE_OK);
    memcpy(to + n, ids, more * sizeof *ids);
    n += more;
    gale_free(ids);
  }
  return n;
}

/* Writes pieces as K<text>, with K c, t, f or a; neighbours of one kind as one. */
static void tell(gale_generation *g, char *out) {
  static const char KINDS[] = "ctfa";
  for (const gale_piece *p; (p = gale_generation_next(g));) {
    size_t n = strlen(out);
    char *open = n ? strrchr(out, '<') : NULL;
    bool same = open && open[-1] == KINDS[p->kind] && p->kind != GALE_PIECE_CALL;
    if (same)
      sprintf(out + n - 1, "%.*s>", (int)p->length, p->text);
    else
      sprintf(out + n, "%c<%.*s>", KINDS[p->kind], (int)p->length, p->text);
    if (p->kind == GALE_PIECE_CALL) assert_true(p->id && *p->id);
  }
}

typedef struct expected {
  const char *text; /* as tell() writes it */
  gale_finish finish;
  int32_t stop, n_thinking;
} expected;

/* Gives ids until the answer has ended; then it is cancelled, or with `ends` ended by EOS. */
static void generates(const gale_tokenizer *t, gale_generation_options o, const char *const *parts, bool ends,
                      expected e) {
  int32_t ids[256];
  size_t n = make_ids(t, parts, ids);
  for (size_t pull = 1; pull < 4; pull++) { /* after how many tokens pieces are asked for */
    char out[1000] = "";
    gale_generation *g = NULL;
    gale_generation_result r;
    gale_error error = {0};
    if (gale_generation_open(NULL, t, &o, &g, &error)) fail_msg("%s", error.message);
    gale_generation_get_result(g, &r);
    for (size_t i = 0; i < n && !r.finish; i++) {
      if (gale_generation_accept(g, ids[i], &error)) fail_msg("%s", error.message);
      gale_generation_get_result(g, &r);
      if (i % pull == 0) tell(g, out);
    }
    if (!r.finish && ends) assert_int_equal(gale_generation_accept(g, gale_tokenizer_eos(t), &error), GALE_OK);
    assert_int_equal(gale_generation_end(g, GALE_FINISH_CANCELLED, &error), GALE_OK);
    tell(g, out);
    assert_null(gale_generation_next(g));
    gale_generation_get_result(g, &r);
    assert_string_equal(out, e.text);
    assert_int_equal(r.finish, e.finish);
    assert_int_equal(r.stop, e.finish == GALE_FINISH_STOP ? e.stop : -1);
    assert_int_equal(r.n_thinking, e.n_thinking);
    assert_int_equal(gale_generation_accept(g, ids[0], &error), GALE_E_ARGUMENT);
    gale_generation_close(&g);
  }
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static gale_generation_options with_stops(const char *form, const char *const *stops) {
  gale_generation_options o;
  gale_generation_defaults(&o);
  o.form = form;
  o.stop = stops;
  while (stops && stops[o.n_stop]) o.n_stop++;
  return o;
}

static void stops(void **state) {
  (void)state;
  gale_tokenizer *t = load_tekken("v13");
  const char *form = gale_chat_template(t);
  gale_generation_options plain = with_stops(NULL, LIST("User:", "lo w", "o wo"));
  generates(t, plain, LIST("Hel", "lo", " wor", "ld"), true, (expected){"c<Hel>", GALE_FINISH_STOP, 1, 0});
  generates(t, plain, LIST("Hel", "lo Use"), true, (expected){"c<Hello Use>", GALE_FINISH_END, 0, 0});
  generates(t, plain, LIST("Hel", "lo Use"), false, (expected){"c<Hello Use>", GALE_FINISH_CANCELLED, 0, 0});
  /* In content only, and not across what stands between. */
  gale_generation_options o = with_stops(form, LIST("stop", "nd"));
  generates(t, o, LIST("[THINK]", "stop here", "[/THINK]", "go s", "top it"), true,
            (expected){"t<stop here>c<go >", GALE_FINISH_STOP, 0,
                       (int32_t)make_ids(t, LIST("stop here"), (int32_t[99]){0}) + 2});
  generates(t, o, LIST("a st", "[TOOL_CALLS]", "stop", "[ARGS]", "{\"stop\": 1}"), true,
            (expected){"c<a st>f<stop>a<{\"stop\": 1}>", GALE_FINISH_END, 0, 0});
  gale_tokenizer_close(&t);
}

/* A stop text that is a control token's ends the answer at that token in any state, and as text too. What was held back
 * before it comes out, or ends the answer itself. */
static void stops_at_control_tokens(void **state) {
  (void)state;
  gale_tokenizer *t = load_tekken("v13");
  const char *form = gale_chat_template(t);
  int32_t hm = (int32_t)make_ids(t, LIST("Hm"), (int32_t[9]){0});
  gale_generation_options o = with_stops(NULL, LIST("stop", "[INST]"));
  generates(t, o, LIST("a st", "[INST]", "op"), true, (expected){"c<a st>", GALE_FINISH_STOP, 1, 0});
  o.special = true;
  generates(t, o, LIST("a", "[THINK]", "b", "[INST]"), true, (expected){"c<a[THINK]b>", GALE_FINISH_STOP, 1, 0});
  generates(t, o, LIST("an [IN", "ST]"), true, (expected){"c<an >", GALE_FINISH_STOP, 1, 0});
  o = with_stops(form, LIST("[/THINK]", "[ARGS]"));
  generates(t, o, LIST("[THINK]", "Hm", "[/THINK]", "Yes"), true, (expected){"t<Hm>", GALE_FINISH_STOP, 0, hm + 1});
  generates(t, o, LIST("[TOOL_CALLS]", "f", "[ARGS]", "{}"), true, (expected){"f<f>", GALE_FINISH_STOP, 1, 0});
  /* The answer's own end comes first. */
  o = with_stops(form, LIST("</s>"));
  generates(t, o, LIST("a"), true, (expected){"c<a>", GALE_FINISH_END, 0, 0});
  gale_tokenizer_close(&t);
  t = load_tekken("v7");
  o = with_stops("mistral-v7", LIST("oops", "[INST]"));
  generates(t, o, LIST("[TOOL_CALLS]", "[1, oops", "[INST]"), true, (expected){"c<[1, >", GALE_FINISH_STOP, 0, 0});
  gale_tokenizer_close(&t);
}

static void thinking_and_calls(void **state) {
  (void)state;
  gale_tokenizer *t = load_tekken("v13");
  gale_generation_options o = with_stops(gale_chat_template(t), NULL);
  const char *const *parts =
      LIST("[THINK]", "Hm", "[/THINK]", "Yes", "[TOOL_CALLS]", "f", "[ARGS]", "{}", "[TOOL_CALLS]", "g");
  generates(t, o, parts, true,
            (expected){"t<Hm>c<Yes>f<f>a<{}>f<g>", GALE_FINISH_END, 0,
                       (int32_t)make_ids(t, LIST("Hm"), (int32_t[9]){0}) + 2});
  /* Without a form all text is content, and with special the control tokens too. */
  o.form = NULL;
  generates(t, o, parts, true, (expected){"c<HmYesf{}g>", GALE_FINISH_END, 0, 0});
  o.special = true;
  generates(t, o, LIST("a", "[THINK]", "b"), true, (expected){"c<a[THINK]b>", GALE_FINISH_END, 0, 0});
  gale_tokenizer_close(&t);
  t = load_tekken("v7");
  o = with_stops("mistral-v7", LIST("oops"));
  generates(t, o, LIST("[TOOL_CALLS]", "[{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"g\"}]"), true,
            (expected){"f<f>a<{\"a\": 1}>f<g>", GALE_FINISH_END, 0, 0});
  /* A list that is none is content in the end, in which a stop text counts. */
  generates(t, o, LIST("a", "[TOOL_CALLS]", "[1, oops"), true, (expected){"c<a[1, >", GALE_FINISH_STOP, 0, 0});
  gale_tokenizer_close(&t);
}

/* A character whose bytes are several tokens: cut by the caller or by max_tokens it is left out; where the model ends
 * within it, it is none. */
static void cut_characters(void **state) {
  (void)state;
  gale_tokenizer *t = load_tekken("v13");
  gale_generation_options o = with_stops(NULL, NULL);
  int32_t ids[16];
  size_t n = make_ids(t, LIST("\xF0\x93\x80\x80"), ids); /* a hieroglyph */
  assert_true(n > 1);
  const char *const *parts = LIST("ab", "\xF0\x93\x80\x80");
  size_t before = make_ids(t, LIST("ab"), ids);
  o.max_tokens = (int32_t)before + 1;
  generates(t, o, parts, true, (expected){"c<ab>", GALE_FINISH_LENGTH, 0, 0});
  o.max_tokens = (int32_t)(before + n);
  generates(t, o, parts, true, (expected){"c<ab\xF0\x93\x80\x80>", GALE_FINISH_LENGTH, 0, 0});
  o.max_tokens = -1;
  for (int ends = 0; ends < 2; ends++) {
    char out[100] = "";
    gale_generation *g = NULL;
    assert_int_equal(gale_generation_open(NULL, t, &o, &g, NULL), GALE_OK);
    make_ids(t, LIST("\xF0\x93\x80\x80"), ids);
    for (size_t i = 0; i + 1 < n; i++) assert_int_equal(gale_generation_accept(g, ids[i], NULL), GALE_OK);
    assert_null(gale_generation_next(g));
    if (ends) assert_int_equal(gale_generation_accept(g, gale_tokenizer_eos(t), NULL), GALE_OK);
    assert_int_equal(gale_generation_end(g, GALE_FINISH_CANCELLED, NULL), GALE_OK);
    tell(g, out);
    assert_string_equal(out, ends ? "c<\xEF\xBF\xBD>" : "");
    gale_generation_close(&g);
  }
  gale_tokenizer_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(stops),
      cmocka_unit_test(stops_at_control_tokens),
      cmocka_unit_test(thinking_and_calls),
      cmocka_unit_test(cut_characters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
