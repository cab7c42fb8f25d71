// The field of a Fitts' law test: target, cursor, and dwell time. It can also be controlled by hand.
import {colours, fit, h} from "./dom.js";

const KEYS = {ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};

export class Field {
  constructor(shared) {
    Object.assign(this, {shared, held: new Set(), pointer: null, steered: "0,0"});
    this.element = h("canvas", {class: "field", tabindex: "0", role: "img", "aria-label": "Cursor and target"});
    this.element.addEventListener("pointermove", (event) => {
      const box = this.element.getBoundingClientRect();
      this.pointer = [2 * (event.clientX - box.left) / box.width - 1, 1 - 2 * (event.clientY - box.top) / box.height];
    });
    this.element.addEventListener("pointerleave", () => { this.pointer = null; });
    addEventListener("keydown", (event) => {
      if (!(event.key in KEYS) || !this.active) return;
      this.held.add(event.key);
      this.pointer = null;
      event.preventDefault();
    });
    addEventListener("keyup", (event) => this.held.delete(event.key));
  }

  /** test: the value of CursorTest.tick. */
  show(test) {
    this.active = test.control === "hand";
    if (this.active) this.steer(test);
    fit(this.element);
    const context = this.element.getContext("2d"), {width, height} = this.element, c = colours();
    const at = ([x, y]) => [width * (x + 1) / 2, height * (1 - y) / 2], line = Math.max(2, width / 260);
    context.clearRect(0, 0, width, height);
    context.strokeStyle = c.line;
    context.lineWidth = line / 2;
    for (const [a, b] of [[[-1, 0], [1, 0]], [[0, -1], [0, 1]]]) {
      context.beginPath();
      context.moveTo(...at(a));
      context.lineTo(...at(b));
      context.stroke();
    }
    if (test.target && test.phase !== "ready") {
      const [x, y, size] = test.target, radius = size * width / 4;
      const inside = Math.hypot(test.x - x, test.y - y) <= size / 2;
      context.beginPath();
      context.arc(...at([x, y]), radius, 0, 2 * Math.PI);
      context.globalAlpha = inside ? 0.3 : 0.16;
      context.fillStyle = inside ? c.good : c.accent;
      context.fill();
      context.globalAlpha = 1;
      context.strokeStyle = inside ? c.good : c.accent;
      context.lineWidth = line;
      context.stroke();
      if (test.dwelt > 0) {
        context.beginPath();
        context.arc(...at([x, y]), radius + 2 * line, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * test.dwelt);
        context.lineWidth = 2 * line;
        context.stroke();
      }
    }
    context.beginPath();
    context.arc(...at([test.x, test.y]), Math.max(5, width / 75), 0, 2 * Math.PI);
    context.fillStyle = c.ink;
    context.fill();
    context.strokeStyle = c.page;
    context.lineWidth = line;
    context.stroke();
  }

  steer(test) {
    let x = 0, y = 0;
    if (this.pointer) [x, y] = [4 * (this.pointer[0] - test.x), 4 * (this.pointer[1] - test.y)];
    for (const key of this.held) { x += KEYS[key][0]; y += KEYS[key][1]; }
    const limit = (v) => Math.round(100 * Math.max(-1, Math.min(1, v))) / 100, key = `${limit(x)},${limit(y)}`;
    if (key === this.steered) return;
    this.steered = key;
    this.shared.ask("test.steer", {x: limit(x), y: limit(y)});
  }
}
