/* Linear layers, shared out by panels of output rows. */
#include "backend/cpu/cpu.h"

static int64_t panels_of(const be_weight *w) {
  return (w->rows + PANEL_ROWS - 1) / PANEL_ROWS;
}

/* Panels first .. end - 1 of one product. */
static void compute(const be_worker *worker, const be_act *x, const be_product *p, int64_t first, int64_t end,
                    int32_t n, bool add) {
  const be_weight *w = p->weight;
  size_t panel_bytes = quant_panel_bytes(w->type, (size_t)w->cols);
  int64_t row = first * PANEL_ROWS, rows = (end - first) * PANEL_ROWS;
  linear_task task = {.panels = (const char *)w->data + (size_t)first * panel_bytes,
                      .panel_bytes = panel_bytes,
                      .n_panels = end - first,
                      .x = x,
                      .n_tokens = n,
                      .out = p->out + row,
                      .n_rows = w->rows - row < rows ? w->rows - row : rows,
                      .stride = w->rows,
                      .add = add,
                      .scratch = worker->linear};
  worker->context->device->kernels.linear[w->type](&task);
}

/* Pieces are large enough that taking one costs little, and small enough that the workers end together. */
static int64_t piece_size(int64_t total, int workers) {
  int64_t piece = total / (workers * 8) / 2 * 2;
  return workers == 1 ? total : piece < 2 ? 2 : piece > 16 ? 16 : piece;
}

void cpu_linear(be_worker *w, const be_act *x, const be_product *products, int n_products, int32_t n, bool add) {
  team *crew = w->context->team;
  int64_t total = 0;
  for (int i = 0; i < n_products; i++) total += panels_of(products[i].weight);
  int64_t piece = piece_size(total, team_size(crew));
  for (int64_t first; (first = team_take(crew, piece)) < total;) {
    int64_t end = first + piece < total ? first + piece : total, start = 0;
    for (int i = 0; i < n_products; i++) {
      int64_t panels = panels_of(products[i].weight), stop = start + panels;
      int64_t a = first > start ? first : start, b = end < stop ? end : stop;
      if (a < b) compute(w, x, &products[i], a - start, b - start, n, add);
      start = stop;
    }
  }
  team_barrier(crew);
}
