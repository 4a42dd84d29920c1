#include "constraint/decimal.h"

#include "constraint/json_text.h"

#include <string.h>

enum { MOST_MULTIPLE_STATES = 4096 };

bool decimal_read(slice text, decimal *d) {
  *d = (decimal){0};
  size_t i = 0;
  int scale = 0;
  bool point = false;
  if (i < text.n && text.s[i] == '-') {
    d->negative = true;
    i++;
  }
  int dropped = 0; /* zeros at the end that may still be followed by digits */
  for (; i < text.n && (text.s[i] == '.' || (text.s[i] >= '0' && text.s[i] <= '9')); i++) {
    char c = text.s[i];
    if (c == '.') {
      point = true;
      continue;
    }
    if (point) scale++;
    if (scale > 1000) return false;
    if (c == '0') {
      if (d->n) dropped++;
      if (dropped > 1000) return false;
      continue;
    }
    if (d->n + dropped + 1 > DECIMAL_DIGITS) return false;
    while (dropped > 0) {
      d->digits[d->n++] = '0';
      dropped--;
    }
    d->digits[d->n++] = c;
  }
  int exponent = 0;
  bool minus = false;
  if (i < text.n) { /* e */
    i++;
    if (i < text.n && (text.s[i] == '-' || text.s[i] == '+')) minus = text.s[i++] == '-';
    for (; i < text.n; i++) {
      exponent = exponent * 10 + (text.s[i] - '0');
      if (exponent > 1000) return false;
    }
  }
  d->point = d->n + dropped - scale + (minus ? -exponent : exponent);
  if (d->n == 0) {
    d->point = 0;
    d->negative = false;
  }
  return true;
}

static int compare_sizes(const decimal *a, const decimal *b) {
  if (a->n == 0 || b->n == 0) return (a->n > 0) - (b->n > 0);
  if (a->point != b->point) return a->point < b->point ? -1 : 1;
  int n = a->n < b->n ? a->n : b->n, order = memcmp(a->digits, b->digits, (size_t)n);
  return order ? order : (a->n > b->n) - (a->n < b->n);
}

int decimal_compare(const decimal *a, const decimal *b) {
  if (a->negative != b->negative) return a->negative ? -1 : 1;
  int order = compare_sizes(a, b);
  return a->negative ? -order : order;
}

bool decimal_whole(const decimal *d) {
  return d->n <= d->point || d->n == 0;
}

/* ---- Digits on one side of others ---- */

static expr *digit_range(expr_pool *p, int first, int last) {
  return first > last ? p->none : expr_range(p, (unsigned)('0' + first), (unsigned)('0' + last));
}

static expr *some_digits(expr_pool *p, uint32_t least, uint32_t most) {
  return expr_repeat(p, expr_range(p, '0', '9'), least, most);
}

/* Digit i of the part before the point, of `whole` digits, or behind it. */
static int digit_at(const decimal *d, int i) {
  return i >= 0 && i < d->n ? d->digits[i] - '0' : 0;
}

/* A point and digits that make any fraction, zero alone, or nothing. */
static expr *any_fraction(expr_pool *p, bool integer) {
  const json_parts *j = json_parts_of(p);
  if (!j) return p->none;
  if (!integer) return j->fraction;
  return expr_optional(p, expr_seq(p, expr_string(p, "."), expr_repeat(p, expr_string(p, "0"), 1, JSON_DIGITS)));
}

/* Digits behind the point, `left` at most, that are on the wanted side of the bound's from digit i on. `some` digits
 * stand before them. */
static expr *fraction_side(expr_pool *p, const decimal *d, int i, bool above, bool equal, int left, bool some) {
  if (i >= d->n) { /* the bound's digits are over: 0 and more follow */
    if (above && equal) return some_digits(p, some ? 0 : 1, (uint32_t)left);
    expr *zeros = expr_repeat(p, expr_string(p, "0"), some ? 0 : 1, (uint32_t)left);
    if (!above) return equal ? zeros : p->none;
    if (left == 0) return p->none;
    expr *rest = p->none; /* zeros, then some other digit, then any */
    for (int z = 0; z < left; z++)
      rest = expr_or(p, rest,
                     expr_list(p,
                               (expr *const[]){expr_repeat(p, expr_string(p, "0"), (uint32_t)z, (uint32_t)z),
                                               digit_range(p, 1, 9), some_digits(p, 0, (uint32_t)(left - z - 1))},
                               3));
    return rest;
  }
  int digit = digit_at(d, i);
  /* Where the text ends here, zeros follow, which are below the bound's rest: its last digit is not 0. */
  expr *end = !above && some ? p->empty : p->none;
  if (left == 0) return end;
  expr *apart = expr_seq(p, above ? digit_range(p, digit + 1, 9) : digit_range(p, 0, digit - 1),
                         some_digits(p, 0, (uint32_t)(left - 1)));
  expr *same = expr_seq(p, digit_range(p, digit, digit), fraction_side(p, d, i + 1, above, equal, left - 1, true));
  return expr_or(p, end, expr_or(p, apart, same));
}

