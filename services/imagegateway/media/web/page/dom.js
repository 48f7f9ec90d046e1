// @ts-check
/** Element builders. Text goes in as text: no function here parses HTML. */

/** @typedef {Node | string | number | null | undefined | false} Leaf */
/** @typedef {Leaf | Leaf[] | (Leaf | Leaf[])[]} Child */
/** @typedef {Record<string, any>} Props */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return a new HTML element.
 *
 * `props` holds attributes by name. `on` maps event types to listeners, `class` and `data-…` are attributes, `value`,
 * `checked` and `indeterminate` are properties. True sets an empty attribute; false, null and undefined set none.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {Props} [props] @param {Child[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, props = {}, ...children) {
  return build(document.createElement(tag), props, children);
}

/**
 * Return a new SVG element; `props` as for `el`.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag @param {Props} [props] @param {Child[]} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, props = {}, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

/**
 * Replace an element's children.
 * @param {Element} element @param {Child[]} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
}

/**
 * Read a text to users of screen readers, without a visible change.
 * @param {string} text
 */
export function announce(text) {
  const announcer = document.getElementById("announcer");
  if (announcer) announcer.textContent = text;
}

const PROPERTIES = new Set(["value", "checked", "indeterminate"]);

/**
 * @template {Element} E
 * @param {E} element @param {Props} props @param {Child[]} children
 * @returns {E}
 */
function build(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    } else if (PROPERTIES.has(name)) {
      continue;  // after the children: a select's value names one of its options
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value != null) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...flat(children));
  for (const name of PROPERTIES) if (props[name] !== undefined) /** @type {any} */ (element)[name] = props[name];
  return element;
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function flat(children) {
  /** @type {(Node | string)[]} */
  const nodes = [];
  for (const child of children) {
    if (Array.isArray(child)) nodes.push(...flat(child));
    else if (child instanceof Node) nodes.push(child);
    else if (child !== null && child !== undefined && child !== false) nodes.push(String(child));
  }
  return nodes;
}
