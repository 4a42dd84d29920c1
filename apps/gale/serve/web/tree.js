/* The messages of a conversation are a tree: an edit or another answer is a sibling of what it replaces, and one leaf is
 * the branch that is shown.
 *
 * A message: {id, conversation, parent (an id or null), created, role, content, thinking, calls [{id, name, arguments}],
 * call (of a tool's result: the call's id), state 'done' | 'partial' | 'error', error, finish, figures}. */
import {newId} from './dom.js';

export function newMessage(conversation, parent, role, more = {}) {
  return {id: newId(), conversation, parent, created: Date.now(), role, content: '', thinking: '', calls: [], call: null,
          state: 'done', error: '', finish: '', figures: null, ...more};
}

export class Tree {
  #messages = new Map();
  #children = new Map();

  constructor(messages) {
    for (const message of [...messages].sort((a, b) => a.created - b.created)) this.add(message);
  }

  get size() {
    return this.#messages.size;
  }

  all() {
    return [...this.#messages.values()];
  }

  get(id) {
    return this.#messages.get(id) ?? null;
  }

  children(id) {
    return this.#children.get(id) ?? [];
  }

  /* Also in place of one with the same id. */
  add(message) {
    const known = this.#messages.has(message.id);
    this.#messages.set(message.id, message);
    if (known) return;
    if (!this.#children.has(message.parent)) this.#children.set(message.parent, []);
    this.#children.get(message.parent).push(message.id);
  }

  siblings(message) {
    return this.children(message.parent);
  }

  /* From the first message to this one. */
  path(leaf) {
    const path = [];
    const seen = new Set();
    for (let m = this.get(leaf); m && !seen.has(m.id); m = this.get(m.parent)) {
      seen.add(m.id);
      path.unshift(m);
    }
    return path;
  }

  /* The ids of a message and all that follow it, on any branch. */
  below(id) {
    const ids = [id];
    for (let i = 0; i < ids.length; i++) ids.push(...this.children(ids[i]));
    return ids;
  }

  /* The end of the branch through this message that was added last; of null: of all. */
  newestLeaf(id) {
    for (let next = this.children(id); next.length; next = this.children(id)) id = next[next.length - 1];
    return id;
  }

  /* Gives the removed ids. */
  remove(id) {
    const ids = this.below(id);
    const siblings = this.siblings(this.get(id));
    siblings.splice(siblings.indexOf(id), 1);
    for (const gone of ids) {
      this.#messages.delete(gone);
      this.#children.delete(gone);
    }
    return ids;
  }
}

function requestMessage(message) {
  if (message.role === 'tool') return {role: 'tool', tool_call_id: message.call, content: message.content};
  if (message.role === 'user') return {role: 'user', content: message.content};
  if (!message.calls.length) return {role: 'assistant', content: message.content};
  const calls = message.calls.map((call) => (
    {id: call.id, type: 'function', function: {name: call.name, arguments: call.arguments}}));
  return {role: 'assistant', content: message.content || null, tool_calls: calls};
}

/* A branch as the API takes it. Thinking stays out, and so do answers that failed before their first word. */
export function requestMessages(system, path) {
  const said = path.filter((m) => m.role !== 'assistant' || m.content || m.calls.length).map(requestMessage);
  return system ? [{role: 'system', content: system}, ...said] : said;
}

export function titleOf(text) {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length > 60 ? `${line.slice(0, 59)}…` : line || 'New chat';
}
