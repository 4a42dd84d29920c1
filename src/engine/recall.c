#include "engine/recall.h"

#include "base/error.h"
#include "base/keyed_hash.h"

#include <stdlib.h>
#include <string.h>

enum { NONE = -1, MOST_TOKENS = 1 << 28, FIRST_ROOM = 256 };

/* The ends that a state stands for occur at the same places; `length` is the longest's. */
typedef struct state {
  int32_t length;
  int32_t link; /* of the longest end that occurs elsewhere too; NONE for the empty one, state 0 */
  int32_t end;  /* of the first place: the number of tokens up to there */
  int32_t edges;
} state;

typedef struct edge {
  int32_t from, token, to;
  int32_t next; /* of the same state */
} edge;

struct recall {
  int32_t *tokens; /* [room] */
  state *states;   /* [2 room + 1] */
  edge *edges;     /* [3 room] */
  int32_t *slots;  /* [n_slots]: edges by state and token, with open addressing; NONE: free */
  size_t n_slots;  /* a power of two, at least twice the edges */
  size_t n, room, n_states, n_edges;
  int32_t last; /* the state of the whole text */
  hash_key key; /* texts are untrusted */
};

gale_status recall_open(recall **text, gale_error *error) {
  recall *r = calloc(1, sizeof *r);
  if (!r) return error_memory(error, sizeof *r);
  r->key = hash_key_random();
  *text = r;
  return GALE_OK;
}

void recall_close(recall **text) {
  recall *r = *text;
  if (!r) return;
  free(r->tokens);
  free(r->states);
  free(r->edges);
  free(r->slots);
  free(r);
  *text = NULL;
}

/* ---- Edges ---- */

/* The slot of the edge, or the free one where it belongs. */
static int32_t *find_slot(const recall *r, int32_t from, int32_t token) {
  int32_t pair[2] = {from, token};
  size_t i = keyed_hash(&r->key, (const char *)pair, sizeof pair) & (r->n_slots - 1);
  for (;; i = (i + 1) & (r->n_slots - 1)) {
    if (r->slots[i] == NONE) return &r->slots[i];
    const edge *e = &r->edges[r->slots[i]];
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a slot that is taken names an edge, so there are some */
    if (e->from == from && e->token == token) return &r->slots[i];
  }
}

static edge *find_edge(const recall *r, int32_t from, int32_t token) {
  int32_t at = *find_slot(r, from, token);
  return at == NONE ? NULL : &r->edges[at];
}

static void add_edge(recall *r, int32_t from, int32_t token, int32_t to) {
  *find_slot(r, from, token) = (int32_t)r->n_edges;
  /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the caller has made room */
  r->edges[r->n_edges] = (edge){from, token, to, r->states[from].edges};
  r->states[from].edges = (int32_t)r->n_edges++;
}

/* ---- Room ---- */

static bool resize(void **array, size_t n, size_t size) {
  void *grown = realloc(*array, n * size);
  if (grown) *array = grown;
  return grown;
}

/* An array that has grown before another failed to is no change: room says what there is. */
static bool set_room(recall *r, size_t room) {
  size_t n_slots = 1;
  while (n_slots < 6 * room) n_slots *= 2;
  if (!resize((void **)&r->tokens, room, sizeof *r->tokens) ||
      !resize((void **)&r->states, 2 * room + 1, sizeof *r->states) ||
      !resize((void **)&r->edges, 3 * room, sizeof *r->edges))
    return false;
  int32_t *slots = malloc(n_slots * sizeof *slots);
  if (!slots) return false;
  free(r->slots);
  memset(slots, 0xFF, n_slots * sizeof *slots);
  r->slots = slots;
  r->n_slots = n_slots;
  r->room = room;
  for (size_t i = 0; i < r->n_edges; i++) *find_slot(r, r->edges[i].from, r->edges[i].token) = (int32_t)i;
  return true;
}

static gale_status make_room(recall *r, size_t n, gale_error *error) {
  if (n > MOST_TOKENS - r->n)
    return error_set(error, GALE_E_MEMORY, "a text of more than %d tokens cannot be searched", MOST_TOKENS);
  size_t room = r->room ? r->room : FIRST_ROOM;
  while (room < r->n + n) room *= 2;
  if (room > r->room && !set_room(r, room)) return error_memory(error, (uint64_t)room * 132);
  if (r->n_states == 0) r->states[r->n_states++] = (state){.link = NONE, .edges = NONE};
  return GALE_OK;
}

gale_status recall_copy(const recall *text, recall **copy, gale_error *error) {
  recall *r = NULL;
  gale_status status = recall_open(&r, error);
  if (status) return status;
  r->key = text->key;
  if (text->room && !set_room(r, text->room)) {
    recall_close(&r);
    return error_memory(error, (uint64_t)text->room * 132);
  }
  r->n = text->n;
  r->n_states = text->n_states;
  r->n_edges = text->n_edges;
  r->last = text->last;
  if (text->room) {
    memcpy(r->tokens, text->tokens, r->n * sizeof *r->tokens);
    memcpy(r->states, text->states, r->n_states * sizeof *r->states);
    memcpy(r->edges, text->edges, r->n_edges * sizeof *r->edges);
    memcpy(r->slots, text->slots, r->n_slots * sizeof *r->slots);
  }
  *copy = r;
  return GALE_OK;
}

/* ---- Tokens ---- */

/* A state for those of q's ends that are at most one token longer than p's: from now on they occur at more places than
 * q's others. Edges that led there lead to it, from p and what p links to. */
static int32_t split(recall *r, int32_t p, int32_t token, int32_t q) {
  int32_t clone = (int32_t)r->n_states++;
  r->states[clone] = (state){r->states[p].length + 1, r->states[q].link, r->states[q].end, NONE};
  for (int32_t e = r->states[q].edges; e != NONE; e = r->edges[e].next)
    add_edge(r, clone, r->edges[e].token, r->edges[e].to);
  r->states[q].link = clone;
  for (edge *e; p != NONE && (e = find_edge(r, p, token)) && e->to == q; p = r->states[p].link) e->to = clone;
  return clone;
}

static void append(recall *r, int32_t token) {
  int32_t whole = (int32_t)r->n_states++, p = r->last, link = 0;
  r->tokens[r->n++] = token;
  r->states[whole] = (state){(int32_t)r->n, 0, (int32_t)r->n, NONE};
  for (; p != NONE && !find_edge(r, p, token); p = r->states[p].link) add_edge(r, p, token, whole);
  if (p != NONE) {
    link = find_edge(r, p, token)->to;
    if (r->states[link].length != r->states[p].length + 1) link = split(r, p, token, link);
  }
  r->states[whole].link = link;
  r->last = whole;
}

gale_status recall_append(recall *text, const int32_t *tokens, size_t n, gale_error *error) {
  gale_status status = make_room(text, n, error);
  for (size_t i = 0; i < n && !status; i++) append(text, tokens[i]);
  return status;
}

size_t recall_match(const recall *text) {
  return text->n ? (size_t)text->states[text->states[text->last].link].length : 0;
}

size_t recall_propose(const recall *text, int32_t *tokens, size_t n) {
  if (!recall_match(text)) return 0;
  size_t end = (size_t)text->states[text->states[text->last].link].end, left = text->n - end;
  for (size_t i = 0; i < n; i++) tokens[i] = i < left ? text->tokens[end + i] : tokens[i - left];
  return n;
}
