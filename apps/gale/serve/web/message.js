/* A message as it is shown, with what can be done with it. */
import {copyButton, h, iconButton, number} from './dom.js';
import {MarkdownView} from './markdown.js';

const NAMES = {user: 'You', assistant: 'Answer', tool: 'Result of a tool'};
const FINISHES = {length: 'The most tokens, or the end of the context, was reached.'};

function indented(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}

/* "44.1 tokens/s", "128 tokens" and so on. */
function figuresOf(figures, context) {
  if (!figures) return [];
  const about = figures.exact ? '' : 'about ';
  const parts = [];
  if (figures.speed) parts.push(`${about}${figures.speed < 100 ? figures.speed.toPrecision(3) : number(figures.speed)} tokens/s`);
  if (figures.tokens)
    parts.push(`${about}${number(figures.tokens)} tokens${figures.thinking ? `, ${number(figures.thinking)} of them thinking` : ''}`);
  if (figures.prompt !== null)
    parts.push(`prompt ${number(figures.prompt)}${figures.cached ? `, ${number(figures.cached)} of it cached` : ''}`);
  if (figures.prompt !== null && context)
    parts.push(`context ${number(figures.prompt + figures.tokens)} of ${number(context)}`);
  if (figures.first !== null) parts.push(`first after ${figures.first < 10 ? figures.first.toFixed(2) : Math.round(figures.first)} s`);
  if (figures.seed) parts.push(`seed ${figures.seed}`);
  return parts;
}

function callView(call) {
  return h('div', {class: 'call'}, h('p', {class: 'call-name'}, 'Calls ', h('code', {}, call.name || '…')),
           h('pre', {tabindex: 0, role: 'region', 'aria-label': `Arguments of ${call.name}`}, indented(call.arguments)));
}

export class MessageView {
  #markdown = new MarkdownView();
  #shown = '';
  #editing = false;

  /* on: what the page does: edit, pick, remove, regenerate, proceed, results. */
  constructor(message, on) {
    this.on = on;
    this.message = message;
    const heading = h('h2', {class: 'visually-hidden', id: `of-${message.id}`}, NAMES[message.role]);
    this.body = h('div', {class: 'body'});
    this.foot = h('div', {class: 'foot'});
    this.element = h('article', {class: `message ${message.role}`, 'aria-labelledby': heading.id}, heading, this.body, this.foot);
  }

  /* siblings: the ids of the messages in the same place. last: nothing follows. busy: an answer of this conversation is
   * on its way. */
  show(message, {siblings, last, busy, context}) {
    this.message = message;
    if (this.#editing) return;
    const key = JSON.stringify([message, siblings, last, busy, context]);
    if (key === this.#shown) return;
    this.#shown = key;
    this.element.setAttribute('aria-busy', String(message.state === 'running'));
    if (message.role === 'assistant') this.#showAnswer(message, last && !busy);
    else this.body.replaceChildren(h('div', {class: 'said'}, message.content));
    this.#showFoot(message, siblings, last, busy, context);
  }

  #showAnswer(message, open) {
    this.#showThinking(message);
    const parts = [this.thinking, this.#markdown.element].filter(Boolean);
    this.#markdown.show(message.content);
    const calls = message.calls.filter(Boolean);
    parts.push(...calls.map(callView));
    if (message.state === 'running' && !message.content && !message.thinking && !calls.length)
      parts.push(h('p', {class: 'waiting'}, h('span', {class: 'visually-hidden'}, 'Waiting for the first word')));
    if (message.state === 'error') parts.push(h('p', {class: 'error'}, `It failed: ${message.error}`));
    if (message.state === 'partial') parts.push(h('p', {class: 'note'}, 'The answer was stopped.'));
    if (message.state === 'done' && FINISHES[message.finish]) parts.push(h('p', {class: 'note'}, FINISHES[message.finish]));
    if (open && calls.length && message.state === 'done') parts.push(this.#resultsForm(calls));
    this.#put(parts);
  }

  /* Elements that stay are not moved: that would take the focus and the selection from them. */
  #put(parts) {
    for (const node of [...this.body.childNodes]) if (!parts.includes(node)) node.remove();
    parts.forEach((node, i) => {
      if (this.body.childNodes[i] !== node) this.body.insertBefore(node, this.body.childNodes[i] ?? null);
    });
  }

  #showThinking(message) {
    if (!message.thinking) {
      this.thinking = null;
      return;
    }
    if (!this.thinking) {
      this.thinkingName = h('summary', {});
      this.thinkingText = h('div', {class: 'thought'});
      this.thinking = h('details', {class: 'thinking'}, this.thinkingName, this.thinkingText);
    }
    const now = message.state === 'running' && !message.content;
    this.thinkingName.textContent = now ? 'Thinking…' : 'Thoughts';
    this.thinkingText.textContent = message.thinking;
  }

  #resultsForm(calls) {
    const areas = calls.map((call) => h('textarea', {rows: 2, class: 'mono'}));
    return h('form', {
      class: 'results',
      onsubmit: (event) => {
        event.preventDefault();
        this.on.results(this.message, areas.map((area) => area.value));
      },
    }, ...calls.map((call, i) => h('label', {class: 'field'}, `What ${call.name} gives`, areas[i])),
    h('button', {type: 'submit', class: 'primary'}, calls.length > 1 ? 'Give the results' : 'Give the result'));
  }

