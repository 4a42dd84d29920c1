/* The server's API, as far as the page uses it. */
import {events} from './sse.js';

const KEY = 'gale.key';

/* What the server, or the way to it, says is wrong. status 0: there was no answer. */
export class ApiError extends Error {
  constructor(message, status = 0, details = {}) {
    super(message);
    this.status = status;
    this.param = details.param ?? null;
    this.code = details.code ?? null;
  }
}

const url = (path) => new URL(path, document.baseURI);

function storedKey() {
  try {
    return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? '';
  } catch {
    return '';
  }
}

let key = storedKey();

/* kept: also when the browser is started again. */
export function setKey(value, kept) {
  key = value;
  try {
    localStorage.removeItem(KEY);
    (kept ? localStorage : sessionStorage).setItem(KEY, value);
  } catch {
    /* Then it holds until the page is left. */
  }
}

async function errorOf(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    /* What is no JSON comes from something between, and its status says enough. */
  }
  const message = typeof error.message === 'string' ? error.message : `${response.status} ${response.statusText}`;
  return new ApiError(message, response.status, error);
}

async function request(path, options = {}) {
  const headers = {...(options.body ? {'Content-Type': 'application/json'} : {}),
                   ...(key ? {Authorization: `Bearer ${key}`} : {})};
  let response;
  try {
    response = await fetch(url(path), {...options, headers, cache: 'no-store'});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError('the server cannot be reached');
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

/* {id, context} of the model that is served. */
export async function servedModel() {
  const [model] = (await (await request('v1/models')).json()).data;
  return {id: model.id, context: model.max_model_len ?? model.max_context_length ?? null};
}

/* What `gale info --json` prints. */
export async function modelFacts() {
  return (await request('v1/gale/info')).json();
}

/* How many tokens the prompt of these messages has. */
export async function countTokens(messages, tools, signal) {
  const body = JSON.stringify({messages, ...(tools ? {tools} : {})});
  return (await (await request('tokenize', {method: 'POST', body, signal})).json()).count;
}

/* A whole number of any length cannot be a number in JavaScript, so that a seed is put into the JSON as it is. */
function withSeed(body, seed) {
  const text = JSON.stringify(body);
  return seed ? `${text.slice(0, -1)},"seed":${seed}}` : text;
}

/* Streams an answer: calls head(seed) and then chunk(object) for each. Throws what goes wrong, also in mid-stream, and
 * AbortError once the signal says so. */
export async function streamChat(body, {seed = '', signal, head, chunk}) {
  const response = await request('v1/chat/completions', {method: 'POST', body: withSeed(body, seed), signal});
  head(response.headers.get('x-gale-seed'));
  let complete = false;
  try {
    for await (const data of events(response.body)) {
      if (data === '[DONE]') {
        complete = true;
        break;
      }
      const object = JSON.parse(data);
      if (object.error) throw new ApiError(object.error.message ?? 'the server failed', response.status, object.error);
      chunk(object);
    }
  } catch (error) {
    if (error.name === 'AbortError' || error instanceof ApiError) throw error;
    if (error instanceof SyntaxError) throw new ApiError('the server sent what is no JSON');
    throw new ApiError('the connection broke');
  }
  if (!complete) throw new ApiError('the connection closed before the answer was complete');
}
