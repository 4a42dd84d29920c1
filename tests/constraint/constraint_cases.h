/* Constraints on texts, for tests: open, take bytes, say whether they fit. */
#ifndef CONSTRAINT_CASES_H
#define CONSTRAINT_CASES_H

#include "tokenizer/text_cases.h"

#include "gale_constraint.h"

/* A vocabulary of single bytes and some longer texts, as byte-level BPE has it. */
static inline gale_tokenizer *byte_tokenizer(void) {
  static char text[256][4];
  static const char *tokens[258];
  static uint32_t lengths[258];
  static uint8_t types[258];
  for (int b = 0; b < 256; b++) {
    bool plain = (b >= '!' && b <= '~') || (b >= 0xA1 && b != 0xAD);
    static int others;
    if (b == 0) others = 0;
    unsigned c = plain ? (unsigned)b : 256u + (unsigned)others++;
    text[b][0] = (char)(c < 0x80 ? c : 0xC0 | c >> 6);
    text[b][1] = (char)(c < 0x80 ? 0 : 0x80 | (c & 0x3F));
    tokens[b] = text[b];
    lengths[b] = c < 0x80 ? 1 : 2;
    types[b] = TOKEN_NORMAL;
  }
  tokens[256] = "<s>";
  tokens[257] = "</s>";
  lengths[256] = 3;
  lengths[257] = 4;
  types[256] = types[257] = TOKEN_CONTROL;
  const vocabulary v = {.kind = VOCABULARY_BPE,
                        .source = "bytes",
                        .n_tokens = 258,
                        .tokens = tokens,
                        .lengths = lengths,
                        .types = types,
                        .pre = "smollm",
                        .bos = 256,
                        .eos = 257,
                        .unk = -1};
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  if (tokenizer_create(&v, &t, &error)) fail_msg("%s", error.message);
  return t;
}

static inline gale_constraint *open_constraint(const gale_mask_table *table, gale_constraint_kind kind,
                                               const char *text, gale_error *error) {
  gale_constraint_options o;
  gale_constraint_defaults(&o);
  o.kind = kind;
  o.text = text;
  o.length = text ? strlen(text) : 0;
  gale_constraint *c = NULL;
  gale_constraint_open(table, &o, &c, error);
  return c;
}

/* How many bytes of a text fit, and whether it is complete then. */
static inline size_t fitting(const gale_constraint *c, const char *text, size_t n, bool *complete) {
  gale_constraint_state *s = NULL;
  size_t taken = 0;
  assert_int_equal(gale_constraint_begin(c, &s, NULL), GALE_OK);
  assert_int_equal(gale_constraint_accept_bytes(s, text, n, &taken, NULL), GALE_OK);
  *complete = gale_constraint_complete(s);
  gale_constraint_end(&s);
  return taken;
}

static inline bool fits(const gale_constraint *c, const char *text) {
  bool complete;
  return fitting(c, text, strlen(text), &complete) == strlen(text) && complete;
}

typedef struct constraint_case {
  const char *text;
  const char *good[12], *bad[16];
} constraint_case;

static inline void check_cases(gale_constraint_kind kind, const constraint_case *cases, size_t n) {
  gale_tokenizer *t = byte_tokenizer();
  gale_mask_table *table = NULL;
  gale_error error = {0};
  assert_int_equal(gale_mask_table_open(t, &table, &error), GALE_OK);
  int wrong = 0;
  for (size_t i = 0; i < n; i++) {
    const char *name = cases[i].text ? cases[i].text : "JSON";
    gale_constraint *c = open_constraint(table, kind, cases[i].text, &error);
    if (!c) {
      print_message("%s: %s\n", name, error.message);
      wrong++;
      continue;
    }
    for (const char *const *good = cases[i].good; *good; good++)
      if (!fits(c, *good)) {
        bool complete;
        size_t taken = fitting(c, *good, strlen(*good), &complete);
        print_message("%s refuses %s at byte %zu\n", name, *good, taken);
        wrong++;
      }
    for (const char *const *bad = cases[i].bad; *bad; bad++)
      if (fits(c, *bad)) {
        print_message("%s takes %s\n", name, *bad);
        wrong++;
      }
    gale_constraint_close(&c);
  }
  gale_mask_table_close(&table);
  gale_tokenizer_close(&t);
  assert_int_equal(wrong, 0);
}

typedef struct error_case {
  const char *text, *place; /* what the message begins with */
} error_case;

static inline void check_errors(gale_constraint_kind kind, const error_case *cases, size_t n) {
  gale_tokenizer *t = byte_tokenizer();
  gale_mask_table *table = NULL;
  gale_error error = {0};
  assert_int_equal(gale_mask_table_open(t, &table, &error), GALE_OK);
  int wrong = 0;
  for (size_t i = 0; i < n; i++) {
    error = (gale_error){0};
    gale_constraint *c = open_constraint(table, kind, cases[i].text, &error);
    if (!c && strncmp(error.message, cases[i].place, strlen(cases[i].place)) == 0) continue;
    print_message("%.200s: %s\n", cases[i].text, c ? "compiles" : error.message);
    gale_constraint_close(&c);
    wrong++;
  }
  gale_mask_table_close(&table);
  gale_tokenizer_close(&t);
  assert_int_equal(wrong, 0);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

#endif
