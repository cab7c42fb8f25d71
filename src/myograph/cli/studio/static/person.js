// The simulated person: the keys 1 to 9 perform gestures while held down, 0 is rest.
import {h, plainName} from "./dom.js";

export class Person {
  constructor(element, shared) {
    Object.assign(this, {element, shared, names: [], held: null});
    this.follow = h("input", {type: "checkbox", id: "follow", onchange: () => shared.ask("source.follow", {on: this.follow.checked})});
    this.keys = h("div", {class: "keys", role: "group", "aria-label": "Perform a gesture"});
    this.words = h("span", {class: "soft"}, "Simulated person");
    element.append(this.words, h("label", {class: "check"}, this.follow, "follows the prompts"), this.keys);
    addEventListener("keydown", (event) => this.key(event, true));
    addEventListener("keyup", (event) => this.key(event, false));
    addEventListener("blur", () => this.release());
  }

  update(name, source) {
    if (name === "record" || name === "decode") return this.list();
    if (name !== "source") return;
    this.element.hidden = !source.performs;
    this.follow.checked = source.follow;
    this.list();
    for (const button of this.keys.children) button.setAttribute("aria-pressed", String(button.dataset.gesture === source.performing));
  }

  /** The gestures of the decoder, or else of the plan, or else the default ones. */
  list() {
    const {source, decode, record} = this.shared.state;
    if (!source) return;
    const known = [decode?.classes, record?.plan?.gestures, source.usual].find((names) => names?.length) ?? [];
    const names = ["rest", ...known.filter((name) => name !== "rest")].slice(0, 10);
    if (names.join() === this.names.join()) return;
    this.names = names;
    this.keys.replaceChildren(...names.map((name, i) => h("button", {
      type: "button", "data-gesture": name, "aria-pressed": String(name === source.performing), onclick: () => this.perform(name),
    }, h("kbd", {}, String(i)), plainName(name))));
  }

  perform(name) {
    this.shared.ask("source.perform", {gesture: name});
  }

  key(event, down) {
    if (this.element.hidden || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, select, textarea") && event.target.type !== "checkbox") return;
    const name = this.names[Number(event.key)];
    if (!/^[0-9]$/.test(event.key) || name === undefined) return;
    if (down) { this.held = event.key; this.perform(name); }
    else if (this.held === event.key) this.release();
  }

  release() {
    if (this.held !== null) this.perform("rest");
    this.held = null;
  }
}
