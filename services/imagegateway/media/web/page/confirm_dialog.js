// @ts-check
/** Modal question before an action that can't be undone. */

import { el } from "./dom.js";
import { showModal } from "./modal.js";

/**
 * Ask, and return true when the user confirms.
 * @param {{title: string, text: string, action: string}} question `action`: label of the confirming button.
 * @returns {Promise<boolean>}
 */
export function confirmed({ title, text, action }) {
  const dialog = el(
    "dialog",
    { class: "dialog card", "aria-labelledby": "question-title", "aria-describedby": "question-text" },
    el(
      "form",
      { method: "dialog", class: "stack" },
      el("h2", { id: "question-title" }, title),
      el("p", { id: "question-text", class: "soft" }, text),
      el(
        "div",
        { class: "actions end" },
        el("button", { class: "button", value: "" }, "Keep"),
        el("button", { class: "button danger", value: "confirmed" }, action),
      ),
    ),
  );
  document.body.append(dialog);
  showModal(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "confirmed");
    });
  });
}
