// @ts-check
/** Entry: asks for a key, loads the models, then shows the view that the location hash names. */

import { ApiError, key, setKey } from "./api.js";
import { el, fill } from "./dom.js";
import { takeKey } from "./key_fragment.js";
import { keyForm, showKeyButton } from "./key_control.js";
import { loadModels } from "./models.js";
import { isOperator } from "./operator_scope.js";
import { Router } from "./router.js";
import { State } from "./state.js";

/**
 * @typedef {object} Shared state of all views
 * @property {import("./models.js").Model[]} models
 * @property {Record<string, any> | null} draft request that the next form takes over, as the API spells its fields
 * @property {File[]} inputs images that the next edit form takes over
 */

/**
 * @typedef {object} Context
 * @property {State<Shared>} state
 * @property {(view: string) => void} navigate show a view by its name
 */

/** @type {import("./router.js").View[]} */
const VIEWS = [
  { name: "generate", title: "Generate", load: () => import("./generate.js") },
  { name: "edit", title: "Edit", load: () => import("./edit.js") },
  { name: "compare", title: "Compare", load: () => import("./compare.js") },
  { name: "history", title: "History", load: () => import("./history.js") },
  { name: "models", title: "Models", load: () => import("./catalog.js") },
  { name: "operator", title: "Operator", load: () => import("./operator.js"), operator: true },
];

/** @type {Context} */
const context = {
  state: new State(/** @type {Shared} */ ({ models: [], draft: null, inputs: [] })),
  navigate: (view) => {
    location.hash = `#/${view}`;
  },
};
const root = /** @type {HTMLElement} */ (document.getElementById("view"));
const links = /** @type {HTMLElement} */ (document.getElementById("views"));
const keyRoot = /** @type {HTMLElement} */ (document.getElementById("key-control"));
const router = new Router(root, VIEWS, context, (view) => {
  document.title = `${view.title} · imagegateway`;
  for (const link of links.querySelectorAll("a")) {
    if (link.hash === `#/${view.name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
});

/** @param {string} [problem] */
function askForKey(problem = "") {
  fill(links);
  showKeyButton(keyRoot, () => location.reload());
  const onKey = (/** @type {string} */ value) => {
    setKey(value);
    start();
  };
  fill(root, keyForm({ problem, onKey }));
  document.getElementById("key")?.focus();
}

/** Show the views if the key serves, else ask for one. */
async function start() {
  if (!key()) return askForKey();
  let operator = false;
  try {
    const [models, administers] = await Promise.all([loadModels(), isOperator()]);
    context.state.set({ models });
    operator = administers;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) setKey("");
    return askForKey(error.message);
  }
  fill(links, ...VIEWS.filter((view) => operator || !view.operator).map(({ name, title }) => el("a", { href: `#/${name}` }, title)));
  showKeyButton(keyRoot, () => location.reload());
  await router.start();
}

document.querySelector("a.skip")?.addEventListener("click", (event) => {
  event.preventDefault();  // the hash names the view
  root.focus();
});
takeKey();
addEventListener("hashchange", () => {
  if (takeKey()) location.reload();
});
start();
