// The tree: a lane per trajectory, time in tokens from left to right; a branch leaves its origin at the branch point.
const LANE = {initial: 36, branch: 26}, STRIP = {initial: 18, branch: 13};
const LEFT = 62, RIGHT = 206, TOP = 30, MAX_CELLS = 360;
let drawn = null;

const isBranch = node => node.origin !== null;
const kind = node => isBranch(node) ? 'branch' : 'initial';

function drawTree(prompt, width) {
  const span = width - LEFT - RIGHT, unit = span / prompt.length;
  const x = place => LEFT + place * unit;
  let y = TOP;
  const middle = prompt.nodes.map(node => { const at = y + LANE[kind(node)] / 2; y += LANE[kind(node)]; return at; });
  const root = sv('svg', {class: 'tree', width, height: y + 8, viewBox: `0 0 ${width} ${y + 8}`, role: 'img',
    'aria-label': `Tree of ${plural(prompt.nodes.length, 'trajectory', 'trajectories')}`});
  root.append(hatch(), axis(prompt, x, y));
  const layers = {links: sv('g'), lanes: sv('g'), points: sv('g')};
  drawn = {prompt, root, x, unit, middle, bottom: y, line: sv('line', {class: 'cross', y1: TOP - 4, y2: y, visibility: 'hidden'})};
  for (const node of prompt.nodes) {
    layers.lanes.append(lane(node, width));
    if (isBranch(node)) { layers.links.append(link(node)); layers.points.append(point(node)); }
  }
  root.append(layers.links, layers.lanes, layers.points, drawn.line);
  return root;
}

function hatch() {
  const pattern = (id, name) => sv('pattern', {id, width: 5, height: 5, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)'},
    sv('rect', {class: `${name}-back`, width: 5, height: 5}), sv('rect', {class: `${name}-line`, width: 1.6, height: 5}));
  return sv('defs', {}, pattern('hatch', 'hatch'), pattern('hatch-bad', 'hatch-bad'));
}

function axis(prompt, x) {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000];
  const step = steps.find(one => prompt.length / one <= 12) || 100000;
  const group = sv('g', {class: 'axis'}, sv('text', {x: LEFT - 8, y: TOP - 12, 'text-anchor': 'end', text: 'token'}));
  for (let place = 0; place <= prompt.length; place += step) {
    group.append(sv('line', {x1: x(place), x2: x(place), y1: TOP - 7, y2: TOP - 3}),
      sv('text', {x: x(place), y: TOP - 12, 'text-anchor': 'middle', text: place}));
  }
  group.append(sv('text', {x: x(prompt.length) + 112, y: TOP - 12, 'text-anchor': 'end', text: 'reward'}));
  return group;
}

function lane(node, width) {
  const at = drawn.middle[node.number], high = STRIP[kind(node)], half = LANE[kind(node)] / 2;
  const group = sv('g', {class: `lane ${kind(node)}`, tabindex: 0, role: 'button', 'aria-label': `${node.label} ${WORD[outcome(node)]}`,
    onclick: () => select(node, true), onkeydown: event => { if (event.key === 'Enter') select(node, true); }});
  group.node = node;
  group.append(sv('rect', {class: 'lane-back', x: 0, y: at - half, width, height: 2 * half, rx: 5}));
  const name = sv('text', {class: 'lane-name held', x: isBranch(node) ? 20 : 8, y: at + 4, text: node.label});
  name.held = {node};
  group.append(name, paper(node, at - high / 2, high), ...cells(node, at - high / 2, high), ...ending(node, at));
  return group;
}

// What a lane's cells lie on, so that uncoloured ones are seen too.
const paper = (node, top, height) => sv('rect', {class: 'paper', x: drawn.x(node.start) - 1, y: top - 1,
  width: Math.max(1, drawn.x(node.length) - drawn.x(node.start)) + 1, height: height + 2, rx: 2.5});

// One rectangle per token; in a long response, one per equal stretch, coloured by its strongest token.
function cells(node, top, height) {
  const stretch = Math.max(1, Math.ceil(drawn.prompt.length / MAX_CELLS)), found = [];
  const spans = node.injected, {x, unit} = drawn, metric = state.metric;
  const strength = place => Math.abs((valueAt(node, place, metric.key) ?? metric.middle) - metric.middle);
  let place = node.start, next = 0;
  while (place < node.length) {
    while (next < spans.length && spans[next][1] <= place) next += 1;
    if (next < spans.length && spans[next][0] <= place) {
      found.push(...resultCell(node, spans[next], top, height));
      place = spans[next][1];
      continue;
    }
    const end = Math.min(place + stretch, node.length, next < spans.length ? spans[next][0] : Infinity);
    let best = place;
    for (let one = place + 1; one < end; one += 1) if (strength(one) > strength(best)) best = one;
    const gap = stretch === 1 && unit > 5 ? 1 : 0;
    const cell = sv('rect', {class: `cell held ${paint(metric, valueAt(node, best, metric.key))}`, x: x(place), y: top,
      width: Math.max(0.4, x(end) - x(place) - gap), height, rx: gap ? 1.5 : 0, 'shape-rendering': gap ? null : 'crispEdges'});
    cell.held = {node, place: best};
    found.push(cell);
    place = end;
  }
  return found;
}

