/* JSON configuration files, parsed and made into settings in both ways of reading integers. */
#include "format/json.h"
#include "format/reader.h"
#include "fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_settings(const char *text, size_t size, json_integers integers) {
  json_document d;
  checkpoint *c = calloc(1, sizeof *c);
  if (!c) return;
  c->path = c->config_path = "config.json";
  if (json_parse(c->path, text, size, 0, integers, &d, NULL) == GALE_OK) {
    if (json_settings(c, c->path, "prefix.", d.root, integers, NULL) == GALE_OK && checkpoint_index(c, NULL) == GALE_OK)
      fuzz_walk(c);
    json_close(&d);
  }
  checkpoint_close(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  read_settings((const char *)data, size, JSON_INTEGERS_EXACT);
  read_settings((const char *)data, size, JSON_INTEGERS_ANY);
  return 0;
}
