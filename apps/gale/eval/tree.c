#include "gale/eval/tree.h"

#include <stdlib.h>
#include <string.h>

/* Finds children by their first id while the tree grows. */
typedef struct child_table {
  struct child_slot {
    int32_t parent, id, child; /* parent -1: free */
  } * slots;
  size_t mask;
} child_table;

static struct child_slot *find_slot(const child_table *table, int32_t parent, int32_t id) {
  uint64_t key = ((uint64_t)(uint32_t)parent << 32 | (uint32_t)id) * 0x9E3779B97F4A7C15u;
  size_t i = (size_t)(key >> 20) & table->mask;
  while (table->slots[i].parent >= 0 && (table->slots[i].parent != parent || table->slots[i].id != id))
    i = (i + 1) & table->mask;
  return &table->slots[i];
}

static bool table_open(child_table *table, size_t n) {
  size_t size = 64;
  while (size < 2 * n) size *= 2;
  table->mask = size - 1;
  table->slots = malloc(size * sizeof *table->slots);
  for (size_t i = 0; table->slots && i < size; i++) table->slots[i].parent = -1;
  return table->slots != NULL;
}

typedef struct builder {
  tree *t;
  request *requests;
  child_table children;
  int32_t *first; /* of each node, the request that made it */
} builder;

static int32_t add_node(builder *b, int32_t parent, int32_t request_index, int32_t begin, int32_t end) {
  int32_t node = b->t->n_nodes++;
  b->t->nodes[node] = (tree_node){
      .parent = parent, .child = -1, .sibling = -1, .request = request_index, .begin = begin, .end = end, .ends = -1};
  b->first[node] = request_index;
  return node;
}

static void end_at(builder *b, int32_t request_index, int32_t node) {
  b->requests[request_index].node = node;
  b->requests[request_index].next = b->t->nodes[node].ends;
  b->t->nodes[node].ends = request_index;
}

/* Cuts a node's positions at `at`; what comes before becomes a node of its own, which is returned. */
static int32_t split(builder *b, struct child_slot *slot, int32_t at) {
  int32_t below = slot->child;
  tree_node *node = &b->t->nodes[below];
  int32_t above = add_node(b, node->parent, node->request, node->begin, at);
  b->first[above] = b->first[below];
  slot->child = above;
  node->parent = above;
  node->begin = at;
  *find_slot(&b->children, above, b->requests[node->request].ids[at]) =
      (struct child_slot){above, b->requests[node->request].ids[at], below};
  return above;
}

static void insert(builder *b, int32_t index) {
  const request *r = &b->requests[index];
  int32_t node = 0, at = 0;
  while (at < r->n) {
    struct child_slot *slot = find_slot(&b->children, node, r->ids[at]);
    if (slot->parent < 0) {
      int32_t leaf = add_node(b, node, index, at, r->n);
      *slot = (struct child_slot){node, r->ids[at], leaf};
      node = leaf;
      break;
    }
    const tree_node *next = &b->t->nodes[slot->child];
    const int32_t *ids = b->requests[next->request].ids;
    int32_t same = at + 1, end = next->end < r->n ? next->end : r->n;
    while (same < end && ids[same] == r->ids[same]) same++;
    node = same < next->end ? split(b, slot, same) : slot->child;
    at = same;
  }
  end_at(b, index, node);
}

static bool same_input(const request *a, const request *b) {
  return a->item == b->item && a->n == b->n && memcmp(a->ids, b->ids, (size_t)a->n * sizeof *a->ids) == 0;
}

static void insert_alone(builder *b, int32_t index) {
  const request *r = b->requests;
  for (int32_t i = index; i-- > 0 && r[i].item == r[index].item;)
    if (same_input(&r[i], &r[index])) {
      end_at(b, index, r[i].node);
      return;
    }
  end_at(b, index, add_node(b, 0, index, 0, r[index].n));
}

/* Makes the lists of children. Nodes with one first request are on one path, so that none are siblings. */
static bool link_children(const builder *b, int32_t n) {
  int32_t n_nodes = b->t->n_nodes;
  tree_node *nodes = b->t->nodes;
  int32_t *made_by = malloc((size_t)n * sizeof *made_by), *next = malloc((size_t)n_nodes * sizeof *next);
  bool ok = made_by && next;
  for (int32_t i = 0; ok && i < n; i++) made_by[i] = -1;
  for (int32_t v = 1; ok && v < n_nodes; v++) {
    next[v] = made_by[b->first[v]];
    made_by[b->first[v]] = v;
  }
  for (int32_t i = n; ok && i-- > 0;)
    for (int32_t v = made_by[i]; v >= 0; v = next[v]) {
      tree_node *parent = &nodes[nodes[v].parent];
      nodes[v].sibling = parent->child;
      parent->child = v;
      parent->n_children++;
    }
  free(made_by);
  free(next);
  return ok;
}

/* Where the walk through the tree goes after a node: into it, or on. */
static int32_t node_after(const tree_node *nodes, int32_t v) {
  if (nodes[v].child >= 0) return nodes[v].child;
  while (v > 0 && nodes[v].sibling < 0) v = nodes[v].parent;
  return v > 0 ? nodes[v].sibling : 0;
}

/* The requests' order, and of each node which come through it and where their rows begin to count. */
static bool walk(const builder *b, int32_t n) {
  tree_node *nodes = b->t->nodes;
  int32_t *visited = malloc((size_t)b->t->n_nodes * sizeof *visited), count = 0, rank = 0, v = 0;
  b->t->order = malloc((size_t)n * sizeof *b->t->order);
  bool ok = visited && b->t->order;
  if (ok) do {
      visited[count++] = v;
      b->t->size += nodes[v].end - nodes[v].begin;
      nodes[v].low = rank;
      nodes[v].scored = nodes[v].end;
      for (int32_t r = nodes[v].ends; r >= 0; r = b->requests[r].next) {
        b->t->order[rank++] = r;
        if (b->requests[r].first < nodes[v].scored) nodes[v].scored = b->requests[r].first;
      }
      nodes[v].high = rank;
      v = node_after(nodes, v);
    } while (v > 0);
  for (int32_t i = count; ok && i-- > 1;) {
    tree_node *node = &nodes[visited[i]], *parent = &nodes[node->parent];
    if (node->high > parent->high) parent->high = node->high;
    if (node->scored < parent->scored) parent->scored = node->scored;
    if (node->scored < node->begin) node->scored = node->begin;
  }
  free(visited);
  return ok;
}

bool tree_make(tree *t, request *requests, int32_t n, bool share) {
  *t = (tree){0};
  /* Each request adds a node and splits one. */
  size_t most = 2 * (size_t)n + 1;
  builder b = {.t = t, .requests = requests};
  t->nodes = malloc(most * sizeof *t->nodes);
  b.first = malloc(most * sizeof *b.first);
  bool ok = t->nodes && b.first && table_open(&b.children, most);
  if (ok) add_node(&b, -1, 0, 0, 0);
  for (int32_t i = 0; ok && i < n; i++) {
    if (share)
      insert(&b, i);
    else
      insert_alone(&b, i);
  }
  ok = ok && link_children(&b, n) && walk(&b, n);
  free(b.children.slots);
  free(b.first);
  if (!ok) tree_free(t);
  return ok;
}

void tree_free(tree *t) {
  free(t->nodes);
  free(t->order);
  *t = (tree){0};
}
