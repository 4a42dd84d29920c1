/* A smaller model with the same tokens, which drafts what answers go on with: a session of its own, in which sequences
 * follow their texts. It decides what is tried, never what comes out. */
#ifndef SCHEDULE_DRAFT_MODEL_H
#define SCHEDULE_DRAFT_MODEL_H

#include "engine/drafting.h"
#include "engine/session.h"
#include "schedule/request.h"

typedef struct draft_model {
  gale_session *session; /* NULL: there is none */
  gale_input *inputs;    /* [most answers]: of a step */
  size_t *of;            /* [most answers]: whose they are */
  step_times times;      /* of its steps, in seconds */
} draft_model;

/* For at most so many answers of a model; `like` are the options of their session. GALE_E_ARGUMENT if the two models'
 * tokens differ. d must be zeroed; on failure draft_model_close() releases what there is. */
gale_status draft_model_open(draft_model *d, const gale_model *draft, const gale_model *model,
                             const gale_session_options *like, int32_t most, gale_error *error);
void draft_model_close(draft_model *d);

/* What a draft of at most `most` tokens promises, in a step with n single tokens; none, if there is no such model. */
draft_outlook draft_model_outlook(const draft_model *d, const answering *a, size_t most, size_t n);

/* Puts drafts behind the texts of answers that have wanted[i] > 0; fit[i] becomes how many tokens the draft has, 0
 * where the model has not read all of the text yet. */
void draft_model_run(draft_model *d, answering *const *answers, size_t n, const size_t *wanted, size_t *fit);

/* Learns what became of the answer's last draft, which was the model's. */
void draft_model_judge(answering *a);

/* Lets go of the answer's text. */
void draft_model_leave(draft_model *d, answering *a);

#endif
