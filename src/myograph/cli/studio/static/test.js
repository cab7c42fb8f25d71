// Live tests of the decoder: prompted gestures, false activations at rest, and Fitts' law.
import {field, fixed, h, percent, plainName, say, text, tile} from "./dom.js";
import {Field} from "./field.js";
import {Stage} from "./stage.js";

const TITLES = {motion: "Motion test", rest: "False activations at rest", fitts: "Fitts' law"};
const WAYS = ["right", "left", "up", "down"];
// Gestures that suit a direction, the most natural first.
const NATURAL = {right: ["wrist_extension", "radial_deviation"], left: ["wrist_flexion", "ulnar_deviation"], up: ["hand_open", "supination"], down: ["hand_close", "pronation"]};

export class Test {
  constructor(panel, shared) {
    Object.assign(this, {panel, shared});
    this.stage = new Stage(say);
    this.field = new Field(shared);
    this.fieldWords = h("p", {class: "stage-words soft"});
    this.progress = h("p", {class: "soft number"});
    this.decided = h("p", {class: "soft"});
    this.run = h("section", {class: "card", hidden: true},
      h("div", {class: "row middle spread"}, this.progress, h("button", {class: "do stop", type: "button", onclick: () => shared.ask("test.stop")}, "Stop")),
      this.stage.element, h("div", {class: "arena"}, this.fieldWords, this.field.element), this.decided);
    this.choice = h("div", {class: "two"}, h("div", {}, this.motionForm(), this.restForm()), this.fittsForm());
    this.none = h("section", {class: "card"}, h("h2", {}, "No decoder in use"), h("p", {class: "soft"}, "A test needs a decoder. Choose a saved one under Decode, or record gestures and train one."), h("button", {class: "do main", type: "button", onclick: () => shared.go("decode")}, "Go to Decode"));
    this.results = h("div");
    panel.append(this.run, this.none, this.choice, this.results);
  }

  form(name, title, words, controls, values) {
    return h("section", {class: "card"}, h("h2", {}, title), h("p", {class: "small soft"}, words),
      h("form", {class: "row", id: `start-${name}`, onsubmit: (event) => { event.preventDefault(); this.shared.ask(`test.${name}`, values()); }}, controls, h("div", {class: "full"}, h("button", {class: "do main", type: "submit"}, "Start"))));
  }

  motionForm() {
    const repetitions = number(2, 1, 20), seed = number(0, 0, 999999);
    return this.form("motion", TITLES.motion, "You are prompted for each gesture; the decisions are compared with the prompts.",
      [field("Repetitions", repetitions), field("Seed of the order", seed)], () => ({repetitions: Number(repetitions.value), seed: Number(seed.value)}));
  }

  restForm() {
    const seconds = number(60, 5, 3600);
    return this.form("rest", TITLES.rest, "Relax, talk or reach for things, but do not make a gesture: every activation counts as false.",
      [field("Seconds", seconds)], () => ({seconds: Number(seconds.value)}));
  }

  fittsForm() {
    const targets = number(8, 1, 100), seed = number(0, 0, 999999), dwell = number(0.5, 0, 5, 0.1), speed = number(0.4, 0.05, 3, 0.05);
    const control = h("select", {}, h("option", {value: "decoder"}, "gestures"), h("option", {value: "hand"}, "mouse or arrow keys"));
    this.ways = Object.fromEntries(WAYS.map((way) => [way, h("select", {"aria-label": `Gesture for ${way}`})]));
    return this.form("fitts", TITLES.fitts, "Move the cursor into the target and stay there. Run the same test with the mouse or the arrow keys as a control condition without the decoder.",
      [field("Targets", targets), field("Dwell time, s", dwell), field("Speed", speed, "half widths of the field per second"), field("Seed of the targets", seed), field("Control", control),
        ...WAYS.map((way) => field(way[0].toUpperCase() + way.slice(1), this.ways[way]))],
      () => ({targets: Number(targets.value), seed: Number(seed.value), dwell_s: Number(dwell.value), speed: Number(speed.value), control: control.value,
        directions: Object.fromEntries(WAYS.map((way) => [way, this.ways[way].value]))}));
  }

