// A right hand seen from the palm: a small 3D skeleton, drawn as strokes. A pose is a few numbers, so that the hand
// can move from one to another.
import {s} from "./dom.js";

const FINGERS = ["index", "middle", "ring", "little"];
const BASES = [[19, 36, 0], [6.5, 40, 0], [-6.5, 38, 0], [-19, 31, 0]];
const LENGTHS = [[25, 16, 12], [28, 18, 13], [26, 17, 12], [20, 13, 11]];
const FAN = [-0.12, -0.02, 0.09, 0.2];
const VIEW = [0.16, -0.42];
const REST = {flex: [0.2, 0.22, 0.25, 0.28], spread: 0.5, thumb: 0.3, across: 0.2, wrist: 0, side: 0, roll: 0, turn: 0};
const fist = [1, 1, 1, 1], straight = [0, 0, 0, 0];

const POSES = {
  rest: {},
  hand_close: {flex: fist, spread: 0, thumb: 0.9, across: 0.9},
  hand_open: {flex: straight, spread: 1.5, thumb: 0, across: -0.35},
  wrist_flexion: {wrist: 1}, wrist_extension: {wrist: -1},
  radial_deviation: {side: 1}, ulnar_deviation: {side: -1},
  pronation: {roll: 1}, supination: {roll: -0.75},
  pinch_grip: {flex: [0.52, 0.16, 0.2, 0.25], thumb: 0.42, across: 0.62},
  chuck_grip: {flex: [0.52, 0.55, 0.25, 0.3], thumb: 0.45, across: 0.8},
  pointing: {flex: [0, 1, 1, 1], spread: 0, thumb: 0.85, across: 0.8},
  thumb_up: {flex: fist, spread: 0, thumb: 0, across: -0.3, turn: 0.8},
  fingers_abducted: {flex: straight, spread: 1.8, thumb: 0, across: -0.3},
  fingers_adducted: {flex: straight, spread: 0, thumb: 0, across: 0.1},
};
POSES.fist = POSES.hand_close;
POSES.pointing_index = POSES.pointing;
FINGERS.forEach((name, i) => {
  POSES[`${name}_flexion`] = {flex: REST.flex.map((f, k) => (k === i ? 0.95 : f * 0.4))};
  POSES[`${name}_extension`] = {flex: fist.map((f, k) => (k === i ? 0 : 0.75)), thumb: 0.6, across: 0.6};
});
POSES.thumb_flexion = {thumb: 0.9, across: 0.8};
POSES.thumb_extension = {thumb: 0, across: -0.6};

/** The pose of a gesture; that of rest for a gesture without a picture. */
export function pose(gesture) {
  return {...REST, ...POSES[gesture]};
}

/** Whether a gesture has its own picture. */
export const isDrawn = (gesture) => gesture in POSES;

const turnX = ([x, y, z], a) => [x, y * Math.cos(a) - z * Math.sin(a), y * Math.sin(a) + z * Math.cos(a)];
const turnY = ([x, y, z], a) => [x * Math.cos(a) + z * Math.sin(a), y, -x * Math.sin(a) + z * Math.cos(a)];
const turnZ = ([x, y, z], a) => [x * Math.cos(a) - y * Math.sin(a), x * Math.sin(a) + y * Math.cos(a), z];
const add = (a, b) => a.map((v, i) => v + b[i]);

function finger(i, p) {
  const points = [BASES[i]];
  const bends = [1.35, 1.65, 1.0];
  let bent = 0;
  LENGTHS[i].forEach((length, k) => {
    bent += bends[k] * p.flex[i];
    const along = turnZ(turnX([0, length, 0], bent), FAN[i] * (0.35 + p.spread));
    points.push(add(points[k], along));
  });
  return points;
}

function thumb(p) {
  const points = [[17, -22, 5]];
  let lift = 0.35 + 0.75 * Math.max(p.across, 0), bent = -0.85 + 0.75 * p.across;
  [24, 19, 14].forEach((length, k) => {
    bent += k ? 0.55 * p.thumb : 0;
    const flat = turnZ([0, length, 0], bent);
    points.push(add(points[k], [flat[0] * Math.cos(lift * 0.8), flat[1], length * Math.sin(lift) * 0.75]));
  });
  return points;
}

