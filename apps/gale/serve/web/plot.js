/* The KV cache's bytes by context, both on logarithmic axes. */
import {bytes, h, number, svg} from './dom.js';

const WIDTH = 640, HEIGHT = 340;
const LEFT = 76, RIGHT = 120, TOP = 14, BOTTOM = 40;

const SERIES = [
  {key: 'gqa_window', label: 'GQA, window'},
  {key: 'gqa', label: 'GQA'},
  {key: 'mha_window', label: 'no GQA, window'},
  {key: 'mha', label: 'no GQA'},
];

/* The variants that differ in this model: without a window, or with a key/value head for each query head, some do not. */
export function seriesOf(facts) {
  const {sliding_window: window, n_heads: heads, n_kv_heads: kv} = facts.hyperparameters;
  return SERIES.filter(({key}) => (window > 0 || !key.endsWith('window')) && (heads !== kv || key.startsWith('gqa')));
}

const log2 = Math.log2;
const short = (n) => (n >= 1024 ? `${number(n / 1024)}k` : String(n));

function scale(values, from, to, rounded) {
  let low = log2(Math.min(...values)), high = log2(Math.max(...values));
  if (rounded) [low, high] = [Math.floor(low), Math.ceil(high)];
  if (high === low) high++;
  const place = (value) => from + (log2(value) - low) / (high - low) * (to - from);
  return {low, high, place};
}

function axes(x, y, contexts) {
  const parts = [];
  const step = Math.max(1, Math.ceil((y.high - y.low) / 7));
  for (let e = y.low; e <= y.high; e += step) {
    const at = y.place(2 ** e);
    parts.push(svg('line', {x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at, class: 'grid-line'}),
               svg('text', {x: LEFT - 8, y: at + 4, 'text-anchor': 'end'}, bytes(2 ** e)));
  }
  for (const context of contexts)
    parts.push(svg('text', {x: x.place(context), y: HEIGHT - BOTTOM + 18, 'text-anchor': 'middle'}, short(context)));
  parts.push(svg('text', {x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, 'text-anchor': 'middle'}, 'positions of context'));
  return parts;
}

/* Names of lines at their right ends, moved apart where they would overlap. */
function labels(series, rows, field, y) {
  const last = rows[rows.length - 1];
  const places = series.map((s, i) => ({s, i, at: y.place(last[field][s.key]) + 4})).sort((a, b) => a.at - b.at);
  for (let i = 1; i < places.length; i++) places[i].at = Math.max(places[i].at, places[i - 1].at + 15);
  return places.map(({s, i, at}) => svg('text', {x: WIDTH - RIGHT + 8, y: at, class: `series-${i} name`}, s.label));
}

/* rows: of the type that is shown; field: 'bytes' or 'layer_bytes'; context: what the server has, marked by a line. */
export function drawPlot(rows, series, field, context, title) {
  const contexts = rows.map((row) => row.context);
  const x = scale(contexts, LEFT, WIDTH - RIGHT, false);
  const y = scale(rows.flatMap((row) => series.map((s) => row[field][s.key])), HEIGHT - BOTTOM, TOP, true);
  const plot = svg('svg', {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'plot', role: 'img',
                           'aria-label': `${title}, by context. The table below has the figures.`}, ...axes(x, y, contexts));
  if (context && context >= contexts[0] && context <= contexts[contexts.length - 1]) {
    const at = x.place(context);
    plot.append(svg('line', {x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM, class: 'marked'}),
                svg('text', {x: at - 5, y: TOP + 10, 'text-anchor': 'end', class: 'marked-name'}, 'served'));
  }
  series.forEach((s, i) => {
    const points = rows.map((row) => `${x.place(row.context)},${y.place(row[field][s.key])}`);
    plot.append(svg('polyline', {points: points.join(' '), class: `line series-${i}`}));
    rows.forEach((row) => plot.append(svg('circle', {cx: x.place(row.context), cy: y.place(row[field][s.key]), r: 3,
                                                     class: `dot series-${i}`},
                                          svg('title', {}, `${s.label}, ${number(row.context)}: ${bytes(row[field][s.key])}`))));
  });
  plot.append(...labels(series, rows, field, y));
  return plot;
}

export function drawTable(rows, series, field, title) {
  const head = h('tr', {}, h('th', {scope: 'col'}, 'Context'), ...series.map((s) => h('th', {scope: 'col'}, s.label)));
  const body = rows.map((row) => h('tr', {}, h('th', {scope: 'row'}, number(row.context)),
                                   ...series.map((s) => h('td', {}, bytes(row[field][s.key])))));
  return h('div', {class: 'table', tabindex: 0, role: 'region', 'aria-label': title},
           h('table', {}, h('caption', {class: 'visually-hidden'}, title), h('thead', {}, head), h('tbody', {}, ...body)));
}
