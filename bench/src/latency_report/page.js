// Reads values off the plots under the pointer. The page is whole without it.
const three = value => value >= 100 ? value.toFixed(0) : String(+value.toPrecision(3));
const scaled = (value, steps) => {
  const [size, unit] = steps.find(([size]) => value >= size) ?? steps.at(-1);
  return `${three(value / size)} ${unit}`.trim();
};
const units = {
  latency: ns => scaled(ns, [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']]),
  count: n => scaled(n, [[1e6, 'M'], [1e3, 'k'], [1, '']]),
  seconds: s => `${s.toFixed(2)} s`,
  share: part => `${three(part * 100)}%`,
  quantile: part => {
    const distance = 1 - part;
    const digits = Math.max(0, Math.ceil(-Math.log10(distance)) - 1);
    return `${(part * 100).toFixed(digits)}%`;
  },
};
const kinds = { linear: v => v, logarithm: v => 10 ** v, nines: v => 1 - 10 ** -v };

for (const svg of document.querySelectorAll('svg.plot')) {
  const [left, top, width, height] = svg.dataset.frame.split(' ').map(Number);
  const axis = text => {
    const [kind, unit, from, to] = text.split(' ');
    return place => units[unit](kinds[kind](+from + place * (to - from)));
  };
  const xAxis = axis(svg.dataset.x), yAxis = axis(svg.dataset.y);
  const lines = [...svg.querySelectorAll('path[data-label]')].map(path => ({
    path,
    points: [...path.getAttribute('d').matchAll(/[ML]([\d.]+) ([\d.]+)/g)]
      .map(([, x, y]) => [+x, +y]),
  }));
  const cursor = document.createElementNS(svg.namespaceURI, 'path');
  cursor.setAttribute('class', 'cursor');
  svg.append(cursor);
  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.hidden = true;
  svg.parentElement.append(tip);

  const row = (text, path) => {
    const line = document.createElement('div');
    if (path) {
      const swatch = document.createElement('span');
      swatch.className = 'swatch';
      swatch.style.background = getComputedStyle(path).stroke;
      line.append(swatch);
    }
    line.append(text);
    return line;
  };
  svg.addEventListener('pointermove', event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
    tip.hidden = x < left || x > left + width;
    cursor.setAttribute('d', tip.hidden ? '' : `M${x} ${top}v${height}`);
    if (tip.hidden) return;
    tip.replaceChildren(row(xAxis((x - left) / width)));
    for (const { path, points } of lines) {
      // The last point that is not behind the pointer; beyond its ends a line says nothing.
      const next = points.findIndex(point => point[0] > x);
      if (next === 0 || (next < 0 && x - points.at(-1)[0] > 3)) continue;
      const [, y] = points.at(next < 0 ? -1 : next - 1);
      // On the ground of a distribution there is nothing, and logarithms have no zero.
      const none = y >= top + height && path.classList.contains('outline');
      const value = none ? 'none' : yAxis((top + height - y) / height);
      tip.append(row(`${path.dataset.label} ${value}`, path));
    }
    const right = event.clientX - box.left > box.width * 0.5;
    tip.style.left = right ? '' : `${event.clientX - box.left + 16}px`;
    tip.style.right = right ? `${box.right - event.clientX + 16}px` : '';
    tip.style.top = `${Math.max(8, event.clientY - box.top - 20)}px`;
  });
  svg.addEventListener('pointerleave', () => {
    tip.hidden = true;
    cursor.setAttribute('d', '');
  });
}
