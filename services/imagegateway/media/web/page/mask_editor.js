// @ts-check
/** Dialog in which people paint a mask over an image, with mouse, touch, pen or keyboard. */

import { el } from "./dom.js";
import { paint } from "./mask_image.js";
import { MaskStrokes } from "./mask_strokes.js";
import { showModal } from "./modal.js";

/** @typedef {import("./input_files.js").InputImage} InputImage */
/** @typedef {import("./mask_strokes.js").Point} Point */

const ZOOM_STEP = 1.25;
const MAX_ZOOM = 16;
/** Zoom at which small images open. */
const MAX_FIT = 2;
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Let people change a mask. Return the new strokes, or null if they keep the old ones.
 * @param {InputImage} image @param {MaskStrokes} strokes
 * @returns {Promise<MaskStrokes | null>}
 */
export function editMask(image, strokes) {
  return new MaskEditor(image, strokes.copy()).open();
}

class MaskEditor {
  /** @param {InputImage} image @param {MaskStrokes} strokes */
  constructor(image, strokes) {
    this.image = image;
    this.strokes = strokes;
    this.erases = false;
    this.size = Math.max(4, Math.round(Math.max(image.width, image.height) / 16));
    this.zoom = 1;
    /** @type {Point} Place of the keyboard's brush. */
    this.cursor = { x: image.width / 2, y: image.height / 2 };
    this.isDrawing = false;
    this.frame = 0;
    this.url = URL.createObjectURL(image.blob);
    this.paintButton = this.button("Paint", "B", () => this.choose(false));
    this.eraseButton = this.button("Erase", "E", () => this.choose(true));
    this.undoButton = this.button("Undo", "Ctrl+Z", () => this.change(() => this.strokes.undo()));
    this.redoButton = this.button("Redo", "Ctrl+Y", () => this.change(() => this.strokes.redo()));
    this.clearButton = this.button("Clear", "", () => this.change(() => this.strokes.clear()));
    this.sizeInput = el("input", { type: "range", min: 2, max: Math.max(image.width, image.height) / 2, value: this.size, on: { input: () => this.resize(this.sizeInput.valueAsNumber) } });
    this.zoomText = el("output", { class: "zoom" });
    this.canvas = el("canvas", { width: image.width, height: image.height, tabindex: "0", role: "img", "aria-label": "Mask. Arrow keys move the brush, Space held down paints." });
    this.brush = el("div", { class: "brush", hidden: true });
    this.sheet = el("div", { class: "mask-sheet" }, el("img", { src: this.url, alt: "", draggable: "false" }), this.canvas, this.brush);
    this.viewport = el("div", { class: "mask-viewport" }, this.sheet);
    this.dialog = el("dialog", { class: "dialog card mask-dialog", "aria-label": "Mask" }, this.toolbar(), this.viewport, this.footer());
    this.listen();
  }

  /** @returns {Promise<MaskStrokes | null>} */
  open() {
    document.body.append(this.dialog);
    showModal(this.dialog);
    const { clientWidth, clientHeight } = this.viewport;
    this.setZoom(Math.min(clientWidth / this.image.width, clientHeight / this.image.height, MAX_FIT));
    this.choose(false);
    this.change(() => {});
    this.canvas.focus();
    return new Promise((resolve) => {
      this.dialog.addEventListener("close", () => {
        URL.revokeObjectURL(this.url);
        this.dialog.remove();
        resolve(this.dialog.returnValue === "done" ? this.strokes : null);
      });
    });
  }

  toolbar() {
    const zoom = (/** @type {string} */ text, /** @type {string} */ label, /** @type {number} */ factor) =>
      el("button", { class: "button small", type: "button", "aria-label": label, on: { click: () => this.setZoom(this.zoom * factor) } }, text);
    return el(
      "div",
      { class: "mask-tools", role: "toolbar", "aria-label": "Mask tools" },
      el("div", { class: "group" }, this.paintButton, this.eraseButton),
      el("label", { class: "brush-size" }, "Brush", this.sizeInput),
      el("div", { class: "group" }, zoom("−", "Zoom out", 1 / ZOOM_STEP), this.zoomText, zoom("+", "Zoom in", ZOOM_STEP)),
      el("div", { class: "group" }, this.undoButton, this.redoButton, this.clearButton),
    );
  }

