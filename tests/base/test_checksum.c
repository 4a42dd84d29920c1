/* Sums: what must change them, and that they are the same everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/random.h"

enum { N = 4096 + 13 };

static uint8_t bytes[N];

static void fill(void) {
  for (int i = 0; i < N; i++) bytes[i] = (uint8_t)random_at(1, (uint64_t)i);
}

static void any_bit_changes_it(void **state) {
  (void)state;
  fill();
  uint64_t sum = checksum(bytes, N);
  for (int i = 0; i < N * 8; i++) {
    bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    assert_true(checksum(bytes, N) != sum);
    bytes[i / 8] ^= (uint8_t)(1 << i % 8);
  }
  assert_true(checksum(bytes, N) == sum);
}

static void any_two_bits_change_it(void **state) {
  (void)state;
  fill();
  uint64_t sum = checksum(bytes, N);
  for (uint64_t k = 0; k < 20000; k++) {
    /* Often the highest bits of words, which sums that wrap lose. */
    size_t i = random_at(2, 2 * k) % N, j = random_at(2, 2 * k + 1) % N;
    if (k % 2) i = i / 8 * 8 + 7, j = j / 8 * 8 + 7;
    if (i == j || i >= N || j >= N) continue;
    bytes[i] ^= 0x80, bytes[j] ^= 0x80;
    assert_true(checksum(bytes, N) != sum);
    bytes[i] ^= 0x80, bytes[j] ^= 0x80;
  }
}

static void order_and_length_count(void **state) {
  (void)state;
  uint8_t zeros[200] = {0};
  fill();
  uint64_t sum = checksum(bytes, N);
  for (int i = 0; i + 64 <= N; i += 4) {
    uint8_t word[4];
    memcpy(word, bytes + i, 4);
    memcpy(bytes + i, bytes + i + 32, 4);
    memcpy(bytes + i + 32, word, 4);
    assert_true(checksum(bytes, N) != sum);
    memcpy(word, bytes + i, 4);
    memcpy(bytes + i, bytes + i + 32, 4);
    memcpy(bytes + i + 32, word, 4);
  }
  for (size_t n = 0; n < sizeof zeros; n++) assert_true(checksum(zeros, n) != checksum(zeros, n + 1));
}

/* Files are kept by it. Unaligned bytes have the sum of aligned ones, and the largest size does not wrap. */
static void the_same_everywhere(void **state) {
  (void)state;
  fill();
  assert_true(checksum(bytes, N - 3) == 0xc241786305bf35beu);
  uint8_t *moved = malloc(CHECKSUM_MOST + 5);
  assert_non_null(moved);
  for (int shift = 1; shift < 5; shift++) {
    memcpy(moved + shift, bytes, N);
    assert_true(checksum(moved + shift, N) == checksum(bytes, N));
  }
  memset(moved, 0xFF, CHECKSUM_MOST);
  uint64_t all = checksum(moved, CHECKSUM_MOST);
  moved[0] ^= 0x80, moved[CHECKSUM_MOST - 1] ^= 0x80;
  assert_true(checksum(moved, CHECKSUM_MOST) != all);
  free(moved);
}

static void digests_keep_strings_apart(void **state) {
  (void)state;
  digest a = {0}, b = {0}, c = {0}, d = {0};
  digest_add(&a, "abc", 3), digest_add(&a, "d", 1);
  digest_add(&b, "ab", 2), digest_add(&b, "cd", 2);
  digest_add(&c, "abc", 3), digest_add(&c, "d", 2);
  digest_add(&d, "abc", 3), digest_add(&d, "d", 1);
  for (int h = 0; h < 2; h++) {
    assert_true(a.half[h] != b.half[h] && a.half[h] != c.half[h]);
    assert_true(a.half[h] == d.half[h]);
  }
  assert_true(a.half[0] != a.half[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_bit_changes_it),         cmocka_unit_test(any_two_bits_change_it),
      cmocka_unit_test(order_and_length_count),     cmocka_unit_test(the_same_everywhere),
      cmocka_unit_test(digests_keep_strings_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
