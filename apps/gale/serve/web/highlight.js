/* Colours of code. Prism cuts the text into tokens; the elements are made here, so that no markup is parsed. */
import Prism from './vendor/prism.js';

/* Some of its patterns take long on texts made for that. */
const LONGEST = 20000;

const NAMES = {sh: 'bash', shell: 'bash', zsh: 'bash', console: 'bash', 'c++': 'cpp', cc: 'cpp', h: 'c', hpp: 'cpp',
               golang: 'go', rs: 'rust', kt: 'kotlin', jsonc: 'json', json5: 'json', jsonl: 'json', ps1: 'powershell',
               patch: 'diff', vue: 'markup', plaintext: '', txt: ''};

function nodesOf(token) {
  if (typeof token === 'string') return [document.createTextNode(token)];
  if (Array.isArray(token)) return token.flatMap(nodesOf);
  const span = document.createElement('span');
  span.className = ['token', token.type, ...[token.alias ?? []].flat()].join(' ');
  span.append(...nodesOf(token.content));
  return [span];
}

/* The text as a fragment, in colours where the language is known. */
export function colour(text, language) {
  const fragment = document.createDocumentFragment();
  const name = NAMES[language] ?? language;
  const grammar = name && Object.hasOwn(Prism.languages, name) ? Prism.languages[name] : null;
  const coloured = grammar && typeof grammar === 'object' && text.length <= LONGEST;
  fragment.append(...(coloured ? nodesOf(Prism.tokenize(text, grammar)) : [text]));
  return fragment;
}
