// @ts-check
/** Times of the API, in the browser's language and time zone. */

import { el } from "./dom.js";

/** @param {number} seconds Unix seconds. */
export function timeElement(seconds) {
  const time = new Date(seconds * 1000);
  const text = time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  return el("time", { datetime: time.toISOString() }, text);
}
