// @ts-check
/** Control of an edit's mask: a preview, and the dialog that paints it. */

import { el, fill } from "./dom.js";
import { editMask } from "./mask_editor.js";
import { maskImage } from "./mask_image.js";
import { MaskStrokes } from "./mask_strokes.js";

/** @typedef {import("./input_files.js").InputImage} InputImage */

export class MaskControl {
  /** @param {() => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    this.strokes = new MaskStrokes();
    /** @type {InputImage | null} */
    this.image = null;
    /** @type {Blob | null} The painted mask; null: none. */
    this.mask = null;
    this.state = el("span", { class: "hint", id: "mask-state" });
    this.open = el("button", { class: "button small", type: "button", "aria-describedby": "mask-state", on: { click: () => this.edit() } });
    this.remove = el("button", { class: "button small quiet", type: "button", on: { click: () => this.reset() } }, "Remove mask");
    this.element = el("div", { class: "field mask", "data-field": "mask", hidden: true }, el("span", { class: "name" }, "Mask"), el("div", { class: "actions" }, this.open, this.remove), this.state);
  }

  /**
   * Show the control for the first input image; null hides it. Another image takes away the mask.
   * @param {InputImage | null} image
   */
  show(image) {
    if (image !== this.image) {
      this.image = image;
      this.strokes = new MaskStrokes();
      this.mask = null;
    }
    this.element.hidden = image === null;
    fill(this.open, this.mask ? "Change mask" : "Paint a mask");
    this.remove.hidden = !this.mask;
    this.state.classList.remove("bad");
    fill(this.state, this.mask ? "The painted area changes." : "Without a mask the whole image may change.");
  }

  /** @param {string} text */
  showError(text) {
    this.state.classList.toggle("bad", Boolean(text));
    if (text) fill(this.state, text);
  }

  focus() {
    this.open.focus();
  }

  async edit() {
    if (!this.image) return;
    const strokes = await editMask(this.image, this.strokes);
    if (!strokes) return;
    this.strokes = strokes;
    this.mask = await maskImage(strokes.visible, this.image.width, this.image.height);
    this.show(this.image);
    this.onChange();
  }

  reset() {
    this.strokes = new MaskStrokes();
    this.mask = null;
    this.show(this.image);
    this.onChange();
  }
}