  directions(classes) {
    const gestures = classes.filter((name) => name !== "rest"), key = gestures.join();
    if (key === this.gestures) return;
    this.gestures = key;
    const free = new Set(gestures);
    const chosen = {};
    for (const way of WAYS) {
      chosen[way] = NATURAL[way].find((name) => free.has(name));
      free.delete(chosen[way]);
    }
    for (const way of WAYS) {
      chosen[way] ??= [...free][0] ?? gestures[0];
      free.delete(chosen[way]);
      this.ways[way].replaceChildren(...gestures.map((name) => h("option", {value: name, selected: name === chosen[way]}, plainName(name))));
    }
    document.querySelector("#start-fitts button").disabled = gestures.length < 4;
  }

  update(name, value) {
    const {decode, test} = this.shared.state;
    if (name === "decode" || name === "test") {
      this.none.hidden = Boolean(decode?.name) || Boolean(test?.running);
      this.choice.hidden = !decode?.name || Boolean(test?.running);
    }
    if (name === "decode") this.directions(value.classes);
    if (name !== "test") return;
    this.run.hidden = !value.running;
    const key = value.results.map((r) => r.number).join();
    if (key === this.key) return;
    this.key = key;
    this.results.replaceChildren(...value.results.map(card).reverse());
  }

  tick({test, decision}) {
    if (!test || this.panel.hidden) return;
    const cursor = test.kind === "fitts";
    this.stage.element.hidden = cursor;
    this.field.element.parentElement.hidden = !cursor;
    if (cursor) {
      this.field.show(test);
      text(this.fieldWords, test.phase === "ready" ? `Get ready: ${Math.ceil(test.left_s)}` : test.control === "hand" ? "Steer with the mouse or the arrow keys." : "Steer with your gestures.");
      text(this.progress, `${TITLES.fitts}: target ${Math.min(test.finished + 1, test.total)} of ${test.total}, ${test.completed} reached`);
    } else {
      this.stage.show({coming: null, finished: 0, total: 0, level: 0, shape: "hold", ...test});
      text(this.progress, test.total ? `${TITLES[test.kind]}: ${test.finished} of ${test.total}` : `${TITLES[test.kind]}: ${Math.ceil(test.left_s)} s left`);
    }
    text(this.decided, decision ? `decided: ${plainName(decision.output)}` : "");
  }
}

function number(value, low, high, step = 1) {
  return h("input", {type: "number", value: String(value), min: String(low), max: String(high), step: String(step), required: true});
}

const TILES = {
  motion: (m) => [tile("Settled accuracy", percent(m.settled_accuracy), "from half a second after each prompt"), tile("Overall accuracy", percent(1 - m.total_error), "including reaction times"),
    tile("Active error", percent(m.active_error), "wrong decisions other than rest"), tile("Onset delay", `${fixed(m.onset_delay.p50_ms)} ms`, "median, including reaction time"), tile("Missed", `${m.missed_activations} of ${m.contractions}`, "gestures"), tile("Latency p99", `${fixed(m.latency.p99_ms, 1)} ms`)],
  rest: ({false_activations: f, total_error: error}) => [tile("False activations", String(f.events), `in ${fixed(f.hours * 60, 1)} minutes`), tile("Per hour", fixed(f.per_hour, 1), `${fixed(f.low, 1)} to ${fixed(f.high, 1)} (95 %)`), tile("Wrong decisions", percent(error))],
  fitts: (m) => [tile("Reached", `${m.completed} of ${m.trials}`), tile("Throughput", `${fixed(m.throughput, 2)} bit/s`, `${fixed(m.throughput_with_dwell, 2)} with dwell time`), tile("Movement time", `${fixed(m.movement_s, 1)} s`, "mean, until the last entry"),
    tile("Path efficiency", percent(m.efficiency, 0)), tile("Overshoots", fixed(m.overshoots, 2), "per target"), tile("Time on difficulty", m.regression.slope === null ? "–" : `${fixed(m.regression.slope, 2)} s/bit`, m.regression.r2 === null ? "" : `R² ${fixed(m.regression.r2, 2)}`)],
};

/** A finished test. */
function card(result) {
  const {metrics, post, settings} = result, steered = settings.control === "hand" ? ", controlled by hand" : "";
  return h("section", {class: "card"},
    h("div", {class: "row middle spread"}, h("h2", {}, `${result.number}. ${TITLES[result.kind]}`), h("a", {href: `report/${result.number}${location.search}`, target: "_blank", rel: "noopener"}, "Report")),
    h("p", {class: "small soft"}, `${result.date}, ${result.name}${steered}, vote ${post.votes}, rejection ${post.threshold || "off"}, ${metrics.decisions} decisions`),
    h("div", {class: "tiles"}, TILES[result.kind](metrics)));
}
