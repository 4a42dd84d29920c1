/* Mistral's prompts, v1 to v15: messages of one role are merged into turns, and each version writes turns its way. */
#include "chat/chat.h"

#include <stdlib.h>

/* A run of user's or assistant's messages, or one message of another role. Its parts are merged: texts that follow
 * one another are one. */
typedef struct turn {
  chat_role role;
  const chat_part *parts;
  size_t n_parts;
  bool thinking; /* some part is */
  const chat_call *calls;
  size_t n_calls;
  slice call_id, name;
  bool prefix;
} turn;

typedef struct turns {
  turn *list;
  size_t n, first_user, last_user; /* n: there is none */
} turns;

/* ---- Turns ---- */

static void merge_parts(prompt *p, const chat_message *messages, size_t n, turn *t) {
  size_t n_parts = 0, bytes = 0, at = 0;
  for (size_t i = 0; i < n; i++) {
    n_parts += messages[i].n_parts;
    for (size_t k = 0; k < messages[i].n_parts; k++) bytes += messages[i].parts[k].text.n + 2;
  }
  chat_part *parts = prompt_memory(p, n_parts, sizeof *parts);
  char *text = prompt_memory(p, bytes, 1);
  if (!parts || !text) return;
  const char *within = p->row->version >= 15 ? "" : "\n\n";
  chat_part *growing = NULL;
  for (size_t i = 0; i < n; i++) {
    const char *gap = "\n\n";
    for (size_t k = 0; k < messages[i].n_parts; k++) {
      const chat_part *part = &messages[i].parts[k];
      if (part->thinking) {
        growing = NULL;
        t->thinking = true;
        parts[t->n_parts++] = *part;
      } else if (part->text.n > 0) {
        if (!growing) {
          growing = &parts[t->n_parts++];
          *growing = (chat_part){.text = {text + at, 0}};
        } else {
          memcpy(text + at, gap, strlen(gap));
          at += strlen(gap);
        }
        memcpy(text + at, part->text.s, part->text.n);
        at += part->text.n;
        growing->text.n = (size_t)(text + at - growing->text.s);
        gap = within;
      }
    }
  }
  t->parts = parts;
}

static void merge_calls(prompt *p, const chat_message *messages, size_t n, turn *t) {
  for (size_t i = 0; i < n; i++) {
    t->n_calls += messages[i].n_calls;
    t->prefix |= messages[i].prefix;
  }
  chat_call *calls = prompt_memory(p, t->n_calls, sizeof *calls);
  size_t at = 0;
  for (size_t i = 0; i < n && calls; i++)
    for (size_t k = 0; k < messages[i].n_calls; k++) calls[at++] = messages[i].calls[k];
  t->calls = calls;
}

typedef struct result_order {
  slice id;
  size_t place;
} result_order;

static int compare_orders(const void *a, const void *b) {
  const result_order *x = a, *y = b;
  size_t n = x->id.n < y->id.n ? x->id.n : y->id.n;
  int order = n ? memcmp(x->id.s, y->id.s, n) : 0;
  return order ? order : (x->id.n > y->id.n) - (x->id.n < y->id.n);
}

/* Puts the results behind a turn of calls, as many as there are calls and with their ids, in the order of the calls. */
static void sort_results(prompt *p, const turn *calls, turn *results, size_t n) {
  result_order *orders = prompt_memory(p, calls->n_calls, sizeof *orders);
  turn *sorted = prompt_memory(p, calls->n_calls, sizeof *sorted);
  if (!orders || !sorted) return;
  for (size_t i = 0; i < calls->n_calls; i++) orders[i] = (result_order){calls->calls[i].id, i};
  qsort(orders, calls->n_calls, sizeof *orders, compare_orders);
  for (size_t i = 0; i < n; i++) {
    result_order key = {.id = results[i].call_id};
    const result_order *found = bsearch(&key, orders, calls->n_calls, sizeof *orders, compare_orders);
    if (!found) return;
    sorted[found->place] = results[i];
  }
  size_t kept = 0;
  for (size_t i = 0; i < calls->n_calls; i++)
    if (sorted[i].call_id.s) results[kept++] = sorted[i];
}

