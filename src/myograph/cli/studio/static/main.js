// The page: tabs, the connection, and what all tabs share. All state comes from the server.
import {h, plainName, say, text} from "./dom.js";
import {Connection} from "./socket.js";
import {Signals} from "./signals.js";
import {Record} from "./record.js";
import {Train} from "./train.js";
import {Decode} from "./decode.js";
import {Test} from "./test.js";
import {Person} from "./person.js";

const TABS = [["signals", "Signals", Signals], ["record", "Record", Record], ["train", "Train", Train], ["decode", "Decode", Decode], ["test", "Test", Test]];
const state = {};
const panels = {};
let shown = "signals";
let hiding;

/** Send a command to the server, and show the error if it fails. */
function ask(name, values) {
  return connection.ask(name, values).then(() => true, (error) => { complain(error.message); return false; });
}

function complain(words) {
  const box = document.getElementById("message");
  text(box, words);
  box.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { box.hidden = true; }, 9000);
}

const shared = {ask, complain, state, go: show, say};
const tabs = document.getElementById("tabs");
for (const [name, title, Panel] of TABS) {
  const tab = h("button", {id: `tab-${name}`, type: "button", role: "tab", "aria-controls": `panel-${name}`, onclick: () => show(name)}, title);
  const panel = h("div", {id: `panel-${name}`, role: "tabpanel", "aria-labelledby": `tab-${name}`});
  panels[name] = new Panel(panel, shared);
  tabs.append(tab);
  document.getElementById("panels").append(panel);
}
const person = new Person(document.getElementById("person"), shared);

function show(name) {
  shown = panels[name] ? name : "signals";
  for (const [other] of TABS) {
    const tab = document.getElementById(`tab-${other}`);
    tab.setAttribute("aria-selected", String(other === shown));
    tab.tabIndex = other === shown ? 0 : -1;
    document.getElementById(`panel-${other}`).hidden = other !== shown;
  }
  if (location.hash.slice(1) !== shown) history.replaceState(null, "", `${location.pathname}${location.search}#${shown}`);
  panels[shown].shown?.();
}

tabs.addEventListener("keydown", (event) => {
  const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (!step) return;
  const names = TABS.map(([name]) => name);
  show(names[(names.indexOf(shown) + step + names.length) % names.length]);
  document.getElementById(`tab-${shown}`).focus();
  event.preventDefault();
});
addEventListener("hashchange", () => show(location.hash.slice(1)));

function status() {
  const box = document.getElementById("status"), source = state.source;
  const bad = !state.connected || (source && (source.state === "lost" || source.problem));
  box.classList.toggle("bad", Boolean(bad));
  if (!state.connected) return text(box, "no connection to the studio; is it still running?");
  if (!source) return text(box, "connecting");
  const facts = `${source.name}, ${source.n_channels} channels, ${source.rate_hz} Hz, ${source.unit}`;
  const lost = source.counts.lost + source.counts.filled;
  const words = {ended: `${facts}: the recording is over`, lost: `${source.name}: the connection was lost, reconnecting. ${source.problem}`}[source.state];
  text(box, words ?? `${facts}${lost ? `, ${lost} samples were missing` : ", no sample lost"}${source.problem ? `. ${source.problem}` : ""}`);
}

const connection = new Connection({
  part(name, value) {
    state[name] = value;
    status();
    for (const panel of Object.values(panels)) panel.update?.(name, value);
    person.update(name, value);
  },
  tick(tick) {
    state.tick = tick;
    for (const panel of Object.values(panels)) panel.tick?.(tick);
  },
  frame(data) { panels.signals.frame(data); },
  state(connected) { state.connected = connected; status(); },
});

show(location.hash.slice(1) || "signals");
document.documentElement.dataset.ready = plainName("ready");
