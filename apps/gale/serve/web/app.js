/* The page: which conversation is shown, what was asked of the model, and what the controls do. */
import {Answer} from './answer.js';
import {countTokens, servedModel, setKey} from './client.js';
import {Composer} from './composer.js';
import {ConversationView} from './conversation.js';
import {confirmDialog, openDialog, promptDialog} from './dialog.js';
import {announce, h, iconButton, newId} from './dom.js';
import {showFacts} from './facts.js';
import {cleanSettings, editSettings, requestFields, toolsOf} from './settings.js';
import {Sidebar} from './sidebar.js';
import {openStore} from './store.js';
import {exportConversation, readFile} from './transfer.js';
import {Tree, newMessage, requestMessages, titleOf} from './tree.js';

/* How often an answer is saved while it comes, in milliseconds. */
const SAVING = 1000;

const element = (id) => document.getElementById(id);
const others = 'BroadcastChannel' in window ? new BroadcastChannel('gale') : null;

let store;
let served = {id: '', context: null};
let conversations = new Map(); /* by id */
let current; /* the conversation that is shown; kept in the store from its first message on */
let tree = new Tree([]);
const running = new Map(); /* by conversation: {answer, tree} */

function banner(text) {
  element('banner').textContent = text;
  element('banner').hidden = !text;
}

/* What cannot be saved is still shown. */
async function saved(id, work) {
  try {
    await work;
    others?.postMessage(id);
  } catch (error) {
    banner(`This browser does not keep the conversation: ${error?.message ?? 'its storage failed'}`);
  }
}

/* ---- Showing ---- */

function showList() {
  const list = [...conversations.values()].sort((a, b) => b.updated - a.updated);
  sidebar.show(list, current.id, running);
}

function show() {
  const busy = running.has(current.id);
  element('title').textContent = current.title;
  element('model').textContent = served.id;
  document.title = tree.size ? `${current.title} - gale` : 'gale';
  composer.of(current.id);
  view.show(current, tree, {busy, context: served.context, model: served.id});
  for (const button of element('actions').querySelectorAll('[data-kept]')) button.disabled = !tree.size || busy;
}

function showBusy() {
  composer.busy(running.has(current.id));
  showList();
  show();
}

function startNew() {
  const settings = cleanSettings(current?.settings);
  current = {id: newId(), title: 'New chat', created: Date.now(), updated: Date.now(), settings, leaf: null};
  tree = new Tree([]);
  showBusy();
  composer.focus();
}

async function choose(id) {
  const conversation = conversations.get(id);
  const messages = running.has(id) ? null : await store.messages(id);
  if (!conversation) return;
  current = conversation;
  tree = running.get(id)?.tree ?? new Tree(messages);
  if (!tree.get(current.leaf)) current.leaf = tree.newestLeaf(null);
  showBusy();
}

/* ---- Asking ---- */

async function keep(conversation, messages) {
  conversation.updated = Date.now();
  conversations.set(conversation.id, conversation);
  await saved(conversation.id, Promise.all([store.saveConversation(conversation), store.saveMessages(messages)]));
}

/* Saved as it is so far: should the page be left, it is an answer that was stopped. */
const kept = (message) => ({...message, state: message.state === 'running' ? 'partial' : message.state});

/* Fills the message, whose branch before it is what is asked. Its own text is gone on with. */
async function fill(message) {
  const conversation = current, its_tree = tree;
  let fields;
  try {
    fields = requestFields(conversation.settings);
  } catch (error) {
    banner(error.message);
    showBusy();
    return;
  }
  banner('');
  const before = its_tree.path(message.content ? message.id : message.parent);
  const body = {model: served.id, messages: requestMessages(conversation.settings.system, before), stream: true,
                stream_options: {include_usage: true}, ...(message.content ? {continue_final_message: true} : {}), ...fields};
  let last_saved = Date.now();
  const answer = new Answer(message, () => {
    if (current === conversation) show();
    if (Date.now() - last_saved < SAVING) return;
    last_saved = Date.now();
    saved(conversation.id, store.saveMessages([kept(message)]));
  });
  its_tree.add(message);
  conversation.leaf = message.id;
  running.set(conversation.id, {answer, tree: its_tree});
  const done = answer.run(body, conversation.settings.seed.trim());
  showBusy();
  view.toEnd();
  announce('Answering');
  await keep(conversation, [kept(message)]);
  const failure = await done;
  running.delete(conversation.id);
  await keep(conversation, [message]);
  if (current === conversation) showBusy();
  else showList();
  announce(failure ? `The answer failed: ${message.error}` : message.state === 'partial' ? 'Stopped' : 'The answer is complete');
  if (failure?.status === 401) await connect();
}

