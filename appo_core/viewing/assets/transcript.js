// What was written: a card per trajectory, its tokens coloured; calls and results set apart.
const SHARED = 14, WENT_ON = 26, LONG_RESULT = 220, LONG_BRANCH = 160, AT_ONCE = 12000;
const cards = new Map();
const waiting = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting) fillCard(entry.target);
}, {rootMargin: '600px'});

function drawTranscripts(prompt) {
  cards.clear();
  waiting.disconnect();
  let budget = AT_ONCE;
  return prompt.nodes.map(node => {
    const card = el('article', {class: `card ${kind(node)} ${outcome(node)}`, id: `card-${node.number}`, 'data-label': node.label},
      cardHead(node), el('div', {class: 'card-body'}));
    card.node = node;
    cards.set(node, card);
    budget -= node.texts.length;
    if (budget > 0) fillCard(card); else waiting.observe(card);
    return card;
  });
}

function fillCard(card) {
  if (card.filled) return;
  card.filled = true;
  waiting.unobserve(card);
  const node = card.node;
  const own = isBranch(node) ? [shared(node), ...segments(node)] : segments(node);
  // Side by side: what the origin did instead stands where both are seen at once.
  if (isBranch(node)) own.splice(node.texts.length > LONG_BRANCH ? 0 : own.length, 0, wentOn(node));
  card.querySelector('.card-body').append(...own);
}

function cardHead(node) {
  const o = outcome(node), own = node.texts.length - node.injected.reduce((sum, [from, to]) => sum + to - from, 0);
  const credit = (node.values.adv || []).filter(value => value !== null);
  const low = Math.min(...credit), high = Math.max(...credit);
  return el('header', {class: 'card-head', onclick: () => select(node, false)},
    el('span', {class: 'card-name', text: node.label}),
    el('span', {class: `pill ${o}`, text: `${GLYPH[o]} ${o === 'f' ? 'failed' : signed(node.reward)}`}),
    el('span', {class: 'reason', text: node.reason}),
    node.answer !== null && el('span', {class: 'answer-chip'}, 'answer ', el('code', {text: node.answer})),
    node.origin && el('button', {class: 'back', title: 'back to the branch point',
      onclick: event => { event.stopPropagation(); gotoToken(node.origin, node.start - 1); }},
      `↰ ${node.origin.label} · token ${node.start - 1}`),
    node.score !== null && el('span', {class: 'fact', text: `score ${figure(node.score)}`}),
    credit.length > 0 && el('span', {class: 'fact',
      title: 'advantage, from first to last token', text: `A ${signed(credit[0])}${high - low > 0.005
      ? ' … ' + signed(credit[credit.length - 1]) : ''}`}),
    el('span', {class: `fact ${node.finish === 'eos' ? ''
      : 'warn'}`, text: {eos: 'ended', length: 'cut at the length limit', failed: 'given up'}[node.finish] || node.finish}),
    el('span', {class: 'fact', text: plural(own, 'token')}));
}

function token(node, place, extra) {
  const text = textAt(node, place), value = injectedAt(node, place) ? null : valueAt(node, place, state.metric.key);
  const line = text.includes('\n') && !text.trim();
  const span = el('span', {class: `t held ${extra || ''} ${line ? 'nl' : ''} ${text === '' ? 'part'
    : ''} ${shade(state.metric, value)}`, text});
  span.held = {node, place};
  return span;
}

// A branch shows the end of what it shares with its origin.
function shared(node) {
  const from = Math.max(0, node.start - SHARED), tokens = [];
  for (let place = from; place < node.start; place += 1) {
    tokens.push(token(node, place, place === node.start - 1 ? 'fork-token' : 'shared'));
  }
  return el('div', {class: 'flow lead-in'}, from > 0 && el('span', {class: 'dim', text: '… '}), tokens);
}

function wentOn(node) {
  const origin = holder(node, node.start - 1), end = Math.min(origin.length, node.start + WENT_ON), tokens = [];
  for (let place = node.start; place < end; place += 1) tokens.push(token(origin, place, 'instead'));
  const o = outcome(origin);
  return el('div', {class: 'went-on'}, el('span', {class: 'went-on-name'}, `${origin.label} went on here`,
    el('span', {class: `pill ${o}`, text: `${GLYPH[o]} ${signed(origin.reward)}`})),
    el('div', {class: 'flow'}, tokens, end < origin.length && el('span', {class: 'dim', text: ' …'})));
}

