/* Calls in gale's own form, <tool_call>{"name": ..., "arguments": {...}}</tool_call>, found in an answer's text as it
 * comes. What is between the tags and no call is content, with its tag. */
#ifndef CHAT_ANSWER_TAGS_H
#define CHAT_ANSWER_TAGS_H

#include "chat/answer_json.h"

typedef enum tag_place {
  TAG_TEXT,  /* in content */
  TAG_AFTER, /* behind a call: white space is held back, and dropped where nothing but a call follows */
  TAG_CALL,  /* behind the opening tag */
  TAG_CLOSE, /* behind the call's object: up to the closing tag */
} tag_place;

/* All zero at the beginning. */
typedef struct tag_calls {
  tag_place place;
  byte_list held; /* white space behind a call, and what may be the beginning of a tag */
  size_t tag;     /* bytes of a tag at the end of held */
  byte_list given;
  json_calls object;
} tag_calls;

/* As json_calls_take(). */
size_t tag_calls_take(tag_calls *s, slice text, json_found *found, slice *what);
/* What was held back and is no call after all; valid until s is freed. */
slice tag_calls_rest(tag_calls *s);
void tag_calls_free(tag_calls *s);

#endif