/* What may follow the bound's own digits before the point. */
static expr *fraction_of(expr_pool *p, const decimal *d, bool above, bool equal, bool integer) {
  int start = d->point;                   /* index of the first digit behind the point; below 0: zeros */
  bool zero = d->n == 0 || start >= d->n; /* the bound has no fraction */
  if (integer) {
    bool fits = zero ? equal : !above;
    return fits ? any_fraction(p, true) : p->none;
  }
  expr *some = fraction_side(p, d, zero ? d->n : start, above, equal, JSON_DIGITS, false);
  expr *with = expr_seq(p, expr_string(p, "."), some);
  bool none = zero ? equal : !above; /* without a fraction */
  return none ? expr_optional(p, with) : with;
}

/* Unsigned numbers at least (above) or at most |d|. */
static expr *sizes(expr_pool *p, const decimal *d, bool above, bool equal, bool integer) {
  int whole = d->point > 0 && d->n > 0 ? d->point : 0;
  expr *fraction = any_fraction(p, integer), *all = p->none;
  if (whole > JSON_DIGITS) {
    if (above) return p->none;
    return expr_seq(p, json_parts_of(p)->natural, fraction);
  }
  /* Numbers of other lengths before the point; "0" has none. */
  if (above && whole < JSON_DIGITS)
    all = expr_list(
        p, (expr *const[]){digit_range(p, 1, 9), some_digits(p, (uint32_t)whole, JSON_DIGITS - 1), fraction}, 3);
  if (!above && whole > 0) {
    all = expr_seq(p, expr_string(p, "0"), fraction);
    if (whole > 1)
      all = expr_or(
          p, all,
          expr_list(p, (expr *const[]){digit_range(p, 1, 9), some_digits(p, 0, (uint32_t)(whole - 2)), fraction}, 3));
  }
  /* Of the same length: the first digits are the bound's, then one differs. */
  expr *same = fraction_of(p, d, above, equal, integer);
  if (whole == 0) return expr_or(p, all, expr_seq(p, expr_string(p, "0"), same));
  for (int i = whole - 1; i >= 0; i--) {
    int digit = digit_at(d, i), lowest = i == 0;
    expr *apart = above ? digit_range(p, digit + 1, 9) : digit_range(p, lowest, digit - 1);
    apart = expr_list(
        p, (expr *const[]){apart, some_digits(p, (uint32_t)(whole - 1 - i), (uint32_t)(whole - 1 - i)), fraction}, 3);
    same = expr_or(p, apart, expr_seq(p, digit_range(p, digit, digit), same));
  }
  return expr_or(p, all, same);
}

static expr *unsigned_all(expr_pool *p, bool integer) {
  const json_parts *j = json_parts_of(p);
  return j ? expr_seq(p, j->natural, any_fraction(p, integer)) : p->none;
}

static expr *negative(expr_pool *p, expr *e) {
  return expr_seq(p, expr_string(p, "-"), e);
}

/* A number on the upper side of the bound; of the lower side it is the mirror image. */
static expr *upper(expr_pool *p, const decimal *d, bool below_zero, bool exclusive, bool integer, bool mirrored) {
  const decimal zero = {0};
  expr *plus, *minus;
  if (below_zero) { /* from -x on */
    plus = unsigned_all(p, integer);
    minus = sizes(p, d, false, !exclusive, integer);
  } else {
    plus = sizes(p, d, true, !exclusive, integer);
    minus = d->n == 0 && !exclusive ? sizes(p, &zero, false, true, integer) : p->none;
  }
  return mirrored ? expr_or(p, negative(p, plus), minus) : expr_or(p, plus, negative(p, minus));
}

expr *numbers_from(expr_pool *p, const decimal *bound, bool exclusive, bool integer) {
  return upper(p, bound, bound->negative, exclusive, integer, false);
}

expr *numbers_to(expr_pool *p, const decimal *bound, bool exclusive, bool integer) {
  return upper(p, bound, !bound->negative && bound->n > 0, exclusive, integer, true);
}

expr *number_equal(expr_pool *p, const decimal *d) {
  if (d->point > JSON_DIGITS || d->n - d->point > JSON_DIGITS) return p->none;
  char text[64];
  size_t n = 0;
  int whole = d->point > 0 && d->n > 0 ? d->point : 0;
  if (d->negative) text[n++] = '-';
  if (whole == 0) text[n++] = '0';
  for (int i = 0; i < whole; i++) text[n++] = (char)('0' + digit_at(d, i));
  bool fraction = d->n > 0 && !decimal_whole(d);
  if (fraction) text[n++] = '.';
  for (int i = d->point < 0 ? d->point : whole; fraction && i < d->n; i++) text[n++] = (char)('0' + digit_at(d, i));
  expr *zeros = expr_repeat(p, expr_string(p, "0"), 0, JSON_DIGITS), *e = expr_text(p, text, n);
  e = fraction ? expr_seq(p, e, zeros)
               : expr_seq(p, e, expr_optional(p, expr_list(p, (expr *const[]){expr_string(p, ".0"), zeros}, 2)));
  return d->n == 0 ? expr_seq(p, expr_optional(p, expr_string(p, "-")), e) : e;
}

