// Training: settings, audited scores with confusion matrices, and saving the decoder.
import {field, h, percent, plainName, s, text, tile} from "./dom.js";

export class Train {
  constructor(panel, shared) {
    Object.assign(this, {panel, shared});
    this.method = h("select", {name: "method"});
    this.about = h("p", {class: "small soft about"});
    this.method.addEventListener("change", () => this.describe());
    this.length = h("input", {type: "number", min: "50", max: "1000", step: "10", value: "200"});
    this.step = h("input", {type: "number", min: "10", max: "500", step: "5", value: "50"});
    this.band = h("input", {type: "checkbox", checked: true});
    this.sessions = h("div", {class: "row"});
    this.button = h("button", {class: "do main", type: "submit"}, "Train and score");
    this.fill = h("i");
    this.bar = h("div", {class: "bar slow", hidden: true}, this.fill);
    this.words = h("p", {class: "small soft", role: "status"});
    this.scores = h("div", {class: "two"});
    this.name = h("input", {value: "hand", maxlength: "40", pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]*", required: true});
    this.save = h("section", {class: "card", hidden: true}, h("h2", {}, "Save the decoder"),
      h("p", {class: "small soft"}, "The decoder is fitted on all sessions that you chose. The scores above were measured on held-out repetitions, with copies of the method that were not trained on them. The scores are stored in the file."),
      h("form", {class: "row", onsubmit: (event) => { event.preventDefault(); this.keep(); }}, field("Name", this.name), h("button", {class: "do main", type: "submit"}, "Save and decode")));
    panel.append(
      h("section", {class: "card"}, h("h2", {}, "Train a decoder"), h("form", {onsubmit: (event) => { event.preventDefault(); this.start(); }},
        h("fieldset", {}, h("legend", {}, "Sessions"), this.sessions),
        h("fieldset", {}, h("legend", {}, "Method and windows"), h("div", {class: "row"}, field("Method", this.method), field("Window, ms", this.length), field("Step, ms", this.step),
          h("label", {class: "check"}, this.band, "band-pass, 20 to 450 Hz")), this.about),
        h("div", {class: "row middle"}, this.button)), h("p"), this.bar, this.words),
      this.scores, this.save);
  }

  describe() {
    const found = this.shared.state.train?.methods.find((m) => m.name === this.method.value);
    text(this.about, found ? found.summary : "");
  }

  update(name, value) {
    if (name === "record") this.list(value.sessions);
    if (name !== "train") return;
    if (!this.method.options.length) {
      this.method.append(...value.methods.map((m) => h("option", {value: m.name, selected: m.name === value.default}, m.name)));
      this.describe();
    }
    const working = value.state === "working", {what, done, total} = value.progress;
    this.button.disabled = working;
    this.bar.hidden = !working;
    this.fill.style.width = `${100 * done / Math.max(total, 1)}%`;
    const states = {idle: "", working: `${what} …`, failed: `Training failed: ${value.problem}`, done: value.saved ? `Saved as ${value.saved}.` : "Scored, and fitted on everything that you chose."};
    text(this.words, states[value.state]);
    this.save.hidden = !value.ready;
    const key = JSON.stringify([value.scores, value.skipped]);
    if (key === this.key) return;
    this.key = key;
    this.scores.replaceChildren(...value.scores.map((score) => card(score, value.settings)),
      ...Object.entries(value.skipped).map(([question, why]) => h("p", {class: "small soft"}, `Not scored on ${plainName(question)}: ${why}`)));
  }

  list(sessions) {
    const usable = sessions.filter((r) => r.finished > 0), key = usable.map((r) => `${r.subject}/${r.session}/${r.finished}`).join();
    if (key === this.known) return;
    this.known = key;
    this.sessions.replaceChildren(...(usable.length ? usable.map((r) => h("label", {class: "check"}, h("input", {type: "checkbox", checked: true, "data-subject": r.subject, "data-session": r.session}), `${r.subject}, session ${r.session} (${r.finished} repetitions)`))
      : [h("span", {class: "soft"}, "Nothing is recorded yet.")]));
  }

  start() {
    const boxes = [...this.sessions.querySelectorAll("input:checked")];
    this.shared.ask("train.start", {
      method: this.method.value, length_ms: Number(this.length.value), step_ms: Number(this.step.value), band: this.band.checked,
      sessions: boxes.map((box) => [box.dataset.subject, box.dataset.session]),
    });
  }

  async keep() {
    if (await this.shared.ask("train.save", {name: this.name.value})) this.shared.go("decode");
  }
}

function card(score, settings) {
  const spread = score.accuracy.n > 1 ? `± ${(100 * score.accuracy.std).toFixed(1)} over ${score.accuracy.n} ${score.over}s` : "";
  return h("section", {class: "card"},
    h("div", {class: "row middle spread"}, h("h2", {}, `Score on ${plainName(score.question)}`), h("span", {class: score.audit ? "badge good" : "badge bad"}, score.audit ? "audit passed" : "audit failed")),
    h("p", {class: "small soft"}, `${settings.method}, windows of ${settings.length_ms} ms every ${settings.step_ms} ms. ${capital(score.words)}.`),
    h("div", {class: "tiles"}, tile("Accuracy", percent(score.accuracy.mean), spread), tile("Class-balanced accuracy", percent(score.balanced.mean)), tile("Chance", percent(score.chance), "the most frequent class")),
    score.notes.map((note) => h("p", {class: "small soft"}, note)),
    matrix(score));
}

const capital = (words) => words[0].toUpperCase() + words.slice(1);

/** A confusion matrix: rows are true labels. */
function matrix({labels, share, counts}) {
  const size = 46, left = 118, top = 92, n = labels.length, short = (name) => (name.length > 17 ? `${name.slice(0, 16)}…` : name);
  const cells = share.flatMap((row, i) => row.map((v, j) => {
    const cell = s("rect", {class: `cell ${i === j ? "correct" : "wrong"}`, x: left + j * size, y: top + i * size, width: size - 2, height: size - 2, rx: 5});
    cell.style.setProperty("--v", v);
    cell.append(s("title", {}, `${plainName(labels[i])}, decided as ${plainName(labels[j])}: ${counts[i][j]} windows`));
    return v < 0.005 ? [cell] : [cell, s("text", {class: `pct${i === j && v > 0.45 ? " on" : ""}`, x: left + (j + 0.5) * size - 1, y: top + (i + 0.5) * size + 3, "text-anchor": "middle"}, (100 * v).toFixed(0))];
  }));
  const names = labels.flatMap((name, i) => [
    s("text", {x: left - 8, y: top + (i + 0.5) * size + 3, "text-anchor": "end"}, short(plainName(name))),
    s("text", {x: 0, y: 0, transform: `translate(${left + (i + 0.5) * size},${top - 8}) rotate(-42)`}, short(plainName(name)))]);
  const picture = s("svg", {class: "chart matrix", viewBox: `0 0 ${left + n * size + 46} ${top + n * size + 18}`, role: "img", "aria-label": "Confusion matrix in percent: rows are true classes, columns are predicted classes"},
    cells.flat(), names, s("text", {class: "tick", x: left, y: top + n * size + 13}, "Rows: true class. Columns: predicted class. Values in % of the row."));
  return picture;
}
