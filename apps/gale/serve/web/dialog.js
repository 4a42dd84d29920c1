/* Dialogs. The browser keeps the focus inside, closes them on Escape, and gives the focus back. */
import {h, iconButton} from './dom.js';

let dialogs = 0;

/* Shows a dialog until it is closed. actions: [{label, value, kind}], of which the first is what Enter does; valid()
 * may refuse it. Resolves to the value of the button, or null. */
export function openDialog(title, body, actions = [], {valid = () => true, wide = false} = {}) {
  return new Promise((resolve) => {
    const id = `dialog-title-${++dialogs}`;
    let result = null;
    const buttons = actions.map(({label, value, kind}, i) => h('button', {
      type: i === 0 ? 'submit' : 'button',
      class: kind ?? (i === 0 ? 'primary' : ''),
      onclick: i === 0 ? null : () => close(value),
    }, label));
    const form = h('form', {
      onsubmit: (event) => {
        event.preventDefault();
        if (valid()) close(actions.length ? actions[0].value : null);
      },
    }, h('div', {class: 'dialog-body'}, body), actions.length ? h('div', {class: 'dialog-actions'}, ...buttons) : null);
    const dialog = h('dialog', {'aria-labelledby': id, class: wide ? 'wide' : null},
                     h('div', {class: 'dialog-head'}, h('h2', {id}, title),
                       iconButton('close', 'Close', () => dialog.close())),
                     form);
    function close(value) {
      result = value;
      dialog.close();
    }
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    const first = form.querySelector('[autofocus]');
    if (first) first.focus();
  });
}

export function confirmDialog(title, text, label) {
  return openDialog(title, h('p', {}, text), [{label, value: true, kind: 'danger'}, {label: 'Cancel', value: null}]);
}

/* Asks for a line of text: the text, or null. */
export async function promptDialog(title, label, value, {type = 'text', note = ''} = {}) {
  const input = h('input', {type, autofocus: true, autocomplete: 'off', maxlength: 1000});
  input.value = value;
  const body = h('div', {}, note ? h('p', {}, note) : null, h('label', {class: 'field'}, label, input));
  const chosen = await openDialog(title, body, [{label: 'OK', value: true}, {label: 'Cancel', value: null}]);
  return chosen ? input.value : null;
}
