// Screen-guided recording: the plan, then the prompts, then the list of sessions.
import {field, fixed, h, plainName, text} from "./dom.js";
import {Hand, isDrawn} from "./hand.js";
import {Stage} from "./stage.js";

export class Record {
  constructor(panel, shared) {
    Object.assign(this, {panel, shared, chosen: null, own: []});
    this.form = this.makeForm();
    this.stage = new Stage(shared.say);
    this.progress = h("p", {class: "soft number"});
    this.overall = h("i");
    this.pause = h("button", {class: "do", type: "button", onclick: () => shared.ask(shared.state.record.phase === "paused" ? "record.resume" : "record.pause")}, "Pause");
    this.run = h("section", {class: "card", hidden: true},
      h("div", {class: "row middle spread"}, this.progress, h("div", {class: "row tools"}, this.pause,
        h("button", {class: "do", type: "button", onclick: () => shared.ask("record.undo")}, "Undo a repetition"),
        h("button", {class: "do stop", type: "button", onclick: () => shared.ask("record.stop")}, "Stop"))),
      h("div", {class: "bar slow"}, this.overall), this.stage.element);
    this.done = h("section", {class: "card", hidden: true});
    this.sessions = h("section", {class: "card"});
    panel.append(this.run, this.done, this.form, this.sessions);
  }

