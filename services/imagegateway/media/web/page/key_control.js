// @ts-check
/** The key: a form while the tab lacks one, then a button in the header. */

import { key, setKey } from "./api.js";
import { el, fill } from "./dom.js";

/**
 * Return a form that asks for a key.
 * @param {{problem: string, onKey: (key: string) => void}} options `problem`: why the present key doesn't serve
 * @returns {HTMLElement}
 */
export function keyForm({ problem, onKey }) {
  const input = el("input", {
    id: "key",
    type: "password",
    name: "key",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "igw_…",
    required: true,
    "aria-describedby": "key-hint",
  });
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    const value = input.value.trim();
    if (value) onKey(value);
  };
  return el(
    "form",
    { class: "card key-form", on: { submit } },
    el("h1", {}, "Make images with one API"),
    el("p", { class: "soft" }, "Paste the key that the gateway printed when it started, or one that its operator gave you."),
    el("label", { class: "field", for: "key" }, el("span", { class: "name" }, "API key"), input),
    el("p", { class: problem ? "hint bad" : "hint", id: "key-hint", role: "status" }, problem || "The key stays in this tab. Closing the tab forgets the key."),
    el("button", { class: "button primary", type: "submit" }, "Continue"),
  );
}

/**
 * Show the key's button in the header.
 * @param {HTMLElement} root @param {() => void} onForget
 */
export function showKeyButton(root, onForget) {
  const forget = () => {
    setKey("");
    onForget();
  };
  if (!key()) return fill(root);
  fill(root, el("button", { class: "button quiet", type: "button", title: "Forget the key of this tab", on: { click: forget } }, "Change key"));
}
