/* Conversations as files, to and from. */
import {h, newId} from './dom.js';
import {cleanSettings} from './settings.js';
import {newMessage, titleOf} from './tree.js';

const FORMAT = 'gale.conversations', VERSION = 1;
const LARGEST = 64 << 20;

function fileName(title) {
  return title.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '').slice(0, 50) || 'conversation';
}

export function exportConversation(conversation, messages) {
  const file = {format: FORMAT, version: VERSION, conversations: [{...conversation, messages}]};
  const address = URL.createObjectURL(new Blob([JSON.stringify(file, null, 2)], {type: 'application/json'}));
  const link = h('a', {href: address, download: `${fileName(conversation.title)}.json`});
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

const text = (value) => (typeof value === 'string' ? value : '');
const time = (value) => (Number.isFinite(value) ? value : Date.now());
const list = (value) => (Array.isArray(value) ? value : []);

function cleanFigures(figures) {
  if (typeof figures !== 'object' || figures === null) return null;
  const clean = {exact: figures.exact === true, seed: typeof figures.seed === 'string' ? figures.seed : null};
  for (const key of ['tokens', 'thinking', 'prompt', 'cached', 'first', 'speed'])
    clean[key] = Number.isFinite(figures[key]) ? figures[key] : null;
  return clean;
}

function cleanCall(call) {
  const said = call?.function ?? call; /* the API's form, and the page's own */
  return {id: text(call?.id), name: text(said?.name), arguments: text(said?.arguments)};
}

/* A message with a new id, so that a conversation can be imported twice. ids: new ones of the messages before it; what
 * names another parent is a beginning, so that no circle can arise. */
function cleanMessage(message, conversation, ids) {
  if (!['user', 'assistant', 'tool'].includes(message?.role)) throw new Error('a message has a role that is none');
  const state = ['done', 'partial', 'error'].includes(message.state) ? message.state : 'done';
  return newMessage(conversation, ids.get(message.parent) ?? null, message.role, {
    created: time(message.created), content: text(message.content),
    thinking: text(message.thinking), calls: list(message.calls).map(cleanCall),
    call: typeof message.call === 'string' ? message.call : null, state, error: text(message.error),
    finish: text(message.finish), figures: cleanFigures(message.figures),
  });
}

function fromFile(saved) {
  const id = newId();
  const messages = list(saved?.messages);
  const ids = new Map();
  const clean = [];
  for (const message of messages) {
    clean.push(cleanMessage(message, id, ids));
    ids.set(message.id, clean.at(-1).id);
  }
  const conversation = {id, title: text(saved?.title) || 'Imported', created: time(saved?.created), updated: Date.now(),
                        settings: cleanSettings(saved?.settings), leaf: ids.get(saved?.leaf) ?? clean.at(-1)?.id ?? null};
  return {conversation, messages: clean};
}

/* A request's messages, one after the other, as gale run saves a conversation. */
function fromRequest(request) {
  const id = newId();
  const settings = cleanSettings({});
  const messages = [];
  for (const said of request.messages) {
    if (said?.role === 'system' || said?.role === 'developer') {
      settings.system = [settings.system, text(said.content)].filter(Boolean).join('\n\n');
      continue;
    }
    if (!['user', 'assistant', 'tool'].includes(said?.role)) throw new Error('a message has a role that is none');
    messages.push(newMessage(id, messages.at(-1)?.id ?? null, said.role, {
      created: Date.now() + messages.length, content: text(said.content), thinking: text(said.reasoning_content),
      calls: list(said.tool_calls).map(cleanCall), call: said.role === 'tool' ? text(said.tool_call_id) : null,
    }));
  }
  const title = titleOf(messages[0]?.content ?? '');
  return {conversation: {id, title, created: Date.now(), updated: Date.now(), settings, leaf: messages.at(-1)?.id ?? null},
          messages};
}

/* [{conversation, messages}] of a file's text. Throws an Error that says what is wrong with it. */
export function readConversations(json) {
  let file;
  try {
    file = JSON.parse(json);
  } catch (error) {
    throw new Error(`the file is no JSON: ${error.message}`);
  }
  if (Array.isArray(file?.messages)) return [fromRequest(file)];
  if (file?.format !== FORMAT) throw new Error('the file holds no conversation');
  if (file.version !== VERSION) throw new Error(`version ${text(String(file.version))} of the format is not known`);
  return list(file.conversations).map(fromFile);
}

/* The same of a chosen file. */
export async function readFile(file) {
  if (file.size > LARGEST) throw new Error('the file is larger than 64 MiB');
  return readConversations(await file.text());
}