  footer() {
    return el(
      "div",
      { class: "mask-foot" },
      el("p", { class: "hint" }, "Paint what the model may change. The rest of the image stays."),
      el("div", { class: "actions end" },
        el("button", { class: "button", type: "button", on: { click: () => this.dialog.close("") } }, "Cancel"),
        el("button", { class: "button primary", type: "button", on: { click: () => this.dialog.close("done") } }, "Use this mask")),
    );
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.onDown(event));
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => this.endStroke());
    canvas.addEventListener("pointerleave", () => this.moveBrush(null));
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    canvas.addEventListener("keyup", (event) => event.key === " " && this.endStroke());
    canvas.addEventListener("blur", () => this.endStroke());
    this.dialog.addEventListener("keydown", (event) => this.onShortcut(event));
    this.viewport.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.setZoom(this.zoom * (event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP));
    }, { passive: false });
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.beginStroke(this.place(event));
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    this.moveBrush(this.place(event));
    if (this.isDrawing) for (const each of event.getCoalescedEvents()) this.extendStroke(this.place(each));
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const arrow = ARROWS[event.key];
    if (arrow) {
      event.preventDefault();
      const step = Math.max(1, Math.round(this.size / 4));
      const { width, height } = this.image;
      this.cursor = { x: clamp(this.cursor.x + arrow[0] * step, 0, width), y: clamp(this.cursor.y + arrow[1] * step, 0, height) };
      this.moveBrush(this.cursor);
      this.brush.scrollIntoView({ block: "nearest", inline: "nearest" });
      if (this.isDrawing) this.extendStroke(this.cursor);
    } else if (event.key === " ") {
      event.preventDefault();
      if (!event.repeat) this.beginStroke(this.cursor);
    }
  }

  /** @param {KeyboardEvent} event */
  onShortcut(event) {
    const control = event.ctrlKey || event.metaKey;
    const name = `${control ? "Ctrl+" : ""}${event.shiftKey && control ? "Shift+" : ""}${event.key.length === 1 ? event.key.toLowerCase() : event.key}`;
    /** @type {Record<string, () => void>} */
    const actions = {
      "Ctrl+z": () => this.change(() => this.strokes.undo()),
      "Ctrl+y": () => this.change(() => this.strokes.redo()),
      "Ctrl+Shift+z": () => this.change(() => this.strokes.redo()),
      b: () => this.choose(false),
      e: () => this.choose(true),
      "[": () => this.resize(this.size / ZOOM_STEP),
      "]": () => this.resize(this.size * ZOOM_STEP),
      "+": () => this.setZoom(this.zoom * ZOOM_STEP),
      "=": () => this.setZoom(this.zoom * ZOOM_STEP),
      "-": () => this.setZoom(this.zoom / ZOOM_STEP),
    };
    if (!(name in actions)) return;
    event.preventDefault();
    actions[name]();
  }

  /** @param {Point} point */
  beginStroke(point) {
    this.isDrawing = true;
    this.cursor = point;
    this.change(() => this.strokes.begin({ erases: this.erases, size: this.size }, point));
  }

  /** @param {Point} point */
  extendStroke(point) {
    this.cursor = point;
    this.change(() => this.strokes.extend(point));
  }

  endStroke() {
    this.isDrawing = false;
  }

  /** Change the strokes, and show them in the next frame. @param {() => void} action */
  change(action) {
    action();
    this.undoButton.disabled = !this.strokes.canUndo;
    this.redoButton.disabled = !this.strokes.canRedo;
    this.clearButton.disabled = !this.strokes.visible.length;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      const context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
      context.clearRect(0, 0, this.image.width, this.image.height);
      context.strokeStyle = "#e5484d";  // red stands out on most images, in either theme
      paint(context, this.strokes.visible);
    });
  }

  /** @param {boolean} erases */
  choose(erases) {
    this.erases = erases;
    this.paintButton.setAttribute("aria-pressed", String(!erases));
    this.eraseButton.setAttribute("aria-pressed", String(erases));
  }

  /** @param {number} size in pixels of the image */
  resize(size) {
    this.size = clamp(size, 2, Number(this.sizeInput.max));
    this.sizeInput.value = String(this.size);
    this.moveBrush(this.cursor);
  }

  /** @param {number} zoom 1: a pixel of the image is a pixel of the page */
  setZoom(zoom) {
    this.zoom = clamp(zoom, 0.02, MAX_ZOOM);
    this.sheet.style.width = `${this.image.width * this.zoom}px`;
    this.sheet.style.height = `${this.image.height * this.zoom}px`;
    this.zoomText.textContent = `${Math.round(this.zoom * 100)} %`;
  }

  /** Show the brush at a point of the image; null hides it. @param {Point | null} point */
  moveBrush(point) {
    this.brush.hidden = point === null;
    if (!point) return;
    this.brush.style.width = this.brush.style.height = `${this.size * this.zoom}px`;
    this.brush.style.left = `${point.x * this.zoom}px`;
    this.brush.style.top = `${point.y * this.zoom}px`;
  }

  /** @param {PointerEvent} event @returns {Point} */
  place(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return { x: ((event.clientX - left) / width) * this.image.width, y: ((event.clientY - top) / height) * this.image.height };
  }

  /** @param {string} text @param {string} shortcut @param {() => void} click */
  button(text, shortcut, click) {
    return el("button", { class: "button small", type: "button", title: shortcut, on: { click } }, text);
  }
}

/** @param {number} value @param {number} low @param {number} high */
function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
