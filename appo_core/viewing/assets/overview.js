// The step in figures, and the list of its prompts: sorted, filtered, searched.
const COLUMNS = [
  {key: 'question', title: 'Prompt', value: row => row.question.toLowerCase(), first: 1},
  {key: 'mean', title: 'Reward', note: 'mean reward of the initial rollouts', value: row => row.mean ?? -Infinity, first: -1},
  {key: 'spread', title: 'Spread', note: 'standard deviation of all rewards', value: row => row.spread, first: -1},
  {key: 'branches', title: 'Forks', note: 'branches', value: row => row.branches, first: -1},
];
const FILTERS = [
  {key: 'branches', title: 'has branches', test: row => row.branches > 0},
  {key: 'changed', title: 'outcome changed', test: row => row.rescued + row.lost > 0},
  {key: 'correct', title: '✓ correct', test: row => row.correct + row.branch_correct > 0},
  {key: 'wrong', title: '✗ wrong', test: row => row.correct + row.branch_correct < row.initial + row.branches},
  {key: 'failed', title: '! failed', test: row => row.failed > 0},
];
const view = {sort: null, order: 1, filters: new Set(), words: ''};
const listed = () => index.prompts.filter(row => FILTERS.every(one => !view.filters.has(one.key) || one.test(row))
  && row.question.toLowerCase().includes(view.words))
  .sort((a, b) => { const column = COLUMNS.find(one => one.key === view.sort); if (!column) return a.place - b.place;
    const [x, y] = [column.value(a), column.value(b)]; return view.order * (x < y ? -1 : x > y ? 1 : 0) || a.place - b.place; });

function drawTop() {
  const sum = index.total, shown = index.prompts.length;
  const counts = shown < sum.prompts ? `${shown} of ${sum.prompts} prompts shown` : plural(sum.prompts, 'prompt');
  document.getElementById('top').replaceChildren(
    el('div', {class: 'titles'}, el('h1', {text: `Step ${index.step}`}), el('span', {class: 'ref', text: index.title}),
      el('span', {class: 'dim', text: [counts, `${plural(sum.initial, 'rollout')} + ${plural(sum.branches, 'branch', 'branches')}`,
        `${sum.tokens.toLocaleString('en')} generated tokens`].join(' · ')}),
      el('span', {class: 'grow'}),
      el('button', {class: 'tool-button', id: 'theme', title: 'light or dark (t)', text: '◐', onclick: turnTheme}),
      el('button', {class: 'tool-button', title: 'keys (?)', text: '?', onclick: showHelp})),
    el('div', {class: 'tiles'},
      tile('Correct', percent(sum.correct, sum.initial),
        sum.branches ? `branches ${percent(sum.branch_correct, sum.branches)}` : `${sum.correct} of ${sum.initial}`),
      tile('Mean reward', signed(sum.mean), sum.branches ? `branches ${signed(sum.branch_mean)}` : ''),
      histogram(), sum.branches > 0 && changes(sum), index.points.length > 0 && points(),
      tile('Tool calls', sum.calls.toLocaleString('en'), sum.failed_calls ? `${sum.failed_calls} failed` : 'none failed')));
}

const tile = (name, value, note) => el('div', {class: 'tile'}, el('span', {class: 'tile-name', text: name}),
  el('b', {class: 'tile-value', text: value}), el('span', {class: 'dim', text: note}));

// Rewards of initial rollouts upwards, of branches downwards.
function histogram() {
  const {low, high, initial, branch} = index.rewards, width = 11, half = 25, top = Math.max(1, ...initial, ...branch);
  const bars = (counts, down) => counts.map((count, place) => count > 0 && sv('rect', {
    class: down ? 'hist-branch' : 'hist-initial', x: place * width, width: width - 1.5,
    y: down ? half + 1 : half - Math.max(1.5, count / top * half), height: Math.max(1.5, count / top * half)},
      sv('title', {text: plural(count, 'rollout')})));
  const wide = width * initial.length;
  return el('div', {class: 'tile', title: 'rewards: initial rollouts upwards, branches downwards'},
    el('span', {class: 'tile-name', text: 'Rewards'}),
    sv('svg', {width: wide, height: 2 * half + 2}, sv('line', {class: 'bar-zero',
      x1: 0, x2: wide, y1: half + 0.5, y2: half + 0.5}), bars(initial, false), bars(branch, true)),
    el('span', {class: 'dim ends'}, el('span', {text: figure(low)}),
      el('span', {text: index.total.branches ? '↑ initial ↓ branches' : ''}), el('span', {text: figure(high)})));
}

