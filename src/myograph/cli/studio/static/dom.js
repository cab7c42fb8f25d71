// Creates elements, and converts the server's names and numbers to text.

/** An element: h("p", {class: "soft", onclick: f}, "text", otherElement). */
export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && typeof value !== "string") made[key] = value;
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** An SVG element. */
export function s(tag, props = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(props)) made.setAttribute(key, value);
  made.append(...children.flat());
  return made;
}

/** Set an element's text only if it differs, so that screen readers do not repeat it. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** A label around a control. */
export function field(name, control, hint = "") {
  return h("label", {class: "field", title: hint}, name, control);
}

export const plainName = (name) => name.replaceAll("_", " ");
export const percent = (value, digits = 1) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(digits)} %`);
export const fixed = (value, digits = 0) => (value === null || value === undefined ? "–" : value.toFixed(digits));

/** A tile with a name and a value. */
export function tile(name, value, range = "") {
  return h("div", {class: "tile"}, h("div", {class: "name"}, name), h("div", {class: "value"}, value), h("div", {class: "range"}, range));
}

/** Announce a text to screen readers. */
export function say(words) {
  text(document.getElementById("spoken"), words);
}

/** Fit a canvas to device pixels; returns true if its size has changed. */
export function fit(canvas) {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (!width || !height || (canvas.width === width && canvas.height === height)) return false;
  canvas.width = width;
  canvas.height = height;
  return true;
}

/** The current colours of the page, light or dark. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return Object.fromEntries(["page", "card", "ink", "soft", "line", "row", "accent", "good", "bad", "warn", "trace"].map((name) => [name, of(name)]));
}
