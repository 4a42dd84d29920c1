/* Answers as Markdown. An answer is untrusted: whatever markup comes out of it passes DOMPurify with the few elements
 * and attributes below, and the page's Content-Security-Policy would stop what still got through. Nothing is loaded:
 * images become links. */
import createDOMPurify from './vendor/dompurify.js';
import {Renderer, getDefaults, lexer, parser} from './vendor/marked.js';
import {copyButton, h} from './dom.js';
import {colour} from './highlight.js';

const ALLOWED = {
  ALLOWED_TAGS: ['p', 'br', 'hr', 'em', 'i', 'strong', 'b', 'del', 's', 'u', 'mark', 'sub', 'sup', 'kbd', 'code', 'pre', 'a',
                 'ul', 'ol', 'li', 'blockquote', 'h3', 'h4', 'h5', 'h6', 'table', 'thead', 'tbody', 'tr', 'th', 'td',
                 'details', 'summary'],
  ALLOWED_ATTR: ['href', 'title', 'start', 'align', 'class'],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ADD_URI_SAFE_ATTR: ['start', 'align', 'class'],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

const escapes = {'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;'};
const escape = (text) => text.replace(/[&<>"']/g, (c) => escapes[c]);

class AnswerRenderer extends Renderer {
  /* The page and the message have the headings above. */
  heading(text, level) {
    const tag = `h${Math.min(6, level + 2)}`;
    return `<${tag}>${text}</${tag}>\n`;
  }

  image(href, title, text) {
    return this.link(href, title, escape(text || href));
  }

  link(href, title, text) {
    return `<a href="${escape(href ?? '')}"${title ? ` title="${escape(title)}"` : ''}>${text}</a>`;
  }

  checkbox(checked) {
    return checked ? '☑ ' : '☐ ';
  }
}

const OPTIONS = {...getDefaults(), gfm: true, breaks: true, headerIds: false, mangle: false};
OPTIONS.renderer = new AnswerRenderer(OPTIONS);

const purify = createDOMPurify(window);
purify.addHook('uponSanitizeAttribute', (node, attribute) => {
  if (attribute.attrName !== 'class') return;
  attribute.keepAttr = node.nodeName === 'CODE' && /^language-[\w+#.-]+$/.test(attribute.attrValue);
});

function finishLink(link) {
  if (!link.hasAttribute('href')) return;
  link.target = '_blank';
  link.rel = 'noopener noreferrer nofollow';
}

function finishCode(pre) {
  const code = pre.querySelector('code') ?? pre;
  const text = code.textContent;
  const language = code.className.replace(/^language-/, '').toLowerCase();
  const coloured = h('code', {}, colour(text, language));
  const scroller = h('pre', {tabindex: 0, 'aria-label': `Code${language ? ` in ${language}` : ''}`, role: 'region'},
                     coloured);
  pre.replaceWith(h('div', {class: 'code'},
                    h('div', {class: 'code-head'}, h('span', {}, language || 'text'),
                      copyButton('Copy the code', () => text.replace(/\n$/, ''))),
                    scroller));
}

function finishTable(table) {
  const scroller = h('div', {class: 'table', tabindex: 0, role: 'region', 'aria-label': 'Table'});
  table.replaceWith(scroller);
  scroller.append(table);
  for (const cell of table.querySelectorAll('thead th')) cell.scope = 'col';
}

/* A block of Markdown as elements. */
function render(token, links) {
  const tokens = Object.assign([token], {links});
  const fragment = purify.sanitize(parser(tokens, OPTIONS), ALLOWED);
  fragment.querySelectorAll('a').forEach(finishLink);
  fragment.querySelectorAll('pre').forEach(finishCode);
  fragment.querySelectorAll('table').forEach(finishTable);
  return [...fragment.childNodes];
}

/* An element that shows a text which grows: only the blocks that changed are made anew. */
export class MarkdownView {
  #blocks = []; /* {raw, nodes} */
  #text = null;

  constructor() {
    this.element = h('div', {class: 'markdown'});
  }

  show(text) {
    if (text === this.#text) return;
    this.#text = text;
    const tokens = lexer(text, OPTIONS);
    let same = 0;
    while (same < this.#blocks.length && same < tokens.length && this.#blocks[same].raw === tokens[same].raw) same++;
    for (const block of this.#blocks.splice(same)) block.nodes.forEach((node) => node.remove());
    for (const token of tokens.slice(same)) {
      const nodes = token.type === 'space' || token.type === 'def' ? [] : render(token, tokens.links);
      this.element.append(...nodes);
      this.#blocks.push({raw: token.raw, nodes});
    }
  }
}
