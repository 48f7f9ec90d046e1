// @ts-check
/** View: make images or a video from a prompt. */

import { el } from "./dom.js";

/** @type {import("./router.js").ViewModule["mount"]} */
export function mount(root, { state }) {
  root.append(el("p", {}, `${state.value.models.length} models.`));
  return { unmount: () => {} };
}
