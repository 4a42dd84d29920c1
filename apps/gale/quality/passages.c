#include "gale/quality/passages.h"

#include <stdlib.h>

bool passages_lay_out(passages *p, int32_t length, int32_t stride) {
  if (length < PASSAGE_LEAST || stride < 0 || stride >= length) return false;
  p->length = length;
  p->step = stride ? stride : length;
  p->first = stride ? length - 1 - stride : length / 2;
  return true;
}

int32_t passages_in(const passages *p, size_t n_ids) {
  size_t length = (size_t)p->length, step = (size_t)p->step;
  size_t n = 0;
  if (n_ids >= length) n = (n_ids - length) / step + 1;
  /* llama.cpp takes no overlapping passage that ends with the text. */
  if (n && p->step < p->length && (n_ids - length) % step == 0) n--;
  return n > INT32_MAX ? INT32_MAX : (int32_t)n;
}

uint64_t passages_reach(const passages *p, int32_t count) {
  return (uint64_t)(count - 1) * (uint64_t)p->step + (uint64_t)p->length;
}

int32_t passages_scored(const passages *p) {
  return p->length - 1 - p->first;
}

uint64_t passages_total(const passages *p) {
  return (uint64_t)p->count * (uint64_t)passages_scored(p);
}

int32_t passages_stride(const passages *p) {
  return p->step == p->length ? 0 : p->step;
}

void passages_free(passages *p) {
  free(p->ids);
  p->ids = NULL;
}
