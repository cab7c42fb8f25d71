// Live decisions: a hand that moves, probabilities, latency, post-processing that takes effect at once, and corrections.
import {colours, field, fit, fixed, h, percent, plainName, text, tile} from "./dom.js";
import {Hand} from "./hand.js";

const CLASS_COLOURS = ["#1668b8", "#d9772b", "#2a9d6f", "#a457b8", "#c2a01a", "#cf4a63", "#3f8f9b", "#7a6ad8", "#8a7050", "#5f9c3f", "#c0578f", "#4d79a8"];

export class Decode {
  constructor(panel, shared) {
    Object.assign(this, {panel, shared, classes: []});
    this.hand = new Hand();
    this.what = h("div", {class: "what", id: "decision"}, "–");
    this.note = h("div", {class: "next"});
    this.shares = h("div", {class: "shares"});
    this.strip = h("canvas", {class: "strip", role: "img", "aria-label": "Decisions of the last seconds"});
    this.latency = h("div", {class: "tiles"});
    this.load = h("select", {"aria-label": "Saved decoder"});
    this.about = h("p", {class: "small soft"});
    this.right = h("select", {"aria-label": "The gesture that you made"});
    this.emptyWords = h("p", {class: "soft"});
    this.empty = h("section", {class: "card"}, h("h2", {}, "No decoder in use"), this.emptyWords, h("button", {class: "do main", type: "button", onclick: () => shared.go("record")}, "Record"));
    this.body = h("div", {class: "two", hidden: true},
      h("section", {class: "card"}, h("div", {class: "stage"}, this.hand.element, this.what, this.note), this.strip,
        h("p", {class: "small soft"}, "The last 64 decisions, newest on the right. Grey: rest (low) or withheld (half high).")),
      h("div", {}, h("section", {class: "card"}, h("h2", {}, "Probabilities"), this.shares),
      h("section", {class: "card"}, h("h2", {}, "Post-processing"), this.sliders()),
      h("section", {class: "card"}, h("h2", {}, "Latency"), h("p", {class: "small soft"}, "From the arrival of a window's last sample to its decision, over the last minute."), this.latency),
      h("section", {class: "card"}, h("h2", {}, "That was wrong"), h("p", {class: "small soft"}, "Keeps the last half second of signal as an example of the gesture that you actually made. Train again to use it."),
        h("div", {class: "row"}, field("I made", this.right), h("button", {class: "do", type: "button", onclick: () => shared.ask("decode.wrong", {label: this.right.value})}, "Keep as an example")))));
    this.saved = h("section", {class: "card"}, h("div", {class: "row middle spread"}, h("h2", {}, "Decode"), h("div", {class: "row middle"}, this.load,
        h("button", {class: "do", type: "button", onclick: () => this.load.value && shared.ask("decode.load", {name: this.load.value})}, "Use"))), this.about);
    panel.append(this.saved, this.empty, this.body);
  }

  sliders() {
    const slider = (key, name, low, high, step, words) => {
      const value = h("b", {class: "number"}), input = h("input", {type: "range", min: String(low), max: String(high), step: String(step), "aria-label": name});
      input.addEventListener("input", () => { text(value, words(Number(input.value))); this.shared.ask("decode.post", {[key]: Number(input.value)}); });
      this.post[key] = {input, value, words};
      return h("label", {class: "field"}, h("span", {class: "row spread"}, name, value), input);
    };
    this.post = {};
    return [
      slider("votes", "Majority vote", 1, 15, 1, (v) => (v < 2 ? "off" : `${v} decisions`)),
      slider("threshold", "Reject below a probability of", 0, 0.95, 0.05, (v) => (v ? v.toFixed(2) : "off")),
      slider("ramp", "Velocity ramp", 0, 30, 1, (v) => (v ? `full speed after ${v} decisions` : "off"))];
  }

  update(name, value) {
    if (name === "train") this.list(value.decoders);
    if (name !== "decode") return;
    const there = value.name !== "";
    this.empty.hidden = there;
    this.body.hidden = !there;
    text(this.about, there ? `${value.name}: ${value.method}, ${value.classes.length} classes, windows of ${value.length_ms} ms every ${value.step_ms} ms` : "");
    if (there) this.load.value = value.name;
    for (const [key, {input, value: shown, words}] of Object.entries(this.post)) {
      if (document.activeElement !== input) input.value = String(value.post[key]);
      text(shown, words(value.post[key]));
    }
    if (value.classes.join() !== this.classes.join()) this.start(value.classes);
    const l = value.latency;
    this.latency.replaceChildren(...(l ? [tile("Median", `${fixed(l.p50_ms, 1)} ms`), tile("99th percentile", `${fixed(l.p99_ms, 1)} ms`), tile("Greatest", `${fixed(l.max_ms, 1)} ms`)] : [tile("Median", "–")]));
  }

  list(names) {
    if (names.join() === this.known) return;
    this.known = names.join();
    this.load.replaceChildren(...names.map((name) => h("option", {value: name}, name)));
    this.saved.hidden = !names.length;
    text(this.emptyWords, names.length ? "Choose a saved decoder above and press Use, or record gestures and train a new one." : "Record some gestures, then train a decoder.");
    if (this.shared.state.decode?.name) this.load.value = this.shared.state.decode.name;
  }

  start(classes) {
    this.classes = classes;
    this.bars = classes.map((name) => {
      const fill = h("i"), value = h("b", {}, "–");
      return {fill, value, element: h("div", {class: "share"}, h("span", {}, plainName(name)), h("div", {class: "bar"}, fill), value)};
    });
    this.shares.replaceChildren(...this.bars.map((bar) => bar.element));
    this.right.replaceChildren(...classes.map((name) => h("option", {value: name}, plainName(name))));
  }

  tick({decision}) {
    if (!decision || this.panel.hidden || decision.n === this.n) return;
    this.n = decision.n;
    this.hand.show(decision.output);
    text(this.what, plainName(decision.output));
    const sure = decision.proba ? ` with ${percent(Math.max(...decision.proba), 0)}` : "";
    text(this.note, decision.rejected ? `withheld: ${plainName(decision.label)}${sure} is below the threshold` : `${plainName(decision.raw)}${sure}${decision.gain < 1 ? `, speed ${percent(decision.gain, 0)}` : ""}`);
    this.bars.forEach(({fill, value, element}, i) => {
      const p = decision.proba ? decision.proba[i] : Number(this.classes[i] === decision.raw);
      fill.style.width = `${100 * p}%`;
      text(value, percent(p, 0));
      element.classList.toggle("on", this.classes[i] === decision.output);
    });
    this.drawStrip(decision.recent);
  }

  drawStrip(recent) {
    fit(this.strip);
    const context = this.strip.getContext("2d"), {width, height} = this.strip, step = width / 64, quiet = colours().line;
    context.clearRect(0, 0, width, height);
    recent.forEach(([, name, rejected], i) => {
      const x = width - (recent.length - i) * step, rest = name === "rest";
      context.fillStyle = rest || rejected ? quiet : classColour(this.classes, name);
      const tall = rest ? 0.3 : rejected ? 0.55 : 1;
      context.fillRect(x, height * (1 - tall), Math.max(step - 1, 1), height * tall);
    });
  }
}

/** A class's colour, the same everywhere on the page. */
export function classColour(classes, name) {
  return CLASS_COLOURS[Math.max(classes.filter((c) => c !== "rest").indexOf(name), 0) % CLASS_COLOURS.length];
}