function changes(sum) {
  const parts = [['rescued', '✗→✓', 'rescued', sum.rescued], ['right', '✓→✓', 'stayed right', sum.stayed_right],
    ['wrong', '✗→✗', 'stayed wrong', sum.stayed_wrong], ['lost', '✓→✗', 'lost', sum.lost]];
  return el('div', {class: 'tile changes'}, el('span', {class: 'tile-name', text: 'What branching changed'}),
    el('div', {class: 'stack'}, parts.map(([name, arrow, word, count]) => { const bar = el('span', {class: `stack-${name}`,
      title: `${plural(count, 'branch', 'branches')} ${word}`}); bar.style.flexGrow = count; return count > 0 && bar; })),
    el('div', {class: 'stack-words'}, parts.map(([name, arrow, word, count]) => el('span', {},
      el('i', {class: `stack-${name}`}), `${arrow} ${word} `, el('b', {text: count})))));
}

const points = () => el('div', {class: 'tile points', title: 'tokens that branches left at, in the prompts shown'},
  el('span', {class: 'tile-name', text: 'Branched at'}),
  el('div', {class: 'chips'}, index.points.map(([text, count]) => el('span', {class: 'chip'},
    el('code', {text: visible(text)}), ` ${count}`))));

function drawList() {
  const rows = listed(), list = document.getElementById('list');
  const search = list.querySelector('input') || el('input', {type: 'search', placeholder: 'search prompts  ( / )',
    'aria-label': 'search prompts', oninput: event => { view.words = event.target.value.toLowerCase(); drawList(); }});
  const focused = document.activeElement === search;
  list.replaceChildren(search,
    el('div', {class: 'filters'}, FILTERS.map(one => el('button', {class: view.filters.has(one.key) ? 'on' : '', 'data-filter': one.key,
    'aria-pressed': String(view.filters.has(one.key)),
    onclick: () => { if (!view.filters.delete(one.key)) view.filters.add(one.key); drawList(); }}, one.title,
      el('i', {text: index.prompts.filter(one.test).length})))),
    el('table', {}, el('thead', {},
      el('tr', {}, COLUMNS.map(column => el('th', {'aria-sort': view.sort === column.key ? (view.order > 0 ? 'ascending'
      : 'descending') : 'none'},
      el('button', {title: column.note || '', 'data-sort': column.key,
        onclick: () => sortBy(column)}, column.title, view.sort === column.key ? (view.order > 0 ? ' ↑' : ' ↓') : ''))))),
      el('tbody', {}, rows.map(listRow))),
    rows.length ? '' : el('p', {class: 'dim none', text: 'no prompt is like that'}));
  if (focused) search.focus();
}

function listRow(row) {
  return el('tr', {class: row.place === state.place ? 'chosen' : '', 'data-place': row.place, onclick: () => open(row.place)},
    el('td', {}, el('div', {class: 'ask', text: row.question}), el('div', {class: 'dots'},
      row.outcomes.map(({b, o}) => el('span', {class: `dot ${o} ${b ? 'b' : ''}`})))),
    el('td', {class: 'n', text: signed(row.mean)}), el('td', {class: 'n'}, row.spread.toFixed(2), spreadBar(row.spread)),
      el('td', {class: 'n', text: row.branches || '–'}));
}

function spreadBar(value) {
  const top = Math.max(0.01, ...index.prompts.map(row => row.spread)), bar = el('span', {class: 'spread'});
  bar.style.width = `${36 * value / top}px`;
  return bar;
}

function sortBy(column) {
  if (view.sort !== column.key) { view.sort = column.key; view.order = column.first; }
  else if (view.order === column.first) view.order = -column.first;
  else view.sort = null;
  drawList();
}
