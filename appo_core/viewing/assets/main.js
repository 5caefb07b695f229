// The open prompt, keys and the address.
function drawPrompt() {
  const prompt = promptAt(state.place), row = index.prompts[state.place], main = document.getElementById('prompt');
  const tree = el('div', {class: 'tree-box'});
  main.replaceChildren(el('section', {class: 'ask-box'},
    el('div', {class: 'ask-line'}, el('h2', {text: prompt.question}),
      el('span', {class: 'dim place', text: `${state.place + 1} / ${index.prompts.length}`})),
    el('div', {class: 'facts'}, prompt.gold && el('span', {class: 'gold'}, 'gold ', el('code', {text: prompt.gold})),
      el('span', {text: `${row.correct} of ${plural(row.initial, 'rollout')} correct`}),
        row.branches > 0 && el('span', {text: `${row.branch_correct} of ${plural(row.branches, 'branch', 'branches')} correct`}),
      row.rescued > 0 && el('span', {class: 'pill c', text: `${row.rescued} rescued`}),
        row.lost > 0 && el('span', {class: 'pill w', text: `${row.lost} lost`}),
      el('span', {text: `reward ${signed(row.mean)} ± ${row.spread.toFixed(2)}`}),
      el('details', {}, el('summary', {text: 'whole prompt'}), el('pre', {text: prompt.prompt})))),
    el('section', {class: 'tree-card'}, metricBar(prompt), tree), el('section', {class: 'cards'}, drawTranscripts(prompt)));
  state.node = null;
  drawTreeInto(tree, prompt);
}

function drawTreeInto(box, prompt) {
  box.replaceChildren(drawTree(prompt, Math.max(640, Math.floor(box.clientWidth || 900))));
  markLane(state.node);
}

function metricBar(prompt) {
  return el('div', {class: 'metric-bar'}, el('div', {class: 'metrics', role: 'radiogroup', 'aria-label': 'tokens coloured by'},
    index.metrics.map(metric => el('button', {class: metric === state.metric ? 'on' : '', role: 'radio',
      'aria-checked': String(metric === state.metric), 'data-metric': metric.key, title: metric.note,
      text: metric.title, onclick: () => colourBy(metric)}))), legend(), el('span', {class: 'grow'}),
    el('button', {class: 'tool-button wide', title: 'save the tree as an SVG file', text: 'save figure',
      onclick: () => saveFigure(prompt)}));
}

// What the ends of the scale stand for; what lies beyond has the colour of the end.
function bounds() {
  const {scale, reach, middle} = state.metric;
  return scale === 'q' ? ['0', `${figure(reach)}+`] : [figure(middle - reach), figure(middle + reach)];
}

function legend() {
  const {scale} = state.metric, cells = [], [low, high] = bounds();
  for (let step = 0; step < index.steps_per_scale; step += 1) cells.push(el('i', {class: `${scale}${step}`}));
  return el('div', {class: 'legend', title: state.metric.note}, el('span', {text: low}), el('span', {class: 'ramp'}, cells),
    el('span', {text: high}),
    el('span', {class: 'key-result'}), el('span', {class: 'dim', text: 'tool result'}));
}

function colourBy(metric) {
  state.metric = metric;
  const prompt = promptAt(state.place);
  document.querySelector('.metric-bar').replaceWith(metricBar(prompt));
  drawTreeInto(document.querySelector('.tree-box'), prompt);
  recolour();
}

function open(place) {
  state.place = place;
  drawPrompt();
  for (const row of document.querySelectorAll('#list tr[data-place]')) row.classList.toggle('chosen', Number(row.dataset.place) === place);
  document.querySelector('#list tr.chosen')?.scrollIntoView({block: 'nearest'});
  document.getElementById('prompt').scrollTop = 0;
  remember();
}

function move(by) {
  const rows = listed(), at = rows.findIndex(row => row.place === state.place);
  if (rows.length) open(rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))].place);
}

function step(by, only) {
  const nodes = promptAt(state.place).nodes, count = nodes.length;
  let at = state.node ? state.node.number : by > 0 ? -1 : count;
  for (let tried = 0; tried < count; tried += 1) {
    at = (at + by + count) % count;
    if (!only || isBranch(nodes[at])) { select(nodes[at], true); return; }
  }
}

function turnTheme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === 'dark'
    : matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset.theme = dark ? 'light' : 'dark';
}

const KEYS = [
  ['j  k', 'next, previous prompt', () => move(1), () => move(-1)],
  ['n  p', 'next, previous trajectory', () => step(1, false), () => step(-1, false)],
  ['b  B', 'next, previous branch', () => step(1, true), () => step(-1, true)],
  ['o', 'from a branch to where it left', () => state.node?.origin && gotoToken(state.node.origin, state.node.start - 1)],
  ['m', 'colour by the next figure', () => colourBy(index.metrics[(index.metrics.indexOf(state.metric) + 1) % index.metrics.length])],
  ['t', 'light, dark', turnTheme],
  ['/', 'search', () => document.querySelector('#list input').focus()],
  ['?', 'these keys', () => showHelp()],
];
const ACTIONS = new Map(KEYS.flatMap(([keys, , ...actions]) => keys.split(/\s+/).map((key, place) => [key, actions[place]])));

function showHelp() {
  const help = document.getElementById('help');
  help.replaceChildren(el('h3', {text: 'Keys'}), el('table', {}, KEYS.map(([keys, what]) => el('tr', {},
    el('td', {}, keys.split(/\s+/).map(key => el('kbd', {text: key}))), el('td', {text: what})))),
    el('form', {method: 'dialog'}, el('button', {class: 'tool-button wide', text: 'close'})));
  help.showModal();
}

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches?.('input')) { if (event.key === 'Escape' || event.key === 'Enter') event.target.blur(); return; }
  const action = ACTIONS.get({ArrowRight: 'j', ArrowLeft: 'k'}[event.key] || event.key);
  if (action && !document.getElementById('help').open) { event.preventDefault(); action(); }
});

// The address names what is open: #prompt or #prompt/trajectory, both from 1.
const remember = () => history.replaceState(null, '', `#${state.place + 1}${state.node ? '/' + state.node.label : ''}`);
function recall() {
  const [place, label] = decodeURIComponent(location.hash.slice(1)).split('/');
  open(Math.max(0, Math.min(index.prompts.length - 1, (parseInt(place, 10) || 1) - 1)));
  const node = label && promptAt(state.place).nodes.find(one => one.label === label);
  if (node) select(node, true);
}
addEventListener('hashchange', recall);
let width = innerWidth;
addEventListener('resize', () => { if (innerWidth !== width) { width = innerWidth; drawTreeInto(document.querySelector('.tree-box'), promptAt(state.place)); } });

drawTop();
drawList();
recall();
