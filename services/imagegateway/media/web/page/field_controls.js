// @ts-check
/** Controls of a form, one for each field of a model. */

import { el, fill } from "./dom.js";
import { loraList } from "./lora_list.js";
import { sizeChoice } from "./size_choice.js";

/** @typedef {import("./fields.js").Field} Field */

/**
 * @typedef {object} Control
 * @property {HTMLElement} element
 * @property {() => any} value undefined: no value
 * @property {(value: any) => void} set undefined: clears the control
 * @property {() => void} focus
 */

let controls = 0;

/** A field with its label, its hint and the error that the API names it for. */
export class FieldControl {
  /** @param {Field} field @param {() => void} onChange */
  constructor(field, onChange) {
    this.field = field;
    const id = `field-${++controls}`;
    this.control = build(field, id, () => {
      this.showError("");
      onChange();
    });
    this.message = el("span", { class: "hint", id: `${id}-hint` }, field.hint ?? "");
    this.element = el(
      "div",
      { class: field.kind === "lines" || field.kind === "loras" ? "field wide" : "field", "data-field": field.name },
      field.kind === "loras" ? el("span", { class: "name" }, field.label) : el("label", { class: "name", for: id }, field.label),
      this.control.element,
      this.message,
    );
    this.showError("");
  }

  get value() {
    return this.control.value();
  }

  set value(value) {
    this.control.set(value);
  }

  /** Show why the field's value is refused; an empty text shows the hint again. @param {string} text */
  showError(text) {
    this.message.classList.toggle("bad", Boolean(text));
    fill(this.message, text || (this.field.hint ?? ""));
    this.message.hidden = !this.message.textContent;
    for (const input of this.element.querySelectorAll("input, select, textarea")) {
      if (text) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
      input.setAttribute("aria-describedby", this.message.id);
    }
  }

  focus() {
    this.control.focus();
  }
}

/** @param {Field} field @param {string} id @param {() => void} onChange @returns {Control} */
function build(field, id, onChange) {
  switch (field.kind) {
    case "size":
      return sizeChoice(field, id, onChange);
    case "loras":
      return loraList(onChange);
    case "choice":
      return choice(field, id, onChange);
    case "number":
      return number(field, id, onChange);
    default:
      return lines(field, id, onChange);
  }
}

/** @param {Field} field @param {string} id @param {() => void} onChange @returns {Control} */
function choice(field, id, onChange) {
  const options = [{ value: "", label: "Default" }, ...(field.options ?? [])];
  const input = el("select", { id, on: { change: onChange } }, options.map(({ value, label }) => el("option", { value }, label)));
  return {
    element: input,
    value: () => input.value || undefined,
    set: (value) => {
      input.value = value ?? "";
    },
    focus: () => input.focus(),
  };
}

/** @param {Field} field @param {string} id @param {() => void} onChange @returns {Control} */
function number({ min, max, step, placeholder }, id, onChange) {
  const input = el("input", { id, type: "number", inputmode: "decimal", min, max, step, placeholder: placeholder ?? "Default", on: { input: onChange } });
  return {
    element: input,
    value: () => (input.value === "" ? undefined : input.valueAsNumber),
    set: (value) => {
      input.value = value ?? "";
    },
    focus: () => input.focus(),
  };
}

/** @param {Field} field @param {string} id @param {() => void} onChange @returns {Control} */
function lines({ placeholder }, id, onChange) {
  const input = el("textarea", { id, rows: 2, class: "short", placeholder, on: { input: onChange } });
  return {
    element: input,
    value: () => input.value.trim() || undefined,
    set: (value) => {
      input.value = value ?? "";
    },
    focus: () => input.focus(),
  };
}
