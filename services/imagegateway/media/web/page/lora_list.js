// @ts-check
/** Control of LoRAs: a list of links or ids, each with its strength. */

import { el } from "./dom.js";

/**
 * @param {() => void} onChange
 * @returns {import("./field_controls.js").Control}
 */
export function loraList(onChange) {
  /** @type {{name: HTMLInputElement, scale: HTMLInputElement, row: HTMLElement}[]} */
  let entries = [];
  const rows = el("div", { class: "lora-rows" });

  /** @param {{url?: string, id?: string, scale?: number}} [lora] */
  const add = (lora = {}) => {
    const name = el("input", { type: "text", "aria-label": "Link or id of the LoRA", placeholder: "https://… or an id", value: lora.url ?? lora.id ?? "", on: { input: onChange } });
    const scale = el("input", { type: "number", "aria-label": "Strength of the LoRA", min: -4, max: 4, step: 0.05, placeholder: "1", value: lora.scale ?? "", on: { input: onChange } });
    const remove = () => {
      entries = entries.filter((entry) => entry.row !== row);
      row.remove();
      onChange();
    };
    const row = el("div", { class: "lora-row" }, name, scale, el("button", { class: "button small quiet", type: "button", on: { click: remove } }, "Remove"));
    entries.push({ name, scale, row });
    rows.append(row);
    return name;
  };
  const button = el("button", { class: "button small", type: "button", on: { click: () => add().focus() } }, "Add a LoRA");
  return {
    element: el("div", { class: "loras", role: "group", "aria-label": "LoRAs" }, rows, button),
    value: () => {
      const loras = entries.filter(({ name }) => name.value.trim()).map(({ name, scale }) => ({
        [/^https?:/.test(name.value.trim()) ? "url" : "id"]: name.value.trim(),
        ...(scale.value === "" ? {} : { scale: scale.valueAsNumber }),
      }));
      return loras.length ? loras : undefined;
    },
    set: (loras) => {
      entries = [];
      rows.replaceChildren();
      for (const lora of loras ?? []) add(lora);
    },
    focus: () => (entries[0]?.name ?? button).focus(),
  };
}
