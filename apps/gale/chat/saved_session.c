#include "gale/chat/saved_session.h"

#include "gale/cli/console.h"
#include "gale_tools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int saved_session_restore(generator *g, conversation *talk, const prompt_form *form) {
  const char *path = g->o->session;
  int32_t *ids;
  char *messages;
  size_t n_text;
  gale_error error = {0};
  if (access(path, F_OK) != 0 && errno == ENOENT) return 0;
  if (gale_sequence_load(g->session, g->sequence, path, &ids, &messages, &n_text, &error)) return fail_with(&error);
  g->n_ids = (size_t)gale_sequence_length(g->session, g->sequence);
  if (g->n_ids) memcpy(g->ids, ids, g->n_ids * sizeof *ids);
  int code = n_text ? conversation_load(talk, path, messages, n_text, form) : 0;
  gale_free(ids);
  gale_free(messages);
  return code;
}

int saved_session_keep(const generator *g, const conversation *talk) {
  char *json = NULL;
  gale_error error = {0};
  int code = conversation_length(talk) ? conversation_write(talk, &json) : 0;
  if (code) return code;
  size_t n = json ? strlen(json) : 0;
  if (gale_sequence_save(g->session, g->sequence, g->ids, json, n, g->o->session, &error)) code = fail_with(&error);
  free(json);
  return code;
}