function segments(node) {
  const marks = new Map(), blocks = [];
  for (const [name, from, to] of node.regions) if (name !== 'call') for (let place = from; place < to; place += 1) marks.set(place, `${marks.get(place) || ''} ${name}`);
  const callOf = place => node.regions.find(([name, from, to]) => name === 'call' && from <= place && place < to);
  let place = node.start, flow = null;
  while (place < node.length) {
    const call = callOf(place), span = node.injected.find(([from]) => from === place);
    if (call || span) {
      flow = null;
      const end = call ? Math.min(call[2], node.length) : place;
      const result = span || node.injected.find(([from]) => from === end);
      blocks.push(toolBox(node, place, end, result, marks));
      place = result ? result[1] : end;
    } else {
      if (!flow) { flow = el('div', {class: 'flow'}); blocks.push(flow); }
      flow.append(...tokenWithForks(node, place, marks));
      place += 1;
    }
  }
  return blocks;
}

function tokenWithForks(node, place, marks) {
  const branches = branchesAt(node, place);
  const span = token(node, place, `${marks.get(place) || ''} ${branches.length ? 'fork-token' : ''}`);
  span.id = branches.length ? `fork-${node.number}-${place}` : '';
  if (!branches.length) span.removeAttribute('id');
  return [span, ...branches.map(child => el('button', {class: `fork ${outcome(child)}`, 'data-branch': child.label,
    title: `branch ${child.label}: ${WORD[outcome(child)]}, reward ${signed(child.reward)}`,
    onclick: () => select(child, true)}, forkIcon(), child.label.slice(node.label.length + 1), el('b', {text: GLYPH[outcome(child)]})))];
}

function toolBox(node, from, end, result, marks) {
  const call = node.calls.find(one => one.end === end), written = [], returned = [];
  for (let place = from; place < end; place += 1) written.push(...tokenWithForks(node, place, marks));
  if (result) for (let place = result[0]; place < result[1]; place += 1) returned.push(token(node, place, 'injected'));
  const long = returned.length > LONG_RESULT;
  const body = el('div', {class: `result ${long ? 'long' : ''}`}, returned);
  return el('div', {class: `tool ${call?.problem ? 'bad' : ''}`},
    el('div', {class: 'tool-name'}, el('b', {text: call ? call.tool : 'result'}),
      call && !call.problem && call.seconds !== null && el('span', {class: 'dim', text: `${figure(call.seconds)} s`}),
      call?.problem && el('span', {class: 'tool-problem', text: call.problem})),
    written.length > 0 && el('div', {class: 'flow call'}, written), returned.length > 0 && body,
    long && el('button', {class: 'more', text: `show all ${returned.length} tokens`,
      onclick: event => { body.classList.remove('long'); event.target.remove(); }}));
}

function recolour() {
  for (const card of cards.values()) {
    for (const span of card.querySelectorAll('.t')) {
      const {node, place} = span.held, value = injectedAt(node, place) ? null : valueAt(node, place, state.metric.key);
      span.className = span.className.replace(/\b[qd]\d+\b/g, '').trim() + ' ' + shade(state.metric, value);
    }
  }
}

function flash(node) {
  node.classList.remove('flash');
  void node.getBoundingClientRect();
  node.classList.add('flash');
}

// Select a trajectory; `move` brings its card into view.
function select(node, move) {
  state.node = node;
  for (const [one, card] of cards) card.classList.toggle('chosen', one === node);
  markLane(node);
  const card = cards.get(node);
  if (!card) return;
  fillCard(card);
  if (move) { bring(card); flash(card); }
  remember();
}

function gotoToken(node, place) {
  select(node, false);
  const mark = document.getElementById(`fork-${node.number}-${place}`) || cards.get(node);
  bring(mark);
  flash(mark);
}

function bring(node) {
  const tall = node.getBoundingClientRect().height > 0.6 * innerHeight;
  node.scrollIntoView({block: tall ? 'start' : 'center', behavior: calm() ? 'auto' : 'smooth'});
}
const calm = () => matchMedia('(prefers-reduced-motion: reduce)').matches;