const answerTo = (parent) => fill(newMessage(current.id, parent, 'assistant'));

/* Adds messages one after another behind a message, and has the last answered. */
async function say(parent, messages) {
  for (const message of messages) {
    tree.add(message);
    current.leaf = message.id;
  }
  if (current.title === 'New chat') current.title = titleOf(messages[0].content);
  const keeping = keep(current, messages);
  await answerTo(current.leaf);
  await keeping;
}

function send(text) {
  if (running.has(current.id)) return false;
  say(current.leaf, [newMessage(current.id, current.leaf, 'user', {content: text})]);
  return true;
}

const actions = {
  ask: send,
  refresh: show,
  regenerate: (message) => answerTo(message.parent),
  proceed: fill,

  pick(message, at) {
    current.leaf = tree.newestLeaf(tree.siblings(message)[at]);
    keep(current, []);
    show();
  },

  edit(message, text) {
    const changed = newMessage(current.id, message.parent, message.role, {content: text});
    if (message.role === 'user') {
      say(message.parent, [changed]);
      return;
    }
    tree.add(changed);
    current.leaf = changed.id;
    keep(current, [changed]);
    show();
  },

  results(message, texts) {
    let parent = message.id;
    say(parent, texts.map((content, i) => {
      const result = newMessage(current.id, parent, 'tool', {content, call: message.calls[i].id});
      parent = result.id;
      return result;
    }));
  },

  async remove(message) {
    const more = tree.below(message.id).length - 1;
    const what = more ? `This message and the ${more} below it, on all branches, are removed.` : 'This message is removed.';
    if (!await confirmDialog('Delete from here?', what, 'Delete')) return;
    const at = tree.siblings(message).indexOf(message.id);
    const ids = tree.remove(message.id);
    const left = tree.siblings(message);
    current.leaf = left.length ? tree.newestLeaf(left[Math.max(0, at - 1)]) : message.parent;
    await saved(current.id, store.removeMessages(ids));
    if (tree.size) await keep(current, []);
    else await removeCurrent();
    showBusy();
  },
};

/* ---- The conversation as a whole ---- */

async function removeCurrent() {
  running.get(current.id)?.answer.stop();
  conversations.delete(current.id);
  await saved(current.id, store.removeConversation(current.id));
  startNew();
}

async function askRemove() {
  if (await confirmDialog('Delete this conversation?', `“${current.title}” is removed from this browser.`, 'Delete'))
    await removeCurrent();
}

async function rename() {
  const title = await promptDialog('Rename', 'Title', current.title);
  if (title === null) return;
  current.title = titleOf(title);
  await keep(current, []);
  showBusy();
}

async function changeSettings() {
  const settings = await editSettings(current.settings);
  if (!settings) return;
  current.settings = settings;
  if (tree.size) await keep(current, []);
  composer.recount();
}

async function importFile(file) {
  try {
    const read = await readFile(file);
    if (!read.length) throw new Error('the file holds no conversation');
    for (const {conversation, messages} of read) await keep(conversation, messages);
    sidebar.close();
    await choose(read.at(-1).conversation.id);
    announce('Imported');
  } catch (error) {
    await openDialog('Not imported', h('p', {}, error.message), [{label: 'OK', value: true}]);
  }
}