const paint = (metric, value) => shade(metric, value) || (value === null ? '' : `${metric.scale}0`);

function resultCell(node, [from, to], top, height) {
  const call = node.calls.find(one => one.end === from), wide = drawn.x(to) - drawn.x(from);
  const cell = sv('rect', {class: `result-cell held ${call?.problem ? 'bad' : ''}`, x: drawn.x(from), y: top,
    width: Math.max(0.8, wide - 1), height, rx: 1.5});
  cell.held = {node, place: from};
  const word = call ? (call.problem ? '! ' : '') + call.tool : '';
  return wide > 7 * word.length + 8 && word && height > 12
    ? [cell, sv('text', {class: 'result-name', x: drawn.x(from) + wide / 2,
      y: top + height / 2 + 3.5, 'text-anchor': 'middle', text: word})]
    : [cell];
}

function link(node) {
  const x = drawn.x(node.start), from = drawn.middle[node.parent] + STRIP[kind(node.origin)] / 2, to = drawn.middle[node.number];
  const bend = Math.min(8, to - from);
  const left = x - Math.max(5, Math.min(drawn.unit / 2, 9));
  return sv('path', {class: `link ${outcome(node)}`, d: `M${left} ${from}V${to - bend}Q${left} ${to} ${Math.max(left + bend, x)} ${to}H${x}`});
}

function point(node) {
  const x = drawn.x(node.start) - Math.max(5, Math.min(drawn.unit / 2, 9)), y = drawn.middle[node.parent] + STRIP[kind(node.origin)] / 2;
  const dot = sv('circle', {class: `point held ${outcome(node)}`, cx: x, cy: y, r: 4.6, tabindex: 0, role: 'button',
    'aria-label': `branch point of ${node.label}`,
    onclick: () => select(node, true), onkeydown: event => { if (event.key === 'Enter') select(node, true); }});
  dot.held = {node: node.origin, place: node.start - 1};
  return dot;
}

function ending(node, at) {
  const x = drawn.x(node.length), edge = drawn.x(drawn.prompt.length), o = outcome(node);
  const text = sv('text', {class: `lane-reward ${o}`, x: edge + 112,
    y: at + 4, 'text-anchor': 'end', text: node.failed && o === 'f' ? 'failed' : signed(node.reward)});
  const parts = [
    sv('line', {class: 'lead', x1: x + 12, x2: edge + (node.finish === 'length' ? 26 : 56), y1: at, y2: at}),
    sv('circle', {class: `end ${o}`, cx: x + 8, cy: at, r: isBranch(node) ? 5.5 : 6.5}),
    sv('text', {class: `end-glyph ${o}`, x: x + 8, y: at + 3.2, 'text-anchor': 'middle', text: GLYPH[o]}), text,
  ];
  const {low, high} = index.rewards, zero = Math.min(0, low), top = Math.max(0, high);
  if (node.reward !== null && top > zero) {
    const at0 = edge + 124 + 70 * (0 - zero) / (top - zero), at1 = edge + 124 + 70 * (node.reward - zero) / (top - zero);
    parts.push(sv('rect', {class: `bar ${o}`, x: Math.min(at0, at1), y: at - 4, width: Math.max(1, Math.abs(at1 - at0)),
      height: 8, rx: 1.5}),
      sv('line', {class: 'bar-zero', x1: at0, x2: at0, y1: at - 7, y2: at + 7}));
  }
  if (node.finish === 'length') parts.push(sv('text', {class: 'lane-note', x: edge + 32, y: at + 4, text: 'cut off'}));
  return parts;
}

// A line through all lanes at the token under the pointer.
function cross(held) {
  if (!drawn) return;
  drawn.line.setAttribute('visibility', held ? 'visible' : 'hidden');
  if (!held) return;
  const x = drawn.x(held.place + 0.5);
  drawn.line.setAttribute('x1', x);
  drawn.line.setAttribute('x2', x);
}

function markLane(node) {
  if (drawn) for (const group of drawn.root.querySelectorAll('.lane')) group.classList.toggle('chosen', group.node === node);
}
