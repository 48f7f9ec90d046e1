// @ts-check
/** Source code of the form's call in several languages, in tabs. */

import { key } from "./api.js";
import { copyButton } from "./clipboard.js";
import { el } from "./dom.js";
import { LANGUAGES } from "./snippets.js";

const CHOICE = "imagegateway.language";
let panels = 0;

/** Panel of snippets. `refresh` after each change of the form. */
export class SnippetPanel {
  /** @param {() => import("./snippets.js").ApiCall} apiCall */
  constructor(apiCall) {
    this.apiCall = apiCall;
    const id = `snippets-${++panels}`;
    this.chosen = Math.max(0, LANGUAGES.findIndex((language) => language.id === sessionStorage.getItem(CHOICE)));
    this.code = el("code");
    this.setup = el("p", { class: "hint" });
    this.withKey = el("input", { type: "checkbox", on: { change: () => this.refresh() } });
    this.tabs = LANGUAGES.map(({ label }, index) =>
      el("button", { id: `${id}-tab-${index}`, class: "tab", type: "button", role: "tab", "aria-controls": id, on: { click: () => this.choose(index) } }, label),
    );
    const onKey = (/** @type {KeyboardEvent} */ event) => this.onKey(event);
    this.panel = el("div", { id, role: "tabpanel" }, el("pre", { tabindex: "0", "aria-label": "Source code" }, this.code), this.setup);
    this.element = el(
      "details",
      { class: "snippets", on: { toggle: () => this.refresh() } },
      el("summary", {}, "The same call as code"),
      el("div", { class: "tabs", role: "tablist", "aria-label": "Language", on: { keydown: onKey } }, this.tabs),
      this.panel,
      el(
        "div",
        { class: "actions" },
        copyButton("Copy", () => this.code.textContent ?? ""),
        el("label", { class: "check" }, this.withKey, "Show my key"),
      ),
    );
    this.choose(this.chosen);
  }

  /** Show the source code of the present call. */
  refresh() {
    if (!this.element.open) return;
    const language = LANGUAGES[this.chosen];
    const target = { origin: location.origin, key: this.withKey.checked ? key() : undefined };
    this.code.textContent = language.render(this.apiCall(), target);
    this.setup.textContent = language.setup;
    this.setup.hidden = !language.setup;
  }

  /** @param {number} index */
  choose(index) {
    this.chosen = index;
    sessionStorage.setItem(CHOICE, LANGUAGES[index].id);
    this.tabs.forEach((tab, number) => {
      tab.setAttribute("aria-selected", String(number === index));
      tab.tabIndex = number === index ? 0 : -1;
    });
    this.panel.setAttribute("aria-labelledby", this.tabs[index].id);
    this.refresh();
  }

  /** Move between tabs by arrow keys. @param {KeyboardEvent} event */
  onKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    this.choose((this.chosen + step + LANGUAGES.length) % LANGUAGES.length);
    this.tabs[this.chosen].focus();
  }
}
