/* What `gale info` says of the model that is served, with the memory of its KV cache as a plot. */
import {modelFacts} from './client.js';
import {openDialog} from './dialog.js';
import {bytes, h, number} from './dom.js';
import {drawPlot, drawTable, seriesOf} from './plot.js';

function count(n) {
  if (n >= 1e9) return `${(n / 1e9).toPrecision(3)} billion`;
  return n >= 1e6 ? `${(n / 1e6).toPrecision(3)} million` : number(n);
}

function rowsOf(facts, served) {
  const p = facts.hyperparameters, t = facts.tokenizer;
  const heads = p.n_heads === p.n_kv_heads ? number(p.n_heads) : `${p.n_heads}, which share ${p.n_kv_heads} of keys and values`;
  const window = p.sliding_window ? `${number(p.sliding_window)} positions, in ${p.windowed_layers} of ${p.n_layers} layers` : 'none';
  return [
    ['Family', facts.family],
    ['Parameters', count(facts.parameters)],
    ['Weights', `${bytes(facts.weight_bytes)} in memory; ${facts.types} in the file`],
    ['Context of a request', served.context ? `${number(served.context)} (the model's: ${number(p.context)})` : number(p.context)],
    ['Layers', `${p.n_layers} of width ${number(p.dim)}, feed-forward ${number(p.hidden_dim)}`],
    ['Attention heads', `${heads}; ${p.head_dim} wide`],
    ['Sliding window', window],
    facts.receptive_field ? ['Receptive field', `${number(facts.receptive_field)} positions`] : null,
    ['Rotary base', number(p.rope_theta)],
    ['Vocabulary', t ? `${number(t.size)} tokens, ${t.kind}` : number(p.vocab_size)],
    ['Chat template', t?.chat_template ?? 'none'],
  ].filter(Boolean);
}

function memory(facts, served) {
  const types = [...new Set(facts.kv_cache.map((row) => row.type))];
  const series = seriesOf(facts);
  const type = h('select', {}, ...types.map((name) => h('option', {value: name}, name)));
  const part = h('select', {}, h('option', {value: 'bytes'}, `all ${facts.hyperparameters.n_layers} layers`),
                 h('option', {value: 'layer_bytes'}, 'one layer'));
  const shown = h('div', {});
  const draw = () => {
    const rows = facts.kv_cache.filter((row) => row.type === type.value);
    const title = `Memory of one text's KV cache in ${type.value}, ${part.selectedOptions[0].textContent}`;
    const plot = h('div', {class: 'table', tabindex: 0, role: 'region', 'aria-label': 'Plot'},
                   drawPlot(rows, series, part.value, served.context, title));
    shown.replaceChildren(plot,
                          drawTable(rows, series, part.value, title));
  };
  type.addEventListener('change', draw);
  part.addEventListener('change', draw);
  draw();
  return h('section', {}, h('h3', {}, 'Memory of the KV cache of one text'),
           h('div', {class: 'choices'}, h('label', {}, 'Type ', type), h('label', {}, 'Of ', part)), shown);
}

export async function showFacts(served) {
  let body;
  try {
    const facts = await modelFacts();
    const list = h('dl', {class: 'facts'}, ...rowsOf(facts, served).flatMap(([name, value]) => (
      [h('dt', {}, name), h('dd', {}, value)])));
    body = h('div', {}, h('p', {class: 'facts-name'}, facts.name), list, memory(facts, served));
  } catch (error) {
    body = h('p', {class: 'error', role: 'alert'}, `No facts: ${error.message}`);
  }
  await openDialog('The model', body, [], {wide: true});
}
