/* The hash tables of tokenizers: texts and pairs that are made to collide where a hash depends on nothing secret find
 * their places all the same, and no result depends on the key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tokenizer/built.h"

/* In a table that is half full, a good hash takes some 50 probes at most for this many texts, rarely 100; with one hash
 * for all it takes as many as there are texts. */
enum { N = 1 << 16, LENGTH = 16, MOST_PROBES = 1024 };

static uint64_t mix(uint64_t x) {
  x *= UINT64_C(0x9E3779B97F4A7C15);
  return x ^ x >> 32;
}

/* Eight bytes a step without a key, as tables that trust their texts are often hashed. */
static uint64_t plain_hash(const uint64_t *words) {
  return mix(mix(mix(LENGTH ^ words[0]) ^ words[1]));
}

/* N texts of 16 bytes with one plain hash: the second half of each takes back what the first has changed. */
static char *colliding_texts(void) {
  uint64_t *words = malloc(2 * N * sizeof *words);
  for (uint64_t i = 0; i < N; i++) {
    words[2 * i] = i * UINT64_C(0x0101010101);
    words[2 * i + 1] = mix(LENGTH ^ words[2 * i]) ^ 42;
    assert_true(plain_hash(words + 2 * i) == plain_hash(words));
  }
  return (char *)words;
}

static text_key key_of(uint64_t seed) {
  return text_key_of((uint64_t[]){mix(seed + 1), mix(seed + 2), mix(seed + 3)});
}

static uint32_t most_probes(const lookup *l) {
  uint32_t most = 0;
  for (uint32_t i = 0; i <= l->mask; i++) {
    size_t n;
    if (l->slots[i].symbol == SYMBOL_NONE) continue;
    const char *s = texts_get(&l->texts, l->slots[i].symbol, &n);
    uint32_t probes = ((i - lookup_place(l, text_hash(&l->key, s, n))) & l->mask) + 1;
    if (probes > most) most = probes;
  }
  return most;
}

static void check_texts(const char *bytes, size_t n, size_t length, const text_key *key) {
  arena memory = {0};
  uint32_t *at = arena_array(&memory, n + 1, sizeof *at);
  for (size_t i = 0; i <= n; i++) at[i] = (uint32_t)(i * length);
  lookup l;
  assert_true(lookup_create(&l, &memory, key, (texts){bytes, at}, n));
  for (uint32_t i = 0; i < n; i++) assert_true(lookup_add(&l, i));
  assert_in_range(most_probes(&l), 1, MOST_PROBES);
  for (uint32_t i = 0; i < n; i++) assert_int_equal(lookup_find(&l, bytes + i * length, length), i);
  assert_int_equal(lookup_find(&l, "no such text....", 16), SYMBOL_NONE);
  arena_free(&memory);
}

/* Texts that count up have differences in few bits, of whatever length. */
static void check_counting(size_t length, int high, const text_key *key) {
  char *bytes = calloc(N, length);
  for (uint32_t i = 0; i < N; i++) {
    uint32_t counter = i;
    memcpy(bytes + i * length + (high ? length - 2 : 0), &counter, 2);
  }
  check_texts(bytes, N, length, key);
  free(bytes);
}

static void texts_spread(void **state) {
  (void)state;
  char *bytes = colliding_texts();
  for (uint64_t seed = 0; seed < 8; seed++) {
    text_key key = seed ? key_of(seed) : text_key_draw();
    check_texts(bytes, N, LENGTH, &key);
    for (size_t length = 2; length < 32; length += length < 9 ? 1 : 5)
      for (int high = 0; high < 2; high++) check_counting(length, high, &key);
  }
  free(bytes);
}

static void pairs_spread(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 8; seed++) {
    text_key key = seed ? key_of(seed) : text_key_draw();
    for (int shift = 0; shift <= 8; shift += 4) {
      arena memory = {0};
      merge_table m;
      assert_true(merge_table_create(&m, &memory, &key, N));
      for (uint32_t i = 0; i < N; i++) merge_table_add(&m, (merge){(i >> 8) << shift, (i & 255) << shift, i, i});
      for (uint32_t i = 0; i < N; i++) {
        const merge *found = merge_find(&m, (i >> 8) << shift, (i & 255) << shift);
        assert_int_equal(found->symbol, i);
        assert_in_range((((uint32_t)(found - m.slots) - merge_place(&m, found->left, found->right)) & m.mask) + 1, 1,
                        MOST_PROBES);
      }
      arena_free(&memory);
    }
  }
}

/* All bytes of a text count, and its length. */
static void texts_differ(void **state) {
  (void)state;
  text_key key = key_of(9);
  char text[40] = {0};
  for (size_t n = 0; n < sizeof text; n++) {
    uint64_t hash = text_hash(&key, text, n);
    if (n > 0) assert_true(hash != text_hash(&key, text, n - 1));
    for (size_t i = 0; i < n; i++)
      for (int bit = 0; bit < 8; bit++) {
        text[i] ^= (char)(1 << bit);
        assert_true(hash != text_hash(&key, text, n));
        text[i] ^= (char)(1 << bit);
      }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(texts_spread),
      cmocka_unit_test(pairs_spread),
      cmocka_unit_test(texts_differ),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
