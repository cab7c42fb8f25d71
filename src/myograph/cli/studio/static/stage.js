// The current prompt, as large as possible: the hand, the name of the gesture, and the remaining time.
import {h, plainName, s, text} from "./dom.js";
import {Hand} from "./hand.js";

export class Stage {
  constructor(say) {
    this.say = say;
    this.hand = new Hand();
    this.what = h("div", {class: "what"});
    this.next = h("div", {class: "next"});
    this.fill = h("i");
    this.bar = h("div", {class: "bar"}, this.fill);
    this.line = s("polyline", {fill: "none", stroke: "currentColor", "stroke-width": "2", opacity: "0.35"});
    this.ball = s("circle", {r: "6", fill: "var(--accent)"});
    this.ramp = s("svg", {class: "ramp", viewBox: "-8 -8 316 96", role: "img", "aria-label": "Prompted effort"}, this.line, this.ball);
    this.line.setAttribute("points", "0,80 105,0 195,0 300,80");
    this.element = h("div", {class: "stage"}, this.hand.element, this.what, this.ramp, this.bar, this.next);
  }

  /** prompt: the value of `prompt` in record.py. */
  show(prompt) {
    const {phase, gesture, coming, share, left_s: left} = prompt, active = phase === "hold";
    const over = prompt.finished >= prompt.total && prompt.total > 0;
    const seconds = Math.ceil(left);
    const soon = coming && !active && !over && (phase === "ready" || left < 1.2);
    this.hand.show(active ? gesture : soon ? coming : "rest");
    text(this.what, phase === "paused" ? "Paused" : active ? plainName(gesture) : phase === "ready" ? `Get ready: ${seconds}` : "Rest");
    text(this.next, phase === "paused" ? "Samples are not labelled during a pause." : active ? `${prompt.shape === "ramp" ? "follow the ramp" : "hold it"} for ${seconds} s` : over || !coming ? "" : `next: ${plainName(coming)}`);
    this.fill.style.width = `${100 * share}%`;
    this.bar.classList.toggle("calm", !active);
    this.ramp.style.visibility = active && prompt.shape === "ramp" ? "visible" : "hidden";
    this.ramp.style.display = prompt.shape === "ramp" ? "" : "none";
    this.ball.setAttribute("cx", 300 * share);
    this.ball.setAttribute("cy", 80 - 80 * prompt.level);
    const words = active ? plainName(gesture) : phase === "rest" ? "rest" : phase === "ready" && coming ? `get ready for ${plainName(coming)}` : phase;
    if (words !== this.words) { this.words = words; this.say(words); }
  }
}