/* An empty user's turn stands where the conversation does not begin with a user. */
static void make_turns(prompt *p, const chat *c, turns *all) {
  int version = p->row->version;
  all->list = prompt_memory(p, c->n + 1, sizeof *all->list);
  if (!all->list) return;
  size_t end;
  for (size_t i = 0; i < c->n && !p->status; i = end) {
    chat_role role = c->messages[i].role;
    bool merges = role == ROLE_USER || role == ROLE_ASSISTANT;
    for (end = i + 1; merges && end < c->n && c->messages[end].role == role;) end++;
    if (role == ROLE_SYSTEM && version < 7) continue;
    if (all->n == 0 && role != ROLE_USER && version < 7) all->list[all->n++] = (turn){.role = ROLE_USER};
    turn *t = &all->list[all->n++];
    *t = (turn){.role = role, .call_id = c->messages[i].call_id, .name = c->messages[i].name};
    merge_parts(p, c->messages + i, end - i, t);
    merge_calls(p, c->messages + i, end - i, t);
  }
  if (all->n == 0 && version < 7) all->list[all->n++] = (turn){.role = ROLE_USER};
  all->first_user = all->last_user = all->n;
  for (size_t i = all->n; i-- > 0;) {
    if (all->list[i].role != ROLE_USER) continue;
    all->first_user = i;
    if (all->last_user == all->n) all->last_user = i;
  }
  for (size_t i = 0; i < all->n && version >= 11 && !p->status; i = end) {
    for (end = i + 1; end < all->n && all->list[end].role == ROLE_TOOL;) end++;
    if (all->list[i].role == ROLE_ASSISTANT) sort_results(p, &all->list[i], all->list + i + 1, end - i - 1);
  }
}

/* ---- JSON ---- */

static slice turn_text(const turn *t) {
  return t->n_parts ? t->parts[0].text : (slice){"", 0};
}

static void write_call(prompt *p, const chat_call *call) {
  prompt_text(p, "{\"name\": ");
  bytes_add_string(&p->run, call->name);
  prompt_text(p, ", \"arguments\": ");
  prompt_json(p, call->arguments);
  if (p->row->version >= 3) {
    prompt_text(p, ", \"id\": ");
    bytes_add_string(&p->run, call->id);
  }
  prompt_text(p, "}");
}

static void write_calls(prompt *p, const turn *t) {
  int version = p->row->version;
  if (version < 11) {
    prompt_control(p, "[TOOL_CALLS]");
    prompt_text(p, "[");
  }
  for (size_t i = 0; i < t->n_calls; i++) {
    if (version < 11) {
      if (i) prompt_text(p, ", ");
      write_call(p, &t->calls[i]);
      continue;
    }
    prompt_control(p, "[TOOL_CALLS]");
    prompt_slice(p, t->calls[i].name);
    if (version < 13) {
      prompt_control(p, "[CALL_ID]");
      prompt_slice(p, t->calls[i].id);
    }
    prompt_control(p, "[ARGS]");
    prompt_json(p, t->calls[i].arguments);
  }
  if (version < 11) prompt_text(p, "]");
}

/* ---- Turns to tokens ---- */

static void write_settings(prompt *p, const chat *c) {
  const model_settings *known = mistral_settings(p);
  slice effort = c->effort.s ? c->effort : slice_of(known ? known->default_effort : NULL);
  bool has_effort = known && known->default_effort, has_schema = known && known->schema && c->schema;
  if (!has_effort && !has_schema) return;
  prompt_control(p, "[MODEL_SETTINGS]");
  prompt_text(p, "{");
  if (has_schema) {
    prompt_text(p, "\"json_schema\": ");
    bytes_add_value(&p->run, c->schema);
  }
  if (has_effort) {
    prompt_text(p, has_schema ? ", \"reasoning_effort\": " : "\"reasoning_effort\": ");
    bytes_add_string(&p->run, effort);
  }
  prompt_text(p, "}");
  prompt_control(p, "[/MODEL_SETTINGS]");
}

/* All system prompts of v1 to v3, and what sets them apart from the user's text. */
static void write_system(prompt *p, const chat *c) {
  size_t before = p->run.n;
  bool any = false;
  for (size_t i = 0; i < c->n; i++) {
    const chat_message *m = &c->messages[i];
    if (m->role != ROLE_SYSTEM || m->n_parts == 0 || (!m->is_list && m->parts[0].text.n == 0)) continue;
    turn t = {0};
    merge_parts(p, m, 1, &t);
    if (any) prompt_text(p, "\n\n");
    prompt_slice(p, turn_text(&t));
    any = true;
  }
  if (p->run.n > before) prompt_text(p, "\n\n");
}

