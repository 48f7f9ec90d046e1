// @ts-check
/** Copying to the clipboard, which browsers allow on https and localhost only. */

import { announce, el } from "./dom.js";

const SHOWN_MS = 1500;

/**
 * Return a button that copies a text. Without access to the clipboard the button is hidden.
 * @param {string} label @param {() => string | Promise<string>} text
 */
export function copyButton(label, text) {
  const button = el("button", { class: "button small", type: "button", hidden: !navigator.clipboard }, label);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(await text());
    button.textContent = "Copied";
    announce("Copied");
    setTimeout(() => {
      button.textContent = label;
    }, SHOWN_MS);
  });
  return button;
}