  makeForm() {
    const number = (name, value, low, high, step = 1) => h("input", {type: "number", name, value: String(value), min: String(low), max: String(high), step: String(step), required: true});
    this.gestures = h("div", {class: "gestures"});
    this.name = h("input", {name: "own", placeholder: "another gesture", "aria-label": "Name of another gesture", maxlength: "40"});
    this.length = h("span", {class: "small soft"});
    const add = h("button", {class: "do", type: "button", onclick: () => this.add()}, "Add");
    this.name.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); this.add(); } });
    const form = h("form", {class: "card-form", onsubmit: (event) => { event.preventDefault(); this.start(); }, oninput: () => this.count()},
      h("fieldset", {}, h("legend", {}, "Person and session"), h("div", {class: "row"},
        field("Person", h("input", {name: "subject", onchange: () => this.suggest(), value: "me", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]*", maxlength: "40"}), "letters, digits, - and _"),
        field("Session", h("input", {name: "session", value: "1", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]*", maxlength: "40"}), "letters, digits, - and _"))),
      h("fieldset", {}, h("legend", {}, "Gestures"), this.gestures, h("div", {class: "row own"}, this.name, add)),
      h("fieldset", {}, h("legend", {}, "Prompts"), h("div", {class: "row"},
        field("Repetitions", number("repetitions", 3, 2, 100)),
        field("Hold, s", number("hold_s", 3, 1, 60, 0.5)),
        field("Rest, s", number("rest_s", 2, 1, 60, 0.5)),
        field("Shape", h("select", {name: "shape"}, h("option", {value: "hold"}, "hold"), h("option", {value: "ramp"}, "ramp up and down"))),
        field("Seed of the order", number("seed", 0, 0, 999999)))),
      h("div", {class: "row middle"}, h("button", {class: "do main", type: "submit"}, "Start recording"), this.length));
    return h("section", {class: "card"}, h("h2", {}, "Record gestures"),
      h("p", {class: "soft small"}, "You are prompted for one gesture after another, in a random order that the seed determines. Samples are written to disk as they arrive. You can pause, and undo a repetition that went wrong."), form);
  }

  add() {
    const name = this.name.value.trim().toLowerCase().replace(/\s+/g, "_");
    if (!name || name === "rest") return;
    if (!this.names.includes(name)) this.own.push(name);
    this.chosen.add(name);
    this.name.value = "";
    this.list();
  }

  get names() { return [...this.shared.state.source.gestures, ...this.own]; }

  list() {
    this.gestures.replaceChildren(...this.names.map((name) => h("button", {
      class: "gesture", type: "button", "aria-pressed": String(this.chosen.has(name)),
      onclick: (event) => {
        if (!this.chosen.delete(name)) this.chosen.add(name);
        event.currentTarget.setAttribute("aria-pressed", String(this.chosen.has(name)));
        this.count();
      },
    }, new Hand(isDrawn(name) ? name : "rest").element, plainName(name))));
    this.count();
  }

  values() {
    const data = new FormData(this.form.querySelector("form")), number = (name) => Number(data.get(name));
    return {
      subject: data.get("subject"), session: data.get("session"),
      plan: {
        gestures: this.names.filter((name) => this.chosen.has(name)), repetitions: number("repetitions"), hold_s: number("hold_s"),
        rest_s: number("rest_s"), shape: data.get("shape"), seed: number("seed"),
      },
    };
  }

  count() {
    const {plan} = this.values(), n = plan.gestures.length * plan.repetitions;
    const seconds = 3 + n * (plan.hold_s + plan.rest_s);
    text(this.length, n ? `${n} prompts, ${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s` : "Choose a gesture.");
  }

  start() {
    const values = this.values();
    if (!values.plan.gestures.length) return this.shared.complain("Choose at least one gesture.");
    this.shared.ask("record.start", values);
  }

  update(name, record) {
    if (name === "source" && !this.chosen) {
      this.chosen = new Set(record.usual);
      this.list();
    }
    if (name !== "record") return;
    this.run.hidden = !record.running;
    this.form.hidden = record.running;
    text(this.pause, record.phase === "paused" ? "Resume" : "Pause");
    text(this.progress, `${record.subject}, session ${record.session}: ${record.finished} of ${record.total} repetitions`);
    this.overall.style.width = `${100 * record.finished / Math.max(record.total, 1)}%`;
    this.finish(record);
    this.table(record);
    if (record.problem) this.shared.complain(record.problem);
  }

  /** After the last prompt: what was recorded, and the next step. */
  finish(record) {
    const over = !record.running && record.total > 0;
    this.done.hidden = !over;
    if (over && this.was) {
      this.done.replaceChildren(h("h2", {}, `${record.finished} of ${record.total} repetitions are recorded`),
        h("p", {class: "small soft"}, record.dataset ? `All sessions are in ${record.dataset}, which \`myograph run --dataset\` reads.` : "Nothing is labelled yet."),
        h("button", {class: "do main", type: "button", onclick: () => this.shared.go("train")}, "Train on it"));
    } else if (over && !this.done.childElementCount) this.done.hidden = true;
    this.was = record.running;
  }

  /** An existing session cannot be started again: propose the first free number. */
  suggest() {
    const {subject, session} = this.form.querySelector("form").elements;
    const taken = new Set(this.shared.state.record.sessions.filter((r) => r.subject === subject.value).map((r) => r.session));
    if (document.activeElement === session || !taken.has(session.value)) return;
    let n = 1;
    while (taken.has(String(n))) n++;
    session.value = String(n);
  }

  table(record) {
    const key = JSON.stringify(record.sessions);
    if (key === this.key) return;
    this.key = key;
    this.suggest();
    const rows = record.sessions.map((r) => h("tr", {}, h("td", {}, r.subject), h("td", {}, r.session), h("td", {}, `${r.finished} of ${r.total}`),
      h("td", {}, r.running ? "running" : r.finished < r.total ? h("button", {class: "do", type: "button", onclick: () => this.shared.ask("record.again", {subject: r.subject, session: r.session})}, "Resume") : "complete"),
      h("td", {}, fixed(r.seconds)), h("td", {}, r.gestures.map(plainName).join(", ") || "–")));
    this.sessions.replaceChildren(h("h2", {}, "Sessions"), rows.length
      ? h("div", {class: "scroll"}, h("table", {}, h("thead", {}, h("tr", {}, ["person", "session", "repetitions", "state", "seconds", "gestures"].map((t) => h("th", {}, t)))), h("tbody", {}, rows)))
      : h("p", {class: "soft small"}, "There are none yet."));
  }

  tick({record}) {
    if (record && !this.panel.hidden) this.stage.show(record);
  }
}
