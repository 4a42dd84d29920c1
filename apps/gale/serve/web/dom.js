/* Making elements. Text is always text here: markup comes from markdown.js alone. */

/* An element with properties: onX are listeners, class and attributes in dashes are attributes, null and false are left
 * out. Children are nodes or text. */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const SVG = 'http://www.w3.org/2000/svg';

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/* Outlines in a square of 24. */
const ICONS = {
  plus: 'M12 5v14M5 12h14',
  send: 'M12 19V5M5 12l7-7 7 7',
  stop: 'M7 7h10v10H7z',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  done: 'M5 13l4 4L19 7',
  edit: 'M4 20h4L19 9l-4-4L4 16zM13 7l4 4',
  again: 'M20 11a8 8 0 1 0-2.3 6.3M20 4v7h-7',
  more: 'M5 5l7 7-7 7M13 5l7 7-7 7',
  trash: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13',
  left: 'M15 5l-7 7 7 7',
  right: 'M9 5l7 7-7 7',
  down: 'M12 5v14M5 12l7 7 7-7',
  menu: 'M4 7h16M4 12h16M4 17h16',
  close: 'M6 6l12 12M18 6L6 18',
  settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M13 4.5v5h4v-5zM7 14.5v5h4v-5z',
  export: 'M12 15V4M7 9l5-5 5 5M5 15v5h14v-5',
  import: 'M12 4v11M7 10l5 5 5-5M5 15v5h14v-5',
  facts: 'M5 20V10M12 20V4M19 20v-7',
  help: 'M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5v.5M12 3a9 9 0 1 0 .01 0z',
};

export function icon(name) {
  return svg('svg', {viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true'}, svg('path', {d: ICONS[name]}));
}

/* A button that shows an icon, and is called by its label. */
export function iconButton(name, label, onclick, properties = {}) {
  return h('button', {type: 'button', class: 'plain', 'aria-label': label, title: label, onclick, ...properties},
           icon(name));
}

/* Says something to a screen reader. */
export function announce(text) {
  document.getElementById('status').textContent = text;
}

export const number = (n) => Math.round(n).toLocaleString('en');

export function bytes(n) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  for (; n >= 1024 && unit < units.length - 1; unit++) n /= 1024;
  return `${n >= 100 || Number.isInteger(n) ? Math.round(n).toLocaleString('en') : n.toPrecision(3)} ${units[unit]}`;
}

/* Unlike crypto.randomUUID() this is there without TLS too. */
export function newId() {
  const random = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  /* The clipboard's interface is missing where the page came without TLS from another machine. */
  const area = h('textarea', {class: 'visually-hidden', 'aria-hidden': 'true'});
  area.value = text;
  (document.querySelector('dialog[open]') ?? document.body).append(area);
  const focused = document.activeElement;
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  focused?.focus();
  if (!copied) throw new Error('the browser does not let this page copy');
}

/* A button that copies what text() gives, and says so. */
export function copyButton(label, text) {
  const button = iconButton('copy', label, async () => {
    try {
      await copyText(text());
      button.replaceChildren(icon('done'));
      announce('Copied');
    } catch (error) {
      announce(`Not copied: ${error.message}`);
    }
    setTimeout(() => button.replaceChildren(icon('copy')), 1500);
  });
  return button;
}