static void write_user(prompt *p, const chat *c, const turns *all, size_t i) {
  int version = p->row->version;
  bool with_tools = i == (version < 13 ? all->last_user : all->first_user) && version >= 2;
  bool with_system = version < 7 && i == (version == 1 ? all->first_user : all->last_user);
  if (with_tools && c->tools && c->tools->count) {
    prompt_control(p, "[AVAILABLE_TOOLS]");
    tools_write(p, c->tools);
    prompt_control(p, "[/AVAILABLE_TOOLS]");
  }
  if (with_tools && version >= 15) write_settings(p, c);
  /* In v1 the brackets are text, and one run with what they enclose. */
  prompt_flush(p);
  version == 1 ? prompt_text(p, "[INST] ") : prompt_control(p, "[INST]");
  if (with_system) write_system(p, c);
  prompt_slice(p, turn_text(&all->list[i]));
  version == 1 ? prompt_text(p, " [/INST]") : prompt_control(p, "[/INST]");
  prompt_flush(p);
}

static void write_parts(prompt *p, const turn *t) {
  for (size_t i = 0; i < t->n_parts; i++) {
    prompt_flush(p);
    if (t->parts[i].thinking) prompt_control(p, "[THINK]");
    prompt_slice(p, t->parts[i].text);
    if (t->parts[i].thinking && !t->parts[i].open) prompt_control(p, "[/THINK]");
  }
  prompt_flush(p);
}

static void write_assistant(prompt *p, const turns *all, size_t i) {
  const turn *t = &all->list[i];
  int version = p->row->version;
  if (!t->n_parts && !t->n_calls) prompt_refuse(p, "an assistant's message is empty; content or tool calls are needed");
  if (t->n_parts && t->n_calls && version < 7)
    prompt_refuse(p, "an assistant's turn has both content and tool calls, which only v7 and later can express");
  if (t->n_calls && version == 1) prompt_refuse(p, "tool calls need v2 or later");
  /* v2 leaves out the calls before the last user's message. */
  if (t->n_calls && version == 2 && i < all->last_user) return;
  if (t->thinking) {
    write_parts(p, t);
  } else {
    prompt_flush(p);
    prompt_slice(p, turn_text(t));
    if (version >= 2) prompt_rtrim(p);
    prompt_flush(p);
  }
  if (t->n_calls) write_calls(p, t);
  if (!t->prefix) prompt_eos(p);
}

static void write_result(prompt *p, const turns *all, size_t i) {
  const turn *t = &all->list[i];
  int version = p->row->version;
  if (version == 2 && i < all->last_user) return;
  if (version == 2 && i > 0 && all->list[i - 1].role == ROLE_TOOL)
    prompt_refuse(p, "several tool results for one turn need v3 or later");
  prompt_control(p, "[TOOL_RESULTS]");
  if (version == 2) {
    prompt_text(p, "[{\"name\": ");
    t->name.s ? bytes_add_string(&p->run, t->name) : prompt_text(p, "null");
    prompt_text(p, ", \"content\": ");
    prompt_json(p, turn_text(t));
    prompt_text(p, "}]");
  } else if (version == 3) {
    prompt_text(p, "{\"content\": ");
    prompt_json(p, turn_text(t));
    prompt_text(p, ", \"call_id\": ");
    bytes_add_string(&p->run, t->call_id);
    prompt_text(p, "}");
  } else {
    if (version < 13) {
      prompt_slice(p, t->call_id);
      prompt_control(p, "[TOOL_CONTENT]");
    }
    prompt_slice(p, turn_text(t));
  }
  prompt_control(p, "[/TOOL_RESULTS]");
}

void render_mistral(prompt *p, const chat *c) {
  turns all = {0};
  make_turns(p, c, &all);
  prompt_bos(p);
  for (size_t i = 0; i < all.n && !p->status; i++) {
    switch (all.list[i].role) {
    case ROLE_SYSTEM:
      prompt_control(p, "[SYSTEM_PROMPT]");
      write_parts(p, &all.list[i]);
      prompt_control(p, "[/SYSTEM_PROMPT]");
      break;
    case ROLE_USER:
      write_user(p, c, &all, i);
      break;
    case ROLE_ASSISTANT:
      write_assistant(p, &all, i);
      break;
    case ROLE_TOOL:
      write_result(p, &all, i);
    }
  }
}
