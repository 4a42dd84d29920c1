/* Mixture of experts: choosing experts for tokens, gathering the rows that each gets, adding up what they give. */
#include "backend/cpu/cpu_device.h"

#include "backend/cpu/kernels/portable/math.h"

/* The n_used experts of largest logits, by expert ascending, with the softmax over them as weights. */
static void choose(const be_routing *r, const float *logits, int32_t *expert, float *weight) {
  for (int32_t i = 0; i < r->n_used; i++) expert[i] = -1;
  for (int32_t i = 0; i < r->n_used; i++) {
    int32_t best = -1;
    for (int32_t e = 0; e < r->n_experts; e++) {
      bool taken = false;
      for (int32_t j = 0; j < i; j++) taken = taken || expert[j] == e;
      if (!taken && (best < 0 || logits[e] > logits[best])) best = e;
    }
    expert[i] = best;
  }
  for (int32_t i = 1; i < r->n_used; i++) /* insertion sort */
    for (int32_t j = i; j > 0 && expert[j - 1] > expert[j]; j--) {
      int32_t swap = expert[j];
      expert[j] = expert[j - 1];
      expert[j - 1] = swap;
    }
  float max = logits[expert[0]], sum = 0;
  for (int32_t i = 1; i < r->n_used; i++) max = logits[expert[i]] > max ? logits[expert[i]] : max;
  for (int32_t i = 0; i < r->n_used; i++) sum += weight[i] = math_exp(logits[expert[i]] - max);
  for (int32_t i = 0; i < r->n_used; i++) weight[i] /= sum;
}

/* Lists the entries (a token and one of its experts) by expert, then token. On entry place holds each token's experts,
 * on return the numbers of their entries. */
static void sort_entries(const be_routing *r, int32_t n) {
  int64_t entries = (int64_t)n * r->n_used;
  for (int32_t e = 0; e <= r->n_experts; e++) r->first[e] = 0;
  for (int64_t i = 0; i < entries; i++) r->first[r->place[i] + 1]++;
  for (int32_t e = 0; e < r->n_experts; e++) r->first[e + 1] += r->first[e];
  for (int64_t i = 0; i < entries; i++) {
    int32_t entry = r->first[r->place[i]]++;
    r->token[entry] = (int32_t)(i / r->n_used);
    r->place[i] = entry;
  }
  for (int32_t e = r->n_experts; e > 0; e--) r->first[e] = r->first[e - 1];
  r->first[0] = 0;
}

void cpu_route(be_worker *w, const be_routing *routing, const float *logits, int32_t n) {
  team_worker *member = w->member;
  for (cpu_rows p; cpu_take_rows(w, n, &p);)
    for (int64_t t = p.first; t < p.end; t++)
      choose(routing, logits + t * routing->n_experts, routing->place + t * routing->n_used,
             routing->weight + t * routing->n_used);
  team_barrier(member);
  while (team_take(member, 1) < 1) sort_entries(routing, n);
  team_barrier(member);
}

void cpu_gather(be_worker *w, const be_act *out, const be_act *x, const int32_t *rows, int32_t n) {
  team_worker *member = w->member;
  size_t cols = (size_t)x->cols, blocks = cols / QUANT_BLOCK;
  for (int64_t i; (i = team_take(member, 1)) < n;) {
    size_t to = (size_t)i, from = (size_t)rows[i];
    if (out->f32) memcpy(out->f32 + to * cols, x->f32 + from * cols, cols * sizeof *out->f32);
    if (!out->level) continue;
    memcpy(out->level + to * cols, x->level + from * cols, cols);
    memcpy(out->scale + to * blocks, x->scale + from * blocks, blocks * sizeof *out->scale);
    memcpy(out->neg_sum + to * blocks * 2, x->neg_sum + from * blocks * 2, blocks * 2 * sizeof *out->neg_sum);
    if (!out->outlier_at) continue;
    memcpy(out->outlier_at + to * blocks, x->outlier_at + from * blocks, blocks);
    memcpy(out->outlier + to * blocks, x->outlier + from * blocks, blocks * sizeof *out->outlier);
  }
  team_barrier(member);
}

void cpu_combine(be_worker *w, float *h, const float *y, const be_routing *routing, int64_t cols, int32_t n) {
  team_worker *member = w->member;
  for (int64_t i; (i = team_take(member, 1)) < n * cpu_row_items(cols);) {
    int64_t t, first, count = cpu_row_item(i, cols, &t, &first);
    float sum[ROW_ITEM] = {0}, *to = h + t * cols + first;
    for (int64_t j = t * routing->n_used; j < (t + 1) * routing->n_used; j++)
      w->context->device->kernels.fold(sum, 1.0f, y + routing->place[j] * cols + first, routing->weight[j], count);
    for (int64_t j = 0; j < count; j++) to[j] += sum[j];
  }
  team_barrier(member);
}
