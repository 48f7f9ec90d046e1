// @ts-check
/** View: make images or a video from a prompt. */

import { welcome } from "./welcome.js";
import { Workbench } from "./workbench.js";

/** @type {Workbench | undefined} */
let workbench;

/** @type {import("./router.js").ViewModule["mount"]} */
export function mount(root, context) {
  const bench = (workbench ??= new Workbench("generate", context, emptyState));
  root.append(bench.element);
  bench.open();
  return { unmount: () => bench.close() };
}

/** @param {Workbench} bench */
function emptyState(bench) {
  const onPrompt = (/** @type {string} */ prompt) => {
    bench.form.prompt.value = prompt;
    bench.form.changed();
    bench.form.prompt.focus();
  };
  return welcome({ models: bench.context.state.value.models, onPrompt });
}
