// The connection to the server. It reconnects automatically; the server then sends the whole state.

export class Connection {
  constructor({part, tick, frame, state}) {
    Object.assign(this, {part, tick, frame, state, asked: new Map(), number: 0, wait: 500});
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/live${location.search}`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => { this.wait = 500; this.state(true); };
    this.socket.onmessage = ({data}) => (typeof data === "string" ? this.text(JSON.parse(data)) : this.frame(data));
    this.socket.onclose = () => {
      for (const {reject} of this.asked.values()) reject(new Error("the connection to the studio was lost"));
      this.asked.clear();
      this.state(false);
      setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(2 * this.wait, 5000);
    };
  }

  text(message) {
    if ("part" in message) this.part(message.part, message.value);
    else if ("tick" in message) this.tick(message.tick);
    else {
      const id = "done" in message ? message.done : message.id;
      const {resolve, reject} = this.asked.get(id) ?? {resolve() {}, reject() {}};
      this.asked.delete(id);
      if ("error" in message) reject(new Error(message.error));
      else resolve();
    }
  }

  /** Ask the server to do something; the promise fails with its reason. */
  ask(name, values = {}) {
    return new Promise((resolve, reject) => {
      if (this.socket.readyState !== WebSocket.OPEN) return reject(new Error("there is no connection to the studio; is it still running?"));
      const id = ++this.number;
      this.asked.set(id, {resolve, reject});
      this.socket.send(JSON.stringify({do: name, with: values, id}));
    });
  }
}
