// @ts-check
/** Tables that scroll sideways where they are wider than the page, also by keyboard. */

import { el } from "./dom.js";

/**
 * Return a table in a region that scrolls.
 * @param {string} label name of the region @param {(Element | null)[]} head cells of the head
 * @param {HTMLTableSectionElement} body
 */
export function scrollTable(label, head, body) {
  return el(
    "div",
    { class: "table-scroll", tabindex: "0", role: "region", "aria-label": label },
    el("table", {}, el("thead", {}, el("tr", {}, head)), body),
  );
}
