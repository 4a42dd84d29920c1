/* Answers a prompt: the least that a program needs of gale.h, from opening a model to streamed text.
 *
 *   generate [MODEL [PROMPT]]
 *
 * MODEL is a GGUF file, a model directory, or "shape:NAME[@TYPE]". Without arguments it is a tiny model
 * with random weights, which needs no file (and says nothing sensible).
 */
#include "gale.h"

#include <stdio.h>
#include <string.h>

/* What is opened here is closed by main, whatever happened in between. */
typedef struct program {
  gale_model *model;
  gale_session *session;
  gale_generation *generation;
  int32_t *ids;
} program;

/* Gets each piece of the answer as soon as it is sure. Returning false would end the answer. */
static bool print_piece(void *user, const gale_piece *piece) {
  (void)user;
  fwrite(piece->text, 1, piece->length, stdout);
  return fflush(stdout) == 0;
}

/* The prompt's ids: as a chat message if the model has a chat template, else as plain text. */
static gale_status read_prompt(program *p, const char *prompt, size_t *n_ids, gale_error *error) {
  const gale_tokenizer *tokenizer = gale_model_tokenizer(p->model);
  gale_message message = {.role = "user", .content = prompt};
  if (gale_chat_template(tokenizer)) return gale_chat_prompt(tokenizer, &message, 1, NULL, &p->ids, n_ids, error);
  return gale_tokenize(tokenizer, prompt, strlen(prompt), gale_tokenizer_adds_bos(tokenizer), &p->ids, n_ids, error);
}

static gale_status answer(program *p, const char *path, const char *prompt, gale_error *error) {
  /* A model holds the weights. It never changes, and threads may share it. */
  gale_status status = gale_model_open(path, NULL, &p->model, error);
  if (status) return status;
  const gale_tokenizer *tokenizer = gale_model_tokenizer(p->model);
  if (!tokenizer) {
    snprintf(error->message, sizeof error->message, "%s: the model has no tokenizer", path);
    return GALE_E_UNSUPPORTED;
  }

  /* A session holds the key/value cache and the worker threads; a sequence is one text inside it. */
  gale_session_options session_options;
  gale_session_defaults(&session_options);
  int32_t sequence;
  status = gale_session_open(p->model, &session_options, &p->session, error);
  if (!status) status = gale_sequence_open(p->session, &sequence, error);
  if (status) return status;

  /* Computing the prompt leaves the logits of its last token, from which the answer starts. */
  size_t n_ids;
  status = read_prompt(p, prompt, &n_ids, error);
  if (!status) status = gale_prefill(p->session, sequence, p->ids, n_ids, NULL, NULL, error);
  if (status) return status;

  /* A generation is one answer: how its tokens are chosen, what its text is, and why it ended. The same settings, seed
   * and prompt give the same answer, on any machine. */
  gale_sampler_options sampling;
  gale_sampler_defaults(&sampling);
  sampling.seed = 1;
  gale_generation_options options;
  gale_generation_defaults(&options);
  options.sampling = &sampling;
  options.form = gale_chat_template(tokenizer);
  options.max_tokens = 64;
  status = gale_generation_open(p->model, NULL, &options, &p->generation, error);
  if (!status) status = gale_generate(p->generation, p->session, sequence, print_piece, NULL, error);
  if (status) return status;
  gale_generation_result result;
  gale_generation_get_result(p->generation, &result);
  printf("\n(%d tokens)\n", result.n_tokens);
  return GALE_OK;
}

int main(int argc, char **argv) {
  const char *path = argc > 1 ? argv[1] : "shape:tiny@f32";
  const char *prompt = argc > 2 ? argv[2] : "Hello!";
  program p = {0};
  gale_error error = {0};
  gale_status status = answer(&p, path, prompt, &error);
  if (status) fprintf(stderr, "%s\n", error.message);

  /* Closing accepts what was never opened. */
  gale_free(p.ids);
  gale_generation_close(&p.generation);
  gale_session_close(&p.session);
  gale_model_close(&p.model);
  return status ? 1 : 0;
}
