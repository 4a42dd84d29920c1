/* Conversations and their messages, kept in this browser: in IndexedDB, or in memory where there is none. */

const wait = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

const finished = (transaction) => new Promise((resolve, reject) => {
  transaction.oncomplete = () => resolve();
  transaction.onabort = () => reject(transaction.error);
});

class DatabaseStore {
  #database;

  constructor(database) {
    this.#database = database;
    this.lasting = true;
  }

  #objects(name, mode = 'readonly') {
    return this.#database.transaction(name, mode).objectStore(name);
  }

  conversations() {
    return wait(this.#objects('conversations').getAll());
  }

  messages(conversation) {
    return wait(this.#objects('messages').index('conversation').getAll(conversation));
  }

  async saveConversation(conversation) {
    await wait(this.#objects('conversations', 'readwrite').put(conversation));
  }

  async saveMessages(messages) {
    const objects = this.#objects('messages', 'readwrite');
    for (const message of messages) objects.put(message);
    await finished(objects.transaction);
  }

  async removeMessages(ids) {
    const objects = this.#objects('messages', 'readwrite');
    for (const id of ids) objects.delete(id);
    await finished(objects.transaction);
  }

  async removeConversation(id) {
    const transaction = this.#database.transaction(['conversations', 'messages'], 'readwrite');
    transaction.objectStore('conversations').delete(id);
    const messages = transaction.objectStore('messages');
    const keys = messages.index('conversation').getAllKeys(id);
    keys.onsuccess = () => keys.result.forEach((key) => messages.delete(key));
    await finished(transaction);
  }
}

class MemoryStore {
  #conversations = new Map();
  #messages = new Map();
  lasting = false;

  async conversations() {
    return [...this.#conversations.values()].map((c) => structuredClone(c));
  }

  async messages(conversation) {
    return [...this.#messages.values()].filter((m) => m.conversation === conversation).map((m) => structuredClone(m));
  }

  async saveConversation(conversation) {
    this.#conversations.set(conversation.id, structuredClone(conversation));
  }

  async saveMessages(messages) {
    for (const message of messages) this.#messages.set(message.id, structuredClone(message));
  }

  async removeMessages(ids) {
    for (const id of ids) this.#messages.delete(id);
  }

  async removeConversation(id) {
    this.#conversations.delete(id);
    for (const [key, message] of this.#messages) if (message.conversation === id) this.#messages.delete(key);
  }
}

export async function openStore() {
  try {
    const opening = indexedDB.open('gale', 1);
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore('conversations', {keyPath: 'id'});
      opening.result.createObjectStore('messages', {keyPath: 'id'}).createIndex('conversation', 'conversation');
    };
    const database = await wait(opening);
    /* Another page with a later version of this one waits for it. */
    database.onversionchange = () => database.close();
    return new DatabaseStore(database);
  } catch {
    return new MemoryStore();
  }
}
