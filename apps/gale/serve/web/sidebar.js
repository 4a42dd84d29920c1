/* The list of conversations; on a narrow screen it slides over the page. */
import {h, icon} from './dom.js';

const element = (id) => document.getElementById(id);

function ageOf(time) {
  const days = Math.floor((new Date().setHours(0, 0, 0, 0) - new Date(time).setHours(0, 0, 0, 0)) / 864e5);
  if (days <= 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return days < 7 ? 'This week' : days < 31 ? 'This month' : 'Earlier';
}

export class Sidebar {
  #narrow = matchMedia('(max-width: 760px)');

  /* on: choose(id), create(), facts(), help(), file(file). */
  constructor(on) {
    this.on = on;
    const decorate = (id, name) => element(id).prepend(icon(name));
    decorate('new-chat', 'plus');
    decorate('show-facts', 'facts');
    decorate('import', 'import');
    decorate('show-help', 'help');
    decorate('open-sidebar', 'menu');
    decorate('close-sidebar', 'close');
    const then = (action) => () => {
      this.close();
      action();
    };
    element('new-chat').addEventListener('click', then(on.create));
    element('show-facts').addEventListener('click', then(on.facts));
    element('show-help').addEventListener('click', then(on.help));
    element('import').addEventListener('click', () => element('file').click());
    element('file').addEventListener('change', () => {
      const [file] = element('file').files;
      if (file) on.file(file);
      element('file').value = '';
    });
    element('search').addEventListener('input', () => this.#draw());
    element('open-sidebar').addEventListener('click', () => this.open());
    element('close-sidebar').addEventListener('click', () => this.close());
    element('shade').addEventListener('click', () => this.close());
    element('sidebar').addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.close();
    });
    this.#narrow.addEventListener('change', () => this.#hide(this.#narrow.matches));
    this.#hide(this.#narrow.matches);
    this.#theme();
  }

  /* Hidden, it is out of the keyboard's way too; open on a narrow screen, the page behind it is. */
  #hide(hidden) {
    const over = this.#narrow.matches && !hidden;
    element('sidebar').inert = hidden;
    element('sidebar').classList.toggle('open', !hidden);
    element('shade').hidden = !over;
    element('page').inert = over;
    element('open-sidebar').setAttribute('aria-expanded', String(over));
  }

  open() {
    this.#hide(false);
    element('new-chat').focus();
  }

  close() {
    if (!this.#narrow.matches || element('sidebar').inert) return;
    this.#hide(true);
    element('open-sidebar').focus();
  }

  #theme() {
    const select = element('theme');
    select.value = document.documentElement.dataset.theme ?? '';
    select.addEventListener('change', () => {
      document.documentElement.dataset.theme = select.value;
      try {
        localStorage.setItem('gale.theme', select.value);
      } catch {
        /* Then it holds until the page is left. */
      }
    });
  }

  /* conversations: [{id, title, updated}], newest first; running: ids whose answers are on their way. */
  show(conversations, current, running) {
    this.shown = {conversations, current, running};
    this.#draw();
  }

  #draw() {
    const {conversations, current, running} = this.shown;
    const wanted = element('search').value.trim().toLowerCase();
    const found = conversations.filter((c) => c.title.toLowerCase().includes(wanted));
    const focused = element('conversations').contains(document.activeElement) ? document.activeElement.dataset.id : null;
    const items = [];
    let age = null;
    for (const c of found) {
      if (ageOf(c.updated) !== age) items.push(h('li', {class: 'age', role: 'presentation'}, age = ageOf(c.updated)));
      const button = h('button', {type: 'button', class: 'plain', 'data-id': c.id, title: c.title,
                                  'aria-current': c.id === current ? 'page' : null, onclick: () => this.#choose(c.id)},
                       h('span', {class: 'name'}, c.title),
                       running.has(c.id) ? h('span', {class: 'running', role: 'img', 'aria-label': 'answering'}) : null);
      items.push(h('li', {}, button));
      if (c.id === focused) queueMicrotask(() => button.focus());
    }
    if (!found.length) items.push(h('li', {class: 'none'}, wanted ? 'None has this in its title' : 'None yet'));
    element('conversations').replaceChildren(...items);
  }

  #choose(id) {
    this.close();
    this.on.choose(id);
  }
}
