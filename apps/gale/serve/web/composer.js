/* The field for the next message. */
import {icon, number} from './dom.js';

/* How long typing pauses before tokens are counted, in milliseconds. */
const PAUSE = 500;

export class Composer {
  #drafts = new Map();
  #of = null;
  #timer = null;
  #counting = null;

  /* on: send(text), stop(), count(text, signal) -> {count, context} or null, editLast(). */
  constructor(on) {
    this.on = on;
    this.form = document.getElementById('composer');
    this.area = document.getElementById('prompt');
    this.button = document.getElementById('send');
    this.note = document.getElementById('count');
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.area.addEventListener('input', () => this.#changed());
    this.area.addEventListener('keydown', (event) => this.#key(event));
    this.busy(false);
  }

  #key(event) {
    /* Enter also ends the composition of a character. */
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && !this.#busy) {
      event.preventDefault();
      this.#submit();
    }
    if (event.key === 'ArrowUp' && !this.area.value && !this.#busy) {
      event.preventDefault();
      this.on.editLast();
    }
  }

  #submit() {
    if (this.#busy) {
      this.on.stop();
      return;
    }
    const text = this.area.value;
    if (text.trim() && this.on.send(text)) this.set('');
  }

  #busy = false;
  busy(busy) {
    this.#busy = busy;
    this.button.replaceChildren(icon(busy ? 'stop' : 'send'));
    this.button.setAttribute('aria-label', busy ? 'Stop' : 'Send');
    this.button.title = busy ? 'Stop (Escape)' : 'Send (Enter)';
    this.button.classList.toggle('stop', busy);
    if (!busy) this.recount();
  }

  /* Each conversation has its own draft. */
  of(id) {
    if (id === this.#of) return;
    this.#drafts.set(this.#of, this.area.value);
    this.#of = id;
    this.set(this.#drafts.get(id) ?? '');
  }

  set(text) {
    this.area.value = text;
    this.#changed();
  }

  focus() {
    this.area.focus();
  }

  #changed() {
    /* Browsers without field-sizing are told the height. */
    if (!CSS.supports('field-sizing', 'content')) {
      this.area.style.height = 'auto';
      this.area.style.height = `${Math.min(this.area.scrollHeight, innerHeight * 0.4)}px`;
    }
    this.recount();
  }

  recount() {
    clearTimeout(this.#timer);
    this.#counting?.abort();
    this.#timer = setTimeout(() => this.#count(), PAUSE);
  }

  async #count() {
    this.#counting = new AbortController();
    const result = await this.on.count(this.area.value, this.#counting.signal).catch(() => null);
    if (!result) {
      this.note.textContent = '';
      return;
    }
    const {count, context} = result;
    this.note.textContent = context ? `${number(count)} of ${number(context)} tokens of context` : `${number(count)} tokens`;
    this.note.classList.toggle('over', context !== null && count >= context);
  }
}
