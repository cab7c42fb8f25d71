// Tests of the decoder at work: prompted gestures, and false activations at rest.
import {field, fixed, h, percent, plainName, text, tile} from "./dom.js";
import {Stage} from "./stage.js";

const TITLES = {motion: "Prompted gestures", rest: "Rest", fitts: "Fitts' law"};

export class Test {
  constructor(panel, shared) {
    Object.assign(this, {panel, shared});
    this.stage = new Stage(shared.say);
    this.progress = h("p", {class: "soft number"});
    this.decided = h("p", {class: "soft"});
    const number = (value, low, high) => h("input", {type: "number", value: String(value), min: String(low), max: String(high), required: true});
    this.repetitions = number(2, 1, 20);
    this.seed = number(0, 0, 999999);
    this.seconds = number(60, 5, 3600);
    const start = (name, words, values) => h("form", {class: "row", onsubmit: (event) => { event.preventDefault(); shared.ask(name, values()); }}, words, h("button", {class: "do main", type: "submit"}, "Start"));
    this.run = h("section", {class: "card", hidden: true}, h("div", {class: "row middle spread"}, this.progress, h("button", {class: "do stop", type: "button", onclick: () => shared.ask("test.stop")}, "Stop")), this.stage.element, this.decided);
    this.choice = h("div", {class: "two"},
      h("section", {class: "card"}, h("h2", {}, TITLES.motion), h("p", {class: "small soft"}, "You are asked for every gesture; the decisions are compared with what was asked."),
        start("test.motion", [field("Repetitions", this.repetitions), field("Seed of the order", this.seed)], () => ({repetitions: Number(this.repetitions.value), seed: Number(this.seed.value)}))),
      h("section", {class: "card"}, h("h2", {}, TITLES.rest), h("p", {class: "small soft"}, "Relax, talk, reach for things, but do no gesture: every activation is a false one."),
        start("test.rest", [field("Seconds", this.seconds)], () => ({seconds: Number(this.seconds.value)}))));
    this.none = h("section", {class: "card"}, h("h2", {}, "No decoder yet"), h("p", {class: "soft"}, "A test needs a decoder at work."), h("button", {class: "do main", type: "button", onclick: () => shared.go("record")}, "Record"));
    this.results = h("div");
    panel.append(this.run, this.none, this.choice, this.results);
  }

  update(name, value) {
    const {decode, test} = this.shared.state;
    if (name === "decode" || name === "test") {
      this.none.hidden = Boolean(decode?.name) || Boolean(test?.running);
      this.choice.hidden = !decode?.name || Boolean(test?.running);
    }
    if (name !== "test") return;
    this.run.hidden = !value.running;
    const key = JSON.stringify(value.results.map((r) => r.number));
    if (key === this.key) return;
    this.key = key;
    const link = h("a", {href: `report${location.search}`, target: "_blank", rel: "noopener"}, "Open the report");
    this.results.replaceChildren(...(value.results.length ? [h("p", {}, link)] : []), ...value.results.map(card).reverse());
  }

  tick({test, decision}) {
    if (!test || this.panel.hidden) return;
    this.stage.show({coming: null, finished: 0, total: 0, level: 0, shape: "hold", ...test});
    text(this.progress, test.total ? `${TITLES[test.kind]}: ${test.finished} of ${test.total}` : `${TITLES[test.kind]}: ${Math.ceil(test.left_s)} s left`);
    text(this.decided, decision ? `decided: ${plainName(decision.output)}` : "");
  }
}

/** A finished test. */
function card(result) {
  const m = result.metrics, f = m.false_activations, {decoder} = result;
  const tiles = result.kind === "rest"
    ? [tile("False activations", String(f.events), `in ${fixed(f.hours * 60, 1)} minutes`), tile("Per hour", fixed(f.per_hour, 1), `${fixed(f.low, 1)} to ${fixed(f.high, 1)} (95 %)`), tile("Wrong decisions", percent(m.total_error))]
    : [tile("Right once settled", percent(m.settled_accuracy), "from half a second after each prompt"), tile("Right in all", percent(1 - m.total_error), "reaction times included"),
      tile("Active error", percent(m.active_error), "wrong and not rest"), tile("Onset delay", `${fixed(m.onset_delay.p50_ms)} ms`, "median, reaction included"), tile("Missed", `${m.missed_activations} of ${m.contractions}`, "gestures"), tile("Latency p99", `${fixed(m.latency.p99_ms, 1)} ms`)];
  return h("section", {class: "card"},
    h("h2", {}, `${result.number}. ${TITLES[result.kind]}`),
    h("p", {class: "small soft"}, `${result.date}, ${decoder.name} (${decoder.method}), vote ${decoder.post.votes}, rejection ${decoder.post.threshold}, ${m.decisions} decisions`),
    h("div", {class: "tiles"}, tiles));
}
