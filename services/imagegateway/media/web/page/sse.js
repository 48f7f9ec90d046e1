// @ts-check
/** Parser of server-sent events, for streams that `fetch` reads with the key in a header. */

/** @typedef {{id: string, event: string, data: string}} ServerEvent */

/** Parse text that arrives in pieces. */
export class EventParser {
  constructor() {
    this.rest = "";
    this.lastId = "";
    this.event = "";
    /** @type {string[]} */
    this.data = [];
  }

  /**
   * Return the events that `text` completes.
   * @param {string} text @returns {ServerEvent[]}
   */
  push(text) {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.line(line));
  }

  /** @param {string} line @returns {ServerEvent[]} */
  line(line) {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "id") this.lastId = value;
    else if (name === "event") this.event = value;
    else if (name === "data") this.data.push(value);
    return [];
  }

  /** @returns {ServerEvent[]} */
  dispatch() {
    const event = { id: this.lastId, event: this.event || "message", data: this.data.join("\n") };
    const complete = this.data.length > 0;
    this.event = "";
    this.data = [];
    return complete ? [event] : [];
  }
}