/* ---- Multiples ---- */

typedef struct modulus {
  expr_pool *p;
  uint32_t m;    /* 10^places times the divisor */
  int places;    /* digits behind the point that count; further ones are zeros */
  uint32_t rule; /* the first of m * (places + 2): before the point, then behind it after so many digits */
  bool leads[MOST_MULTIPLE_STATES]; /* whether a multiple can come of a state */
} modulus;

static size_t state_of(const modulus *o, uint32_t r, int place) {
  return (size_t)r * (size_t)(o->places + 2) + (size_t)place;
}

static expr *remainder_state(modulus *o, uint32_t r, int place) {
  size_t state = state_of(o, r, place);
  return o->leads[state] ? expr_call(o->p, o->rule + (uint32_t)state) : o->p->none;
}

/* r * 10^k % m */
static uint32_t scaled(uint32_t r, int k, uint32_t m) {
  uint64_t v = r;
  while (k-- > 0) v = v * 10 % m;
  return (uint32_t)v;
}

static bool is_multiple(const modulus *o, uint32_t r, int place) {
  return scaled(r, o->places - (place > 0 ? place - 1 : 0), o->m) == 0;
}

static uint32_t with_digit(const modulus *o, uint32_t r, unsigned digit) {
  return (uint32_t)((r * UINT64_C(10) + digit) % o->m);
}

static void find_leads(modulus *o) {
  for (int place = o->places + 1; place >= 0; place--)
    for (uint32_t r = 0; r < o->m; r++) {
      bool leads = place == 0 || is_multiple(o, r, place); /* before the point any number of digits may come */
      for (unsigned digit = 0; digit < 10 && !leads && place <= o->places; digit++)
        leads = o->leads[state_of(o, with_digit(o, r, digit), place + 1)];
      o->leads[state_of(o, r, place)] = leads;
    }
}

static void set_remainder_rules(modulus *o, uint32_t r) {
  expr_pool *p = o->p;
  for (int place = 0; place <= o->places + 1; place++) {
    bool complete = is_multiple(o, r, place);
    expr *e = complete ? p->empty : p->none;
    if (place > o->places) {
      if (complete) e = expr_repeat(p, expr_string(p, "0"), 0, JSON_DIGITS);
    } else {
      for (int digit = 0; digit < 10; digit++)
        e = expr_or(p, e,
                    expr_seq(p, digit_range(p, digit, digit),
                             remainder_state(o, with_digit(o, r, (unsigned)digit), place > 0 ? place + 1 : 0)));
    }
    if (place == 0) e = expr_or(p, e, expr_seq(p, expr_string(p, "."), remainder_state(o, r, 1)));
    expr_rule_set(p, o->rule + (uint32_t)state_of(o, r, place), e);
  }
}

expr *numbers_multiple(expr_pool *p, const decimal *d, bool integer) {
  const json_parts *j = json_parts_of(p);
  if (!j || d->n == 0 || d->negative) return j ? NULL : p->none;
  modulus o = {.p = p, .places = d->n > d->point ? d->n - d->point : 0};
  uint64_t m = 0;
  int digits = d->point + o.places;
  if (digits > 6 || digits < 1) return NULL;
  for (int i = 0; i < digits; i++) m = m * 10 + (unsigned)digit_at(d, i);
  o.m = (uint32_t)m;
  if (o.places > JSON_DIGITS || m * (uint64_t)(o.places + 2) > MOST_MULTIPLE_STATES) return NULL;
  find_leads(&o);
  for (uint32_t r = 0; r < o.m; r++)
    for (int place = 0; place <= o.places + 1; place++) {
      uint32_t rule = expr_rule_new(p, is_multiple(&o, r, place));
      if (r == 0 && place == 0) o.rule = rule;
    }
  for (uint32_t r = 0; r < o.m && !p->failed; r++) set_remainder_rules(&o, r);
  if (p->failed) return p->none;
  /* The form of a number is the other operand's matter: that a digit follows the point, say. */
  expr *sign = expr_optional(p, expr_string(p, "-"));
  expr *form = expr_list(p, (expr *const[]){sign, j->natural, any_fraction(p, integer)}, 3);
  return expr_and(p, form, expr_seq(p, sign, remainder_state(&o, 0, 0)));
}
