// @ts-check
/** Control of a size: a choice of sizes and aspect ratios and, for models with free sizes, a width and a height. */

import { el } from "./dom.js";
import { hasFreeSizes, pixels } from "./sizes.js";

const CUSTOM = "custom";

/**
 * @param {import("./fields.js").Field} field @param {string} id @param {() => void} onChange
 * @returns {import("./field_controls.js").Control}
 */
export function sizeChoice({ options = [], limits }, id, onChange) {
  const free = limits !== undefined && hasFreeSizes(limits);
  const [defaultWidth, defaultHeight] = pixels(limits?.default_size ?? "1024x1024");
  const side = (/** @type {string} */ name, /** @type {number} */ value) =>
    el("input", { type: "number", inputmode: "numeric", "aria-label": `${name} in pixels`, min: limits?.min_side, max: limits?.max_side, step: limits?.side_step ?? 1, value, on: { input: onChange } });
  const width = side("Width", defaultWidth);
  const height = side("Height", defaultHeight);
  const sides = el("div", { class: "sides", hidden: true }, width, el("span", { "aria-hidden": "true" }, "×"), height);
  const change = () => {
    sides.hidden = choice.value !== CUSTOM;
    onChange();
  };
  const choice = el(
    "select",
    { id, on: { change } },
    [{ value: "", label: "Automatic" }, ...options, ...(free ? [{ value: CUSTOM, label: "Width and height" }] : [])].map(
      ({ value, label }) => el("option", { value }, label),
    ),
  );
  return {
    element: el("div", { class: "size-choice" }, choice, sides),
    value: () => (choice.value === CUSTOM ? `${width.value}x${height.value}` : choice.value || undefined),
    set: (value) => {
      const listed = !value || options.some((option) => option.value === value);
      choice.value = listed ? (value ?? "") : free && value.includes("x") ? CUSTOM : "";
      sides.hidden = choice.value !== CUSTOM;
      if (choice.value === CUSTOM) [width.value, height.value] = value.split("x");
    },
    focus: () => (choice.value === CUSTOM ? width : choice).focus(),
  };
}