/** All parts as {points, width, full} in view coordinates, the farthest first. */
function parts(p) {
  const palm = [[21, 36, 0], [7, 41, 0], [-7, 39, 0], [-20, 30, 0], [-16, -34, 0], [13, -34, 0]];
  const wrist = [0, -42, 0];
  const bend = (q) => turnX(turnZ(add(q, [0, 42, 0]), -0.5 * p.side), 1.05 * p.wrist);
  const place = (q) => {
    const turned = turnY(add(bend(q), wrist), 1.5 * p.roll);
    return turnZ(turnX(turnY(turned, VIEW[1]), VIEW[0]), p.turn);
  };
  const still = (q) => turnZ(turnX(turnY(turnY(q, 0.5 * p.roll), VIEW[1]), VIEW[0]), p.turn);
  const made = [
    {name: "sleeve", points: [[-15, -84, 0], [-17, -118, 0], [17, -118, 0], [15, -84, 0]].map(still), width: 11, full: true, depth: -60},
    {name: "arm", points: [[-12, -40, 0], [-15, -96, 0], [15, -96, 0], [12, -40, 0]].map(still), width: 9, full: true, depth: -61},
    {name: "palm", points: palm.map(place), width: 13, full: true},
    {name: "thumb", points: thumb(p).map(place), width: 14.5},
    ...FINGERS.map((name, i) => ({name, points: finger(i, p).map(place), width: 12.5 - (i === 3 ? 1.5 : 0)})),
  ];
  for (const part of made) part.depth ??= part.points.reduce((sum, q) => sum + q[2], 0) / part.points.length;
  const bottom = made.splice(0, 2);
  return [bottom[1], bottom[0], ...made.sort((a, b) => a.depth - b.depth)];
}

/** A drawn hand. `show(gesture)` moves it to the gesture's pose; `set(gesture)` sets the pose at once. */
export class Hand {
  constructor(gesture = "rest") {
    this.element = s("svg", {class: "hand", viewBox: "-86 -112 172 228", "aria-hidden": "true"});
    this.paths = new Map();
    this.now = pose(gesture);
    this.goal = this.now;
    this.draw();
  }

  set(gesture) {
    this.now = this.goal = pose(gesture);
    this.draw();
  }

  show(gesture) {
    if (gesture === this.gesture) return;
    this.gesture = gesture;
    this.goal = pose(gesture);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.set(gesture);
    if (!this.moving) this.move(performance.now());
  }

  move(before) {
    this.moving = true;
    requestAnimationFrame((time) => {
      const share = 1 - Math.exp(-(time - before) / 70);
      let far = 0;
      const step = (a, b) => { far = Math.max(far, Math.abs(b - a)); return a + (b - a) * share; };
      const next = {};
      for (const key of Object.keys(this.now)) {
        next[key] = key === "flex" ? this.now.flex.map((f, i) => step(f, this.goal.flex[i])) : step(this.now[key], this.goal[key]);
      }
      this.now = far < 0.004 ? this.goal : next;
      this.draw();
      if (far < 0.004) this.moving = false;
      else this.move(time);
    });
  }

  draw() {
    for (const {name, points, width, full} of parts(this.now)) {
      if (!this.paths.has(name)) {
        const kind = `${full ? " full" : ""}${name === "sleeve" ? " sleeve" : ""}`;
        this.paths.set(name, [s("path", {class: `edge${kind}`}), s("path", {class: `skin${kind}`})]);
      }
      const d = "M" + points.map(([x, y, z]) => `${(x * (1 + z / 500)).toFixed(1)} ${(-y * (1 + z / 500)).toFixed(1)}`).join("L") + (full ? "Z" : "");
      const [edge, skin] = this.paths.get(name);
      edge.setAttribute("d", d);
      skin.setAttribute("d", d);
      edge.setAttribute("stroke-width", width + 2.4);
      skin.setAttribute("stroke-width", width);
      this.element.append(edge, skin);
    }
  }
}
