// Data, elements and colours. Text from models and tools is only ever set as text, never as markup.
const SVG = 'http://www.w3.org/2000/svg';
const read = id => JSON.parse(document.getElementById(id).textContent);
const index = read('index');
const state = {place: 0, metric: index.metrics[0], node: null};

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'text') node.textContent = value;
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat(9)) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const sv = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const signed = value => value === null || value === undefined ? '–' : (value < 0 ? '−' : '+') + Math.abs(value).toFixed(2);
const figure = value => value === null || value === undefined ? '–' : String(Number(value.toPrecision(3))).replace('-', '−');
const percent = (part, whole) => whole ? Math.round(100 * part / whole) + ' %' : '–';
const outcome = node => node.finish === 'failed' ? 'f' : node.correct ? 'c' : 'w';
const GLYPH = {c: '✓', w: '✗', f: '!'};
const WORD = {c: 'correct', w: 'wrong', f: 'failed'};
// A fork as a drawing: few fonts have the character.
const forkIcon = () => sv('svg', {class: 'fork-icon', width: 11, height: 11, viewBox: '0 0 12 12', 'aria-hidden': 'true'},
  sv('path', {d: 'M1 3.2H4.2C6.5 3.2 6 9 8.4 9H11M4.2 3.2H11'}));
const plural = (count, word, words) => `${count} ${count === 1 ? word : words || word + 's'}`;

// A prompt is parsed when it is first opened.
const opened = new Map();
function promptAt(place) {
  if (!opened.has(place)) opened.set(place, prepare(read(`prompt-${place}`)));
  return opened.get(place);
}

function prepare(prompt) {
  prompt.nodes.forEach((node, number) => {
    node.number = number;
    node.length = node.start + node.texts.length;
    node.children = [];
    if (node.values.adv) node.values.adv = node.values.adv.flatMap(([value, count]) => Array(count).fill(value));
    if (node.parent !== null) prompt.nodes[node.parent].children.push(node);
    node.origin = node.parent === null ? null : prompt.nodes[node.parent];
  });
  prompt.length = Math.max(1, ...prompt.nodes.map(node => node.length));
  return prompt;
}

// A token by its place in the response; what stands before a branch's own tokens is its origin's.
const holder = (node, place) => place >= node.start || !node.origin ? node : holder(node.origin, place);
const textAt = (node, place) => { const at = holder(node, place); return at.texts[place - at.start] ?? ''; };
const valueAt = (node, place, key) => { const at = holder(node, place); return at.values[key]?.[place - at.start] ?? null; };
const injectedAt = (node, place) => holder(node, place).injected.some(([from, to]) => from <= place && place < to);
const branchesAt = (node, place) => node.children.filter(child => child.start - 1 === place);
const visible = text => text.replace(/\n/g, '↵').replace(/\t/g, '⇥').replace(/^ | $/g, '␣') || '∅';

function shade(metric, value) {
  if (value === null || value === undefined) return '';
  const top = index.steps_per_scale - 1;
  if (metric.scale === 'q') return value > 0 ? 'q' + Math.min(top, Math.round(value / metric.reach * top)) : '';
  const off = Math.max(-1, Math.min(1, (value - metric.middle) / metric.reach));
  return 'd' + Math.round(top / 2 * (1 + off));
}