  #branches(message, siblings) {
    const at = siblings.indexOf(message.id);
    return h('span', {class: 'branches', role: 'group', 'aria-label': 'Branches'},
             iconButton('left', 'The branch before', () => this.on.pick(message, at - 1), {disabled: at === 0}),
             h('span', {}, h('span', {class: 'visually-hidden'}, 'Branch '), `${at + 1} / ${siblings.length}`),
             iconButton('right', 'The next branch', () => this.on.pick(message, at + 1), {disabled: at + 1 === siblings.length}));
  }

  #showFoot(message, siblings, last, busy, context) {
    const parts = [];
    if (siblings.length > 1 && !busy) parts.push(this.#branches(message, siblings));
    const actions = [];
    if (message.content) actions.push(copyButton('Copy the text', () => this.message.content));
    if (!busy) {
      if (message.role !== 'tool') actions.push(iconButton('edit', 'Edit', () => this.edit()));
      if (message.role === 'assistant') actions.push(iconButton('again', 'Answer again', () => this.on.regenerate(message)));
      const cut = message.state !== 'done' || message.finish === 'length';
      if (last && cut && message.content && !message.calls.length)
        actions.push(iconButton('more', 'Go on with this answer', () => this.on.proceed(message)));
      actions.push(iconButton('trash', 'Delete from here', () => this.on.remove(message)));
    }
    parts.push(h('span', {class: 'actions'}, ...actions));
    const figures = message.role === 'assistant' ? figuresOf(message.figures, context) : [];
    if (figures.length) parts.push(h('span', {class: 'figures'}, ...figures.map((text) => h('span', {}, text))));
    this.foot.replaceChildren(...parts);
  }

  /* A field in place of the text. What comes out is a branch beside this one. */
  edit() {
    const {message} = this;
    const asked = message.role === 'user';
    const area = h('textarea', {'aria-label': asked ? 'The message' : 'The answer',
                                rows: Math.min(20, message.content.split('\n').length + 1)});
    area.value = message.content;
    const close = () => {
      this.#editing = false;
      this.#shown = '';
      this.on.refresh();
      this.element.querySelector('.actions button')?.focus();
    };
    const save = () => {
      const text = area.value;
      close();
      if (text.trim() && text !== message.content) this.on.edit(message, text);
    };
    area.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        close();
      }
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) save();
    });
    this.#editing = true;
    this.body.replaceChildren(h('form', {
      class: 'editing',
      onsubmit: (event) => {
        event.preventDefault();
        save();
      },
    }, area, h('div', {class: 'dialog-actions'},
               h('button', {type: 'submit', class: 'primary'}, asked ? 'Send' : 'Save'),
               h('button', {type: 'button', onclick: close}, 'Cancel'))));
    this.foot.replaceChildren();
    area.focus();
  }
}
