// @ts-check
/** Choice of a model: a button that opens a dialog with search and a list. */

import { announce, el, fill } from "./dom.js";
import { showModal } from "./modal.js";
import { capabilityTags, modelLine, modelNotice } from "./model_facts.js";
import { orderModels, readyText, searchModels } from "./model_search.js";
import { priceText } from "./money.js";

/** @typedef {import("./models.js").Model} Model */

/**
 * @typedef {object} PickerOptions
 * @property {string} label
 * @property {Model[]} models Models to choose from.
 * @property {string} selected Id of the chosen model.
 * @property {string} [defaultId] Id of the API's own default, which comes first.
 * @property {(id: string) => void} onChange
 */

let pickers = 0;

/** Model picker. `element` goes into a form; `show` changes models or choice. */
export class ModelPicker {
  /** @param {PickerOptions} options */
  constructor(options) {
    this.options = options;
    this.id = `model-picker-${++pickers}`;
    /** @type {Model[]} */
    this.found = [];
    this.active = 0;
    this.button = el("button", {
      class: "model-button",
      type: "button",
      "aria-haspopup": "dialog",
      on: { click: () => this.open() },
    });
    this.element = el(
      "div",
      { class: "field" },
      el("span", { class: "name", id: `${this.id}-label` }, options.label),
      this.button,
    );
    this.search = el("input", {
      type: "search",
      role: "combobox",
      placeholder: "Name, provider or capability",
      autocomplete: "off",
      spellcheck: "false",
      "aria-label": "Search models",
      "aria-expanded": "true",
      "aria-autocomplete": "list",
      "aria-controls": `${this.id}-list`,
      on: { input: () => this.filter(), keydown: (/** @type {KeyboardEvent} */ event) => this.onKey(event) },
    });
    this.count = el("p", { class: "hint", role: "status" });
    this.list = el("ul", { class: "model-options", role: "listbox", id: `${this.id}-list`, "aria-label": "Models" });
    this.dialog = el(
      "dialog",
      { class: "dialog card model-dialog", "aria-label": options.label, on: { click: (/** @type {Event} */ event) => this.onBackdrop(event) } },
      el(
        "div",
        { class: "stack" },
        el(
          "div",
          { class: "model-search field" },
          this.search,
          el("button", { class: "button small", type: "button", on: { click: () => this.dialog.close() } }, "Close"),
        ),
        this.count,
        this.list,
      ),
    );
    this.element.append(this.dialog);
    this.showChoice();
  }

  /**
   * Change the options that are given.
   * @param {Partial<PickerOptions>} options
   */
  show(options) {
    this.options = { ...this.options, ...options };
    this.showChoice();
  }

  showChoice() {
    const model = this.options.models.find(({ id }) => id === this.options.selected);
    const price = model ? priceText(model.pricing) : "";
    this.button.setAttribute("aria-labelledby", `${this.id}-label ${this.id}-choice`);
    fill(
      this.button,
      el("span", { id: `${this.id}-choice`, class: "model-name" }, this.options.selected || "Choose a model"),
      el("span", { class: "hint" }, price),
    );
  }

  open() {
    this.search.value = "";
    this.filter();
    this.activate(Math.max(0, this.found.findIndex(({ id }) => id === this.options.selected)));
    showModal(this.dialog);
    this.search.focus();
    this.list.children[this.active]?.scrollIntoView({ block: "nearest" });
  }

  filter() {
    const { models, defaultId } = this.options;
    this.found = orderModels(searchModels(models, this.search.value), defaultId);
    this.count.textContent = this.found.length ? `${readyText(this.found)}.` : "No model matches.";
    fill(this.list, this.found.map((model, index) => this.option(model, index)));
    this.activate(0);
  }

  /** @param {Model} model @param {number} index */
  option(model, index) {
    return el(
      "li",
      {
        id: `${this.id}-option-${index}`,
        class: "model-option",
        role: "option",
        "aria-selected": String(model.id === this.options.selected),
        on: { click: () => this.choose(model), pointermove: () => this.activate(index) },
      },
      el(
        "div",
        { class: "model-head" },
        el("strong", {}, model.id),
        model.id === this.options.defaultId && el("span", { class: "tag" }, "default"),
        modelLine(model),
      ),
      capabilityTags(model),
      modelNotice(model),
    );
  }

  /** Mark the option that Enter chooses. @param {number} index */
  activate(index) {
    this.list.children[this.active]?.classList.remove("active");
    this.active = index;
    const option = this.list.children[index];
    option?.classList.add("active");
    if (option) this.search.setAttribute("aria-activedescendant", option.id);
    else this.search.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const last = this.found.length - 1;
    /** @type {Record<string, number>} */
    const targets = { ArrowDown: Math.min(last, this.active + 1), ArrowUp: Math.max(0, this.active - 1), PageDown: Math.min(last, this.active + 5), PageUp: Math.max(0, this.active - 5) };
    if (event.key in targets && last >= 0) {
      event.preventDefault();
      this.activate(targets[event.key]);
      this.list.children[this.active].scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      event.preventDefault();
      const model = this.found[this.active];
      if (model) this.choose(model);
    }
  }

  /** @param {Event} event */
  onBackdrop(event) {
    if (event.target === this.dialog) this.dialog.close();
  }

  /** @param {Model} model */
  choose(model) {
    this.dialog.close();
    this.show({ selected: model.id });
    announce(`${model.id} chosen`);
    this.options.onChange(model.id);
  }
}