function help() {
  const keys = [['Enter', 'send'], ['Shift + Enter', 'a new line'], ['Escape', 'stop the answer'],
                ['↑ in the empty field', 'edit your last message'], ['Ctrl + Enter', 'save an edit'],
                ['Alt + N', 'a new chat'], ['Alt + S', 'settings'], ['/', 'to the field']];
  const about = ['Conversations are kept in this browser alone; export them to keep them elsewhere. Answers, edits and your own '
                 + 'messages branch: nothing is lost by trying again, and the arrows beside a message lead to its other branches.',
                 store.lasting ? '' : 'This browser gives the page no storage: conversations end when the page is left.'];
  return openDialog('Keys and help', h('div', {},
    h('dl', {class: 'keys'}, ...keys.flatMap(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)])),
    ...about.filter(Boolean).map((text) => h('p', {}, text))));
}

/* ---- The server ---- */

async function askKey(message) {
  const input = h('input', {type: 'password', autofocus: true, autocomplete: 'off'});
  const remember = h('input', {type: 'checkbox'});
  const body = h('div', {}, h('p', {}, `This server asks for a key: ${message}`), h('label', {class: 'field'}, 'API key', input),
                 h('label', {class: 'row'}, remember, ' Keep it in this browser'));
  if (!await openDialog('API key', body, [{label: 'OK', value: true}, {label: 'Cancel', value: null}])) return false;
  setKey(input.value.trim(), remember.checked);
  return true;
}

let connecting = null;

/* Until the server gives its model's name. */
async function reach() {
  for (let pause = 500;; pause = Math.min(pause * 1.5, 5000)) {
    try {
      served = await servedModel();
      banner('');
      show();
      composer.recount();
      return;
    } catch (error) {
      if (error.status === 401) {
        if (await askKey(error.message)) continue;
        banner('Without its key the server answers nothing. Load the page again to give one.');
        return;
      }
      banner(error.status === 503 ? 'The model is being loaded…' : `No answer from the server: ${error.message}. Trying again…`);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function connect() {
  connecting ??= reach().finally(() => {
    connecting = null;
  });
  return connecting;
}

async function count(text, signal) {
  const path = requestMessages(current.settings.system, tree.path(current.leaf));
  const messages = text.trim() ? [...path, {role: 'user', content: text}] : path;
  if (!messages.some((message) => message.role !== 'system') || !served.id || running.has(current.id)) return null;
  return {count: await countTokens(messages, toolsOf(current.settings), signal), context: served.context};
}

/* ---- Beginning ---- */

function shortcuts(event) {
  if (document.querySelector('dialog[open]')) return;
  if (event.key === 'Escape') running.get(current.id)?.answer.stop();
  const typing = ['INPUT', 'TEXTAREA', 'SELECT'].includes(document.activeElement?.tagName);
  const action = event.altKey ? {n: startNew, s: changeSettings}[event.key.toLowerCase()]
                              : event.key === '/' && !typing && !event.ctrlKey && !event.metaKey ? () => composer.focus() : null;
  if (!action) return;
  event.preventDefault();
  action();
}

/* Another page of this browser has changed something. */
async function changedElsewhere({data: id}) {
  conversations = new Map((await store.conversations()).map((c) => [c.id, c]));
  for (const [busy, {tree: its_tree}] of running) if (its_tree === tree) conversations.set(busy, current);
  if (id === current.id && !running.has(id) && conversations.has(id)) await choose(id);
  showList();
}

store = await openStore();
conversations = new Map((await store.conversations()).map((c) => [c.id, c]));

const sidebar = new Sidebar({choose, create: startNew, facts: () => showFacts(served), help, file: importFile});
const view = new ConversationView(actions);
const composer = new Composer({send, stop: () => running.get(current.id)?.answer.stop(), count, editLast: () => view.editLast()});

element('to-end').append(iconButton('down', '', null).firstChild);
element('actions').append(iconButton('settings', 'Settings', changeSettings),
                          iconButton('edit', 'Rename', rename, {'data-kept': ''}),
                          iconButton('export', 'Export', () => exportConversation(current, tree.all()), {'data-kept': ''}),
                          iconButton('trash', 'Delete', askRemove, {'data-kept': ''}));
document.addEventListener('keydown', shortcuts);
others?.addEventListener('message', changedElsewhere);
addEventListener('pagehide', () => {
  for (const {answer} of running.values()) store.saveMessages([kept(answer.message)]);
});

startNew();
await connect();
