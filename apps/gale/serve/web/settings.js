/* What a conversation asks of the model beside its messages. A new one begins with those of the one before. */
import {openDialog} from './dialog.js';
import {h} from './dom.js';

/* Fields are kept as the text that was typed; empty ones are left to the server. */
const NUMBERS = [
  {key: 'temperature', label: 'Temperature', min: 0, max: 10, step: 0.05},
  {key: 'top_p', label: 'Top p', min: 0, max: 1, step: 0.01},
  {key: 'min_p', label: 'Min p', min: 0, max: 1, step: 0.01},
  {key: 'top_k', label: 'Top k', min: -1, max: 2147483647, step: 1},
  {key: 'repetition_penalty', label: 'Repetition penalty', min: 0.01, max: 10, step: 0.01},
  {key: 'presence_penalty', label: 'Presence penalty', min: -2, max: 2, step: 0.1},
  {key: 'frequency_penalty', label: 'Frequency penalty', min: -2, max: 2, step: 0.1},
  {key: 'max_tokens', label: 'Most tokens of an answer', min: 1, max: 2147483647, step: 1},
];

export const EMPTY = {system: '', schema: '', tools: '', stop: '', seed: '', effort: '',
                      ...Object.fromEntries(NUMBERS.map(({key}) => [key, '']))};

/* Only what is known, and as text: settings may come from a file. */
export function cleanSettings(settings) {
  const clean = {...EMPTY};
  for (const key of Object.keys(EMPTY)) if (typeof settings?.[key] === 'string') clean[key] = settings[key];
  return clean;
}

function parsed(text, what, check) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${what}: ${error.message}`);
  }
  if (!check(value)) throw new Error(`${what}: ${check === isObject ? 'an object' : 'a list of tools'} is needed`);
  return value;
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isTools = (value) => Array.isArray(value) && value.every(isObject);

/* A tool may be given without the form around it that the API wants. */
const wrapped = (tool) => (isObject(tool.function) ? tool : {type: 'function', function: tool});

export function toolsOf(settings) {
  if (!settings.tools.trim()) return null;
  return parsed(settings.tools, 'Tools', isTools).map(wrapped);
}

/* The fields of a request. Throws an Error that says which setting is none. */
export function requestFields(settings) {
  const fields = {};
  for (const {key, label, min, max} of NUMBERS) {
    const text = settings[key].trim();
    if (!text) continue;
    const value = Number(text);
    if (!(value >= min && value <= max)) throw new Error(`${label}: ${min} to ${max} is possible`);
    fields[key] = value;
  }
  if (!/^(-?\d{1,20})?$/.test(settings.seed.trim())) throw new Error('Seed: a whole number is needed');
  const stop = settings.stop.split('\n').filter(Boolean);
  if (stop.length) fields.stop = stop;
  if (settings.effort) fields.reasoning_effort = settings.effort;
  if (settings.schema.trim()) {
    const schema = parsed(settings.schema, 'JSON schema', isObject);
    fields.response_format = {type: 'json_schema', json_schema: {name: 'answer', schema, strict: true}};
  }
  const tools = toolsOf(settings);
  if (tools) fields.tools = tools;
  return fields;
}

function textField(settings, key, label, rows, note, code) {
  const area = h('textarea', {name: key, rows, spellcheck: code ? 'false' : null, class: code ? 'mono' : null, autofocus: key === 'system',
                              'aria-describedby': note ? `note-${key}` : null});
  area.value = settings[key];
  return h('div', {class: 'field'}, h('label', {}, label, area),
           note ? h('p', {class: 'note', id: `note-${key}`}, note) : null);
}

function numberField(settings, {key, label, min, max, step}) {
  const input = h('input', {type: 'number', name: key, min, max, step: step === 1 ? 1 : 'any',
                            placeholder: "the server's", inputmode: step === 1 ? 'numeric' : 'decimal'});
  input.value = settings[key];
  return h('label', {class: 'field'}, label, input);
}

function effortField(settings) {
  const select = h('select', {name: 'effort'}, ...['', 'none', 'minimal', 'low', 'medium', 'high'].map((value) => (
    h('option', {value, selected: value === settings.effort}, value || "the model's"))));
  return h('label', {class: 'field'}, 'Reasoning effort', select);
}

/* Shows the settings; gives the changed ones, or null. */
export async function editSettings(settings) {
  const seed = h('input', {type: 'text', name: 'seed', inputmode: 'numeric', placeholder: 'another each time'});
  seed.value = settings.seed;
  const body = h('div', {},
                 textField(settings, 'system', 'System prompt', 3),
                 h('fieldset', {}, h('legend', {}, 'Sampling'),
                   h('div', {class: 'grid'}, ...NUMBERS.map((field) => numberField(settings, field)),
                     h('label', {class: 'field'}, 'Seed', seed), effortField(settings))),
                 textField(settings, 'stop', 'Stop texts', 2, 'One a line. The answer ends before the first that it would hold.'),
                 textField(settings, 'schema', 'JSON schema', 4, 'Every answer is then JSON that satisfies it.', true),
                 textField(settings, 'tools', 'Tools', 4,
                           'A JSON list of {"name", "description", "parameters"}. Calls are shown, and you give their results.',
                           true));
  const error = h('p', {class: 'error', role: 'alert', hidden: true});
  body.append(error);
  const read = () => cleanSettings(Object.fromEntries(
    [...body.querySelectorAll('[name]')].map((field) => [field.name, field.value])));
  const valid = () => {
    try {
      requestFields(read());
      return true;
    } catch (reason) {
      error.textContent = reason.message;
      error.hidden = false;
      return false;
    }
  };
  const saved = await openDialog('Settings of this conversation', body,
                                 [{label: 'Save', value: true}, {label: 'Cancel', value: null}], {valid, wide: true});
  return saved ? read() : null;
}
