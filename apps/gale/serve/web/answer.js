/* An answer while it comes: the chunks of the stream become a message, with figures of its speed. */
import {streamChat} from './client.js';

/* How often what came is shown, in milliseconds. */
const INTERVAL = 60;

function addCalls(calls, deltas) {
  for (const delta of deltas) {
    const index = delta.index ?? calls.length;
    calls[index] ??= {id: '', name: '', arguments: ''};
    if (delta.id) calls[index].id = delta.id;
    calls[index].name += delta.function?.name ?? '';
    calls[index].arguments += delta.function?.arguments ?? '';
  }
}

export class Answer {
  #controller = new AbortController();
  #timer = null;
  #started = performance.now();
  #first = 0;
  #last = 0;
  #pieces = 0;
  #usage = null;
  #seed = null;

  /* changed() is called when there is more to show, at most every INTERVAL. */
  constructor(message, changed) {
    this.message = message;
    this.changed = changed;
  }

  stop() {
    this.#controller.abort();
  }

  #soon() {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#figures();
      this.changed();
    }, INTERVAL);
  }

  #take(chunk) {
    if (chunk.usage) this.#usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    const delta = choice.delta ?? {};
    const piece = delta.content || delta.reasoning_content || delta.tool_calls;
    if (piece) {
      this.#last = performance.now();
      this.#first ||= this.#last;
      this.#pieces++;
    }
    this.message.content += delta.content ?? '';
    this.message.thinking += delta.reasoning_content ?? '';
    if (delta.tool_calls) addCalls(this.message.calls, delta.tool_calls);
    if (choice.finish_reason) this.message.finish = choice.finish_reason;
    this.#soon();
  }

  /* Until the usage is there a piece counts as a token, which is what it mostly is. */
  #figures() {
    const usage = this.#usage;
    const tokens = usage?.completion_tokens ?? this.#pieces;
    const seconds = (this.#last - this.#first) / 1000;
    this.message.figures = {
      exact: usage !== null,
      tokens,
      thinking: usage?.completion_tokens_details?.reasoning_tokens ?? 0,
      prompt: usage?.prompt_tokens ?? null,
      cached: usage?.prompt_tokens_details?.cached_tokens ?? null,
      first: this.#first ? (this.#first - this.#started) / 1000 : null,
      speed: tokens > 1 && seconds > 0 ? (tokens - 1) / seconds : null,
      seed: this.#seed,
    };
  }

  /* Never throws: what goes wrong is in the message, whose state is then 'error'. Gives the error, or null. */
  async run(body, seed) {
    const {message} = this;
    message.state = 'running';
    message.error = '';
    message.finish = '';
    let failure = null;
    try {
      await streamChat(body, {
        seed,
        signal: this.#controller.signal,
        head: (used) => {
          this.#seed = used;
        },
        chunk: (chunk) => this.#take(chunk),
      });
      message.state = 'done';
    } catch (error) {
      const stopped = error.name === 'AbortError';
      message.state = stopped ? 'partial' : 'error';
      message.error = stopped ? '' : error.message + (error.param ? ` (${error.param})` : '');
      failure = stopped ? null : error;
    }
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#figures();
    return failure;
  }
}
