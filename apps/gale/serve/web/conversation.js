/* The branch that is shown, message by message, and where it is scrolled to. */
import {h} from './dom.js';
import {MessageView} from './message.js';

const NEAR = 60;

export class ConversationView {
  #views = new Map();
  #at_end = true;
  #of = null;

  /* on: what MessageView needs, and ask(text) for the examples. */
  constructor(on) {
    this.on = on;
    this.list = document.getElementById('messages');
    this.scroller = document.getElementById('scroller');
    this.to_end = document.getElementById('to-end');
    this.scroller.addEventListener('scroll', () => this.#scrolled(), {passive: true});
    this.to_end.addEventListener('click', () => this.toEnd());
    new ResizeObserver(() => this.#follow()).observe(this.list);
  }

  #scrolled() {
    const {scrollHeight, scrollTop, clientHeight} = this.scroller;
    this.#at_end = scrollHeight - scrollTop - clientHeight < NEAR;
    this.to_end.hidden = this.#at_end;
  }

  /* Who reads further up is left there. */
  #follow() {
    if (this.#at_end) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#scrolled();
  }

  toEnd() {
    this.#at_end = true;
    this.#follow();
  }

  show(conversation, tree, {busy, context, model}) {
    const path = tree.path(conversation.leaf);
    if (this.#of !== conversation.id) this.#views.clear();
    const views = path.map((message) => this.#views.get(message.id) ?? new MessageView(message, this.on));
    this.#views = new Map(views.map((view) => [view.message.id, view]));
    views.forEach((view, i) => view.show(path[i], {siblings: tree.siblings(path[i]), last: i === path.length - 1, busy, context}));
    const nodes = views.length ? views.map((view) => view.element) : [this.#welcome(model)];
    for (const node of [...this.list.childNodes]) if (!nodes.includes(node)) node.remove();
    nodes.forEach((node, i) => {
      if (this.list.childNodes[i] !== node) this.list.insertBefore(node, this.list.childNodes[i] ?? null);
    });
    if (this.#of !== conversation.id) this.toEnd();
    this.#of = conversation.id;
  }

  /* The last message of the user, to be edited. */
  editLast() {
    [...this.#views.values()].findLast((view) => view.message.role === 'user')?.edit();
  }

  #welcome(model) {
    const examples = ['Explain sliding-window attention in three sentences.', 'Write a C function that reverses a string in place.',
                      'Make a table of the planets with their diameters.'];
    return h('div', {class: 'welcome'}, h('h2', {}, 'What would you like to know?'),
             h('p', {}, model ? `${model} runs on this server; conversations stay in this browser.` : 'Conversations stay in this browser.'),
             h('ul', {}, ...examples.map((text) => h('li', {}, h('button', {type: 'button', onclick: () => this.on.ask(text)}, text)))));
  }
}
