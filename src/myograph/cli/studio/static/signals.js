// Scrolling channels, quality lamps and levels. New bins are drawn once, into columns of a ring as wide as the plot; each
// frame then copies the ring in two pieces, so that its cost does not grow with the number of samples.
import {colours, fit, h, text} from "./dom.js";

const SHOWN = 16; // channels at once
const HEADER_BYTES = 32;
const LEAST_SPREAD = {uV: 30}; // so that the noise of good electrodes does not fill the rows
const MARKS = {good: "✓", dead: "✕", rail: "▲", mains: "≈", noise: "∿"};
const HEAT = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

export class Signals {
  constructor(panel, shared) {
    Object.assign(this, {panel, shared, seconds: 5, page: 0, gain: 0, auto: true, bins: 0, frames: 0, since: 0, head: 0});
    this.canvas = h("canvas", {role: "img", "aria-label": "Scrolling signals of all channels; their state is in the list beside them"});
    this.lamps = h("ul", {class: "lamps", "aria-label": "Quality of each channel"});
    this.scale = h("span", {class: "small soft number"});
    this.rate = h("span", {class: "small soft number", id: "frame-rate"});
    this.pages = h("select", {"aria-label": "Channels shown", hidden: true, onchange: () => { this.page = Number(this.pages.value); this.redraw = true; this.list(); }});
    this.heat = h("canvas", {class: "heat", role: "img", "aria-label": "Levels"});
    this.legend = h("div", {class: "heat-legend", "aria-hidden": "true"});
    this.legend.style.background = `linear-gradient(to right, ${HEAT.map((rgb, i) => `rgb(${rgb.join(" ")}) ${100 * (i / (HEAT.length - 1)) ** 2}%`).join(", ")})`;
    this.legendWords = h("div", {class: "row spread small soft number"}, h("span", {}, "0"), h("span"));
    this.quality = h("ul", {class: "notes"});
    this.counts = h("p", {class: "small soft"});
    this.again = h("button", {class: "do", type: "button", hidden: true, onclick: () => shared.ask("source.again")}, "Play again");
    const span = h("select", {"aria-label": "Seconds shown", onchange: () => { this.seconds = Number(span.value); this.redraw = true; }},
      [2, 5, 10].map((n) => h("option", {value: String(n), selected: n === 5}, `${n} s`)));
    const zoom = (factor, words) => h("button", {class: "do", type: "button", "aria-label": words, onclick: () => { this.auto = false; this.gain *= factor; this.redraw = true; }}, factor > 1 ? "+" : "−");
    panel.append(h("div", {class: "side"},
      h("section", {class: "card"},
        h("div", {class: "row middle spread"}, h("h2", {}, "Signals"), h("div", {class: "row middle tools"}, this.pages, span,
          zoom(1 / 1.5, "Smaller"), zoom(1.5, "Larger"), h("button", {class: "do", type: "button", onclick: () => { this.auto = true; this.redraw = true; }}, "Fit"))),
        h("p", {class: "row spread"}, this.scale, this.rate),
        h("div", {class: "signals"}, this.lamps, this.canvas)),
      h("div", {},
        h("section", {class: "card"}, h("h2", {}, "Levels"), h("p", {class: "small soft"}, "Each electrode's signal over the last tenth of a second, arranged as on the arm. A cross marks a channel with a problem."), this.heat, this.legend, this.legendWords),
        h("section", {class: "card"}, h("h2", {}, "Quality"), this.quality, this.counts, this.again))));
    this.ring = document.createElement("canvas");
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.colours = null; this.redraw = true; });
    requestAnimationFrame((time) => this.draw(time));
  }

  shown() { this.redraw = true; this.since = 0; }

  update(name, source) {
    if (name !== "source") return;
    const first = !this.source || this.source.n_channels !== source.n_channels;
    this.source = source;
    if (first) this.start();
    this.judge();
  }

  start() {
    const n = this.source.n_channels, pages = Math.ceil(n / SHOWN);
    this.low = this.high = null;
    this.pages.hidden = pages < 2;
    this.pages.replaceChildren(...Array.from({length: pages}, (_, i) => h("option", {value: String(i)}, `${i * SHOWN + 1} to ${Math.min((i + 1) * SHOWN, n)}`)));
    this.list();
  }

  get channels() {
    const first = this.page * SHOWN;
    return Array.from({length: Math.min(SHOWN, this.source.n_channels - first)}, (_, i) => first + i);
  }

  list() {
    this.rows = this.channels.map((c) => {
      const lamp = h("span", {class: "lamp good", "aria-hidden": "true"}, MARKS.good), word = h("span", {class: "word soft"}, "good");
      return {lamp, word, element: h("li", {}, lamp, h("span", {}, this.source.channels[c].replace(/^EMG/, "")), word)};
    });
    this.lamps.replaceChildren(...this.rows.map((row) => row.element));
    this.judge();
  }

  judge() {
    const {lamps, titles, counts, state, channels} = this.source;
    this.channels.forEach((c, i) => {
      const {lamp, word, element} = this.rows[i], kind = lamps[c];
      if (lamp.dataset.kind === kind) return;
      lamp.dataset.kind = kind;
      lamp.className = `lamp ${kind}`;
      text(lamp, MARKS[kind]);
      text(word, kind);
      element.title = titles[kind];
    });
    const found = Object.entries(titles).filter(([kind]) => kind !== "good" && lamps.includes(kind));
    const lines = found.map(([kind, words]) => {
      const where = channels.filter((_, c) => lamps[c] === kind);
      return `${where.length > 8 ? `${where.length} channels` : `Channel ${where.join(", ")}`}: ${words}`;
    });
    const key = lines.join("|");
    if (key !== this.said) {
      this.said = key;
      this.quality.replaceChildren(...(lines.length ? lines : ["All channels are good."]).map((line) => h("li", {}, line)));
    }
    text(this.counts, `Missing samples: ${counts.lost} lost, ${counts.filled} filled, ${counts.repeated} received twice; ${counts.restarts} interruptions.`);
    this.again.hidden = state !== "ended";
  }

  /** Bins from the server: see view.py. */
  frame(data) {
    const view = new DataView(data), [n, count] = [view.getUint32(4, true), view.getUint32(8, true)];
    const first = view.getFloat64(16, true), perSecond = view.getFloat64(24, true);
    if (!this.source || n !== this.source.n_channels) return;
    if (!this.low || this.perSecond !== perSecond) {
      this.room = Math.ceil(12 * perSecond);
      this.perSecond = perSecond;
      this.low = new Float32Array(this.room * n);
      this.high = new Float32Array(this.room * n);
      this.begin = first;
      this.redraw = true;
    }
    const low = new Float32Array(data, HEADER_BYTES, count * n), high = new Float32Array(data, HEADER_BYTES + 4 * count * n, count * n);
    this.levels = new Float32Array(data, HEADER_BYTES + 8 * count * n, n);
    for (let i = 0; i < count; i++) {
      const at = ((first + i) % this.room) * n;
      this.low.set(low.subarray(i * n, (i + 1) * n), at);
      this.high.set(high.subarray(i * n, (i + 1) * n), at);
    }
    if (first > this.bins || first + count < this.bins) { this.begin = first; this.redraw = true; }
    this.bins = first + count;
    if (this.bins - this.head > this.perSecond / 2 || this.head > this.bins) this.head = this.bins;
  }

  draw(time) {
    requestAnimationFrame((next) => this.draw(next));
    if (this.panel.hidden || !this.low) return;
    this.count(time);
    const resized = fit(this.canvas);
    if (resized || this.redraw) this.renew();
    this.advance(time);
    this.fill();
    const context = this.canvas.getContext("2d"), {width, height} = this.canvas;
    const split = Math.floor(this.head * this.perBin) % width;
    context.clearRect(0, 0, width, height);
    context.drawImage(this.ring, split, 0, width - split, height, 0, 0, width - split, height);
    if (split) context.drawImage(this.ring, 0, 0, split, height, width - split, 0, split, height);
    this.gaps(context, width, height);
    if (time - (this.heated ?? 0) > 60) { this.heated = time; this.drawLevels(); }
  }

  count(time) {
    this.frames++;
    if (!this.since || time - this.since > 5000) { this.since = time; this.frames = 0; }
    else if (time - this.since > 1000) {
      text(this.rate, `${Math.round(1000 * this.frames / (time - this.since))} frames per second`);
      this.since = time;
      this.frames = 0;
    }
  }

  /** Move the right edge evenly, although bins arrive in groups. */
  advance(time) {
    const passed = Math.min((time - (this.before ?? time)) / 1000, 0.25);
    this.before = time;
    const behind = this.bins - this.head;
    this.head = Math.min(this.bins, this.head + passed * this.perSecond * (1 + 2 * (behind / this.perSecond - 0.06)));
  }

  /** Choose the scale, and discard what was drawn. */
  renew() {
    this.redraw = false;
    this.colours ??= colours();
    const {width, height} = this.canvas;
    this.ring.width = width;
    this.ring.height = height;
    this.perBin = width / (this.seconds * this.perSecond);
    const {spread, middle} = this.measure();
    this.middle = middle;
    if (this.auto || !this.gain) this.gain = 0.42 / Math.max(spread, 1e-9);
    text(this.scale, `One row is ${this.inUnit(1 / this.gain)} high.`);
    this.drawn = Math.max(this.begin, this.bins - Math.ceil(this.seconds * this.perSecond) - 2, this.bins - this.room + 1);
    this.measured = this.bins;
  }

  inUnit(value) {
    return `${Number(value.toPrecision(2)).toLocaleString("en")} ${{uV: "µV", adc: "counts", normalised: ""}[this.source.unit]}`;
  }

  /** Half the height that nearly all shown samples need, and the middle of each channel. */
  measure() {
    const n = this.source.n_channels, first = Math.max(this.begin, this.bins - Math.floor(5 * this.perSecond));
    const middle = new Float32Array(n), tops = [];
    for (const c of this.channels) {
      let sum = 0, count = 0;
      for (let b = first; b < this.bins; b += 3) { const at = (b % this.room) * n + c; sum += this.low[at] + this.high[at]; count++; }
      middle[c] = count ? sum / (2 * count) : 0;
      for (let b = first; b < this.bins; b += 3) { const at = (b % this.room) * n + c; tops.push(Math.max(this.high[at] - middle[c], middle[c] - this.low[at])); }
    }
    tops.sort((a, b) => a - b);
    return {spread: Math.max(tops[Math.floor(0.985 * (tops.length - 1))] || 1, LEAST_SPREAD[this.source.unit] ?? 0), middle};
  }

  /** Draw the bins up to the right edge that are not in the ring yet. */
  fill() {
    const last = Math.floor(this.head);
    if (this.auto && last - this.measured > this.perSecond) {
      const {spread} = this.measure();
      this.measured = last;
      if (spread * this.gain > 0.6 || spread * this.gain < 0.18) this.renew();
    }
    if (last <= this.drawn) return;
    const context = this.ring.getContext("2d"), {width, height} = this.ring, n = this.source.n_channels;
    const row = height / this.channels.length, thick = Math.max(1, Math.round(height / 900));
    context.fillStyle = this.colours.trace;
    for (let b = this.drawn; b < last; b++) {
      const from = Math.floor(b * this.perBin), to = Math.max(Math.floor((b + 1) * this.perBin), from);
      const x = from % width, wide = Math.max(to - from, 1), fresh = Math.floor((b - 1) * this.perBin) !== from || wide > 1;
      if (fresh) { context.clearRect(x, 0, wide, height); if (x + wide > width) context.clearRect(0, 0, x + wide - width, height); }
      const at = (b % this.room) * n, before = b > this.begin ? ((b - 1) % this.room) * n : at;
      this.channels.forEach((c, i) => {
        const centre = (i + 0.5) * row, y = (v) => Math.max(i * row, Math.min((i + 1) * row, centre - (v - this.middle[c]) * this.gain * row));
        const top = y(Math.max(this.high[at + c], this.low[before + c])), bottom = y(Math.min(this.low[at + c], this.high[before + c]));
        context.fillRect(x, top, wide, Math.max(bottom - top, thick));
      });
    }
    this.drawn = last;
  }

  gaps(context, width, height) {
    context.fillStyle = this.colours.bad;
    context.globalAlpha = 0.5;
    for (const bin of this.source.gaps) {
      const x = width - (this.head - bin) * this.perBin;
      if (x > 0 && x < width) context.fillRect(x - 1, 0, 3, height);
    }
    context.globalAlpha = 1;
  }

  drawLevels() {
    const layout = this.source.layout, n = this.source.n_channels;
    const ring = !layout || layout.shape[0] < 2;
    this.heat.style.aspectRatio = ring ? "1.15" : `${Math.max(layout.shape[1], 4)} / ${Math.max(layout.shape[0], 3)}`;
    fit(this.heat);
    const context = this.heat.getContext("2d"), {width, height} = this.heat;
    this.top = Math.max((this.top ?? 0) * 0.985, ...this.levels, 1e-9);
    context.clearRect(0, 0, width, height);
    for (let c = 0; c < n; c++) {
      const share = Math.sqrt(this.levels[c] / this.top);
      context.fillStyle = heatColour(share);
      if (ring) this.electrode(context, c, n, share, width, height);
      else if (layout.row[c] >= 0) {
        const w = width / layout.shape[1], t = height / layout.shape[0];
        context.fillRect(layout.column[c] * w + 0.5, layout.row[c] * t + 0.5, w - 1, t - 1);
        if (this.source.lamps[c] !== "good") this.cross(context, (layout.column[c] + 0.5) * w, (layout.row[c] + 0.5) * t, Math.min(w, t) / 3);
      }
    }
    text(this.legendWords.lastChild, this.inUnit(this.top));
    this.heat.setAttribute("aria-label", `Levels: the strongest channel is ${this.source.channels[this.levels.indexOf(Math.max(...this.levels))]}`);
  }

  cross(context, x, y, size) {
    context.beginPath();
    for (const slope of [1, -1]) { context.moveTo(x - size, y - slope * size); context.lineTo(x + size, y + slope * size); }
    context.strokeStyle = this.colours.bad;
    context.lineWidth = Math.max(2, size / 3);
    context.stroke();
  }

  electrode(context, c, n, share, width, height) {
    const angle = 2 * Math.PI * c / n - Math.PI / 2, far = Math.min(width, height) * 0.38, size = Math.min(far * 2.2 / n, far * 0.3);
    const x = width / 2 + far * Math.cos(angle), y = height / 2 + far * Math.sin(angle);
    context.beginPath();
    context.arc(x, y, size * (0.75 + 0.45 * share), 0, 2 * Math.PI);
    context.fill();
    if (this.source.lamps[c] !== "good") this.cross(context, x, y, size / 2);
    context.fillStyle = this.colours.soft;
    context.font = `${Math.round(height / 24)}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(this.source.channels[c].replace(/^EMG/, ""), width / 2 + (far - size * 2.1) * Math.cos(angle), height / 2 + (far - size * 2.1) * Math.sin(angle));
  }
}

function heatColour(share) {
  const at = Math.min(Math.max(share, 0), 0.9999) * (HEAT.length - 1), i = Math.floor(at), part = at - i;
  return `rgb(${HEAT[i].map((v, k) => Math.round(v + (HEAT[i + 1][k] - v) * part)).join(" ")})`;
}
