// @ts-check
/** Views by location hash: `#/generate`, `#/history`, … */

/**
 * @typedef {object} View
 * @property {string} name segment of the hash
 * @property {string} title
 * @property {() => Promise<ViewModule>} load
 * @property {boolean} [operator] true: only keys with the scope `admin` see a link to the view
 */

/**
 * @typedef {object} ViewModule
 * @property {(root: HTMLElement, context: import("./main.js").Context) => {unmount: () => void}} mount
 */

/**
 * Return the name of a view in a location hash; empty if none is.
 * @param {string} hash such as `#/history?status=failed`
 * @returns {string}
 */
function viewName(hash) {
  return /^#\/([a-z-]+)/.exec(hash)?.[1] ?? "";
}

/**
 * Return the parameters of a location hash.
 * @param {string} hash
 * @returns {URLSearchParams}
 */
export function viewParams(hash) {
  const start = hash.indexOf("?");
  return new URLSearchParams(start < 0 ? "" : hash.slice(start + 1));
}

/** Show one view at a time, the one that the hash names. */
export class Router {
  /**
   * The first of `views` is the default.
   * @param {HTMLElement} root @param {View[]} views @param {import("./main.js").Context} context
   * @param {(view: View) => void} onChange called before a view is mounted
   */
  constructor(root, views, context, onChange) {
    this.root = root;
    this.views = views;
    this.context = context;
    this.onChange = onChange;
    /** @type {{unmount: () => void} | null} */
    this.mounted = null;
    this.turn = 0;
  }

  /** Show the present view, and follow the hash from now on. */
  start() {
    addEventListener("hashchange", () => this.show());
    return this.show();
  }

  /** Replace the shown view by the one that the hash names. */
  async show() {
    const view = this.views.find(({ name }) => name === viewName(location.hash)) ?? this.views[0];
    const turn = ++this.turn;
    const module = await view.load();
    if (turn !== this.turn) return;  // another view was chosen meanwhile
    this.mounted?.unmount();
    this.root.replaceChildren();
    this.onChange(view);
    this.mounted = module.mount(this.root, this.context);
  }
}
