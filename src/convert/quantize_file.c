/* Quantising a model to a file. */
#include "base/cpu.h"
#include "base/sized.h"
#include "convert/convert.h"
#include "gale_tools.h"

#include <sys/stat.h>

/* The file would be replaced while it is read, or, by another name, right after. */
static gale_status refuse_same(const checkpoint *c, const char *out, gale_error *error) {
  struct stat a, b;
  if (stat(out, &a) != 0) return GALE_OK;
  for (size_t i = 0; i < c->n_files; i++)
    if (fstat(c->files[i].fd, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
      return error_set(error, GALE_E_ARGUMENT, "%s: is a file of the model that is read; another name is accepted",
                       out);
  return GALE_OK;
}

static gale_status write_converted(const model_source *source, const quant_mix *r, int threads, const char *out,
                                   gale_progress_fn progress, void *user, gale_error *error) {
  team *workers = NULL;
  checkpoint *to = NULL;
  model_config config;
  gale_status status = team_open(threads ? threads : cpu_count(), true, &workers, error);
  if (!status) status = requantize_open(source, r, workers, &to, &config, NULL, error);
  if (!status) status = convert_settings(source, r, to, error);
  if (!status) status = gguf_write(to, out, progress, user, error);
  checkpoint_close(&to);
  team_close(&workers);
  return status;
}

void gale_quantize_defaults_sized(gale_quantize_options *options, size_t size) {
  const gale_quantize_options defaults = {0};
  sized_write(options, size, &defaults, sizeof defaults);
}

gale_status gale_quantize_with(const char *in, const char *out, const char *type, const gale_quantize_options *options,
                               gale_error *error) {
  const quant_mix *r = NULL;
  checkpoint *c = NULL;
  arena memory = {0};
  model_config config;
  model_weights weights;
  gale_quantize_options o = {0};
  gale_status status = options ? sized_read(&o, sizeof o, options, "gale_quantize_options", error) : GALE_OK;
  if (status) return status;
  if (o.threads < 0 || o.threads > 1024)
    return error_set(error, GALE_E_ARGUMENT, "threads is %d: 0 to 1024 is accepted", o.threads);
  status = quant_choice_find(type, &r, error);
  if (!status) status = checkpoint_open(in, &c, error);
  if (!status) status = refuse_same(c, out, error);
  if (!status) status = checkpoint_override_all(c, o.overrides, o.n_overrides, error);
  if (!status) status = model_configure(c, &memory, &config, error);
  if (!status) status = weights_find(c, &config, &memory, &weights, error);
  if (!status) {
    const model_source source = {c, &config, &weights};
    status = write_converted(&source, r, o.threads, out, o.progress, o.progress_user, error);
  }
  checkpoint_close(&c);
  arena_free(&memory);
  return status;
}

gale_status gale_quantize(const char *in, const char *out, const char *type, int threads, gale_progress_fn progress,
                          void *user, gale_error *error) {
  const gale_quantize_options options = {
      .size = sizeof options, .threads = threads, .progress = progress, .progress_user = user};
  return gale_quantize_with(in, out, type, &options, error);
}
