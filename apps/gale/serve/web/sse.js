/* Server-sent events, as HTML's standard describes them, of which the data is what the API uses. */

/* Takes pieces of text, and gives the data of each event that is complete. */
export class EventReader {
  #line = '';
  #data = [];
  #after_cr = false;

  *read(text) {
    for (const part of this.#lines(text)) {
      if (part === '') {
        if (this.#data.length) yield this.#data.join('\n');
        this.#data = [];
      } else if (part.startsWith('data:')) {
        this.#data.push(part.slice(part[5] === ' ' ? 6 : 5));
      }
    }
  }

  /* Lines end with CR, LF or both, which may come in two pieces. */
  *#lines(text) {
    if (this.#after_cr && text.startsWith('\n')) text = text.slice(1);
    if (text) this.#after_cr = text.endsWith('\r');
    const lines = (this.#line + text).split(/\r\n|\r|\n/);
    this.#line = lines.pop();
    yield* lines;
  }
}

/* The data of the events of a response's body, in the order in which they come. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventReader();
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    yield* parser.read(value);
  }
}
