// @ts-check
/** Empty state of the generate view: what this gateway can do, with prompts to begin with. */

import { el } from "./dom.js";
import { readyText } from "./model_search.js";

/** @typedef {import("./models.js").Model} Model */

const PROMPTS = [
  "A lighthouse at dusk, long shadows on the sand",
  "Snowy mountains over a quiet lake",
  "A small red house in a field of poppies",
  "Night city in the rain, neon reflections",
];

/** @type {{title: string, capability: string, text: string, view: string, link: string}[]} */
const ABILITIES = [
  { title: "Edit", capability: "image_to_image", text: "Change an image by a prompt, inside a mask that you paint.", view: "edit", link: "Edit an image" },
  { title: "Video", capability: "text_to_video", text: "Make short videos from a prompt.", view: "models?q=video", link: "See the video models" },
  { title: "Compare", capability: "text_to_image", text: "Send one prompt to several models, and see the images side by side.", view: "compare", link: "Compare models" },
];

/**
 * Return the empty state.
 * @param {{models: Model[], onPrompt: (prompt: string) => void}} options
 */
export function welcome({ models, onPrompt }) {
  const ready = models.filter((model) => model.available);
  const prompts = PROMPTS.map((prompt) =>
    el("button", { class: "chip", type: "button", on: { click: () => onPrompt(prompt) } }, prompt),
  );
  return el(
    "div",
    { class: "welcome" },
    el("h2", {}, "What would you like to see?"),
    el("p", { class: "soft" }, `${readyText(models)}. Write a prompt, or begin with one of these.`),
    el("div", { class: "chips" }, prompts),
    el("ul", { class: "abilities" }, ABILITIES.map((ability) => abilityItem(ability, ready))),
    el(
      "p",
      { class: "hint" },
      "Every call of this page is a call of the API: ",
      el("a", { href: "/docs" }, "its reference"),
      ", ",
      el("a", { href: "#/models" }, "its models"),
      ".",
    ),
  );
}

/** @param {typeof ABILITIES[number]} ability @param {Model[]} ready */
function abilityItem({ title, capability, text, view, link }, ready) {
  const count = ready.filter((model) => model.capabilities.includes(capability)).length;
  return el(
    "li",
    { class: "card ability" },
    el("h3", {}, title),
    el("p", { class: "soft" }, text),
    el("p", { class: "hint" }, count === 1 ? "1 model ready" : `${count} models ready`),
    el("a", { href: `#/${view}` }, link),
  );
}
