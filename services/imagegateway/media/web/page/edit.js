// @ts-check
/** View: edit images by a prompt, inside a mask. */

import { el } from "./dom.js";
import { Workbench } from "./workbench.js";

/** @type {Workbench | undefined} */
let workbench;

/** @type {import("./router.js").ViewModule["mount"]} */
export function mount(root, context) {
  const bench = (workbench ??= new Workbench("edit", context, emptyState));
  root.append(bench.element);
  bench.open();
  return { unmount: () => bench.close() };
}

function emptyState() {
  return el(
    "div",
    { class: "welcome" },
    el("h2", {}, "Change an image"),
    el("p", { class: "soft" }, "Drop an image anywhere on this page, say what to change and, if only a part may change, paint a mask."),
  );
}
