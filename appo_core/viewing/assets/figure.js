// The tree as an SVG file of its own, for slides and papers: colours written out, title and legend added.
const KEPT = ['fill', 'stroke', 'stroke-width', 'font-size', 'font-weight', 'font-family', 'opacity', 'fill-opacity', 'stroke-dasharray', 'visibility', 'paint-order', 'shape-rendering'];

function saveFigure(prompt) {
  const copy = drawn.root.cloneNode(true), width = Number(copy.getAttribute('width')), height = Number(copy.getAttribute('height'));
  const ours = drawn.root.querySelectorAll('*'), theirs = copy.querySelectorAll('*');
  ours.forEach((one, place) => {
    const style = getComputedStyle(one), target = theirs[place];
    for (const name of KEPT) if (style.getPropertyValue(name)) target.setAttribute(name, style.getPropertyValue(name));
    for (const name of ['class', 'tabindex', 'role']) target.removeAttribute(name);
  });
  const page = getComputedStyle(document.body), ink = page.color, head = 40, foot = 44;
  const words = (text, x, y, size, weight) => sv('text', {x, y, 'font-size': size, 'font-weight': weight, fill: ink, 'font-family': 'sans-serif', text});
  const whole = sv('svg', {xmlns: SVG, width, height: height + head + foot, viewBox: `0 0 ${width} ${height + head + foot}`},
    sv('rect', {width, height: height + head + foot, fill: getComputedStyle(document.getElementById('prompt')).getPropertyValue('--card').trim()}),
    words(prompt.question.replace(/\s+/g, ' ').slice(0, 110), 8, 24, 16, 600),
      sv('g', {transform: `translate(0 ${head})`}, [...copy.childNodes]),
    sv('g', {transform: `translate(${LEFT} ${height + head + 10})`}, legendCells(sv('g')), words(bounds()[0], 0, 22, 10, 400),
      words(bounds()[1], 12 * index.steps_per_scale - 16, 22, 10, 400),
      words(`${state.metric.title} — ${state.metric.note}`, 12 * index.steps_per_scale + 24, 10, 11, 400)));
  const link = el('a', {download: `tree-step-${index.step}-prompt-${state.place + 1}.svg`, href: URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(whole)], {type: 'image/svg+xml'}))});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function legendCells(group) {
  const probe = el('span'); document.body.append(probe);
  for (let step = 0; step < index.steps_per_scale; step += 1) {
    probe.className = state.metric.scale + step;
    group.append(sv('rect', {x: step * 12, width: 12, height: 10, fill: getComputedStyle(probe).getPropertyValue('--c').trim()}));
  }
  probe.remove();
  return group;
}
