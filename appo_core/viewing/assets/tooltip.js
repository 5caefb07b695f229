// The figures of the token under the pointer. Elements carry what they stand for in `held`.
const tip = document.getElementById('tip');

function tokenTip({node, place}) {
  const at = holder(node, place);
  const rows = index.metrics.map(metric => [metric.title, valueAt(node, place, metric.key)]).filter(row => row[1] !== null);
  const logp = valueAt(node, place, 'nll');
  const branches = branchesAt(at, place);
  return [
    el('div', {class: 'tip-token'}, el('b', {text: visible(textAt(node, place))}), ` token ${place} · id ${at.ids[place - at.start]}`),
    injectedAt(node, place) && el('div', {class: 'dim', text: 'injected tool result: not generated, not trained'}),
    el('table', {}, rows.map(([title, value]) => el('tr', {class: title === state.metric.title ? 'now' : ''},
      el('th', {text: title}), el('td', {text: figure(value)})))),
    logp !== null && el('div', {class: 'dim', text: `sampled with probability ${figure(Math.exp(-logp))}`}),
    branches.length > 0 && el('div', {class: 'tip-branches'}, 'branch point: ', branches.map(child =>
      el('span', {class: `pill ${outcome(child)}`, text: `${child.label} ${GLYPH[outcome(child)]} ${signed(child.reward)}`}))),
  ];
}

function nodeTip(node) {
  return [
    el('div', {class: 'tip-token'}, el('b', {text: node.label}), ` ${WORD[outcome(node)]} · reward ${signed(node.reward)}`),
    el('div', {text: node.reason}),
    node.origin && el('div', {class: 'dim'}, `left ${node.origin.label} behind token ${node.start - 1} `,
      el('code', {text: visible(textAt(node, node.start - 1))}), ` · branching score ${figure(node.score)}`),
  ];
}

function showTip(event) {
  const target = event.target.closest?.('.held');
  if (!target) { tip.hidden = true; cross(null); return; }
  const held = target.held;
  tip.replaceChildren(...[held.place === undefined ? nodeTip(held.node) : tokenTip(held)].flat().filter(Boolean));
  tip.hidden = false;
  const box = target.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, event.clientX + 14), innerWidth - own.width - 8);
  const under = box.bottom + 8, above = box.top - own.height - 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${under + own.height < innerHeight || above < 0 ? under : above}px`;
  if (held.place !== undefined) cross(held);
}
document.addEventListener('pointerover', showTip);
document.addEventListener('scroll', () => { tip.hidden = true; }, {passive: true, capture: true});
