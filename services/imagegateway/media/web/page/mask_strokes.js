// @ts-check
/** Strokes of a mask, with undo and redo. Points and sizes are in pixels of the image. */

/** @typedef {{x: number, y: number}} Point */
/** @typedef {{erases: boolean, size: number, points: Point[]}} Stroke `size`: diameter of the brush */

export class MaskStrokes {
  constructor() {
    /** @type {(Stroke | "clear")[]} */
    this.done = [];
    /** @type {(Stroke | "clear")[]} */
    this.undone = [];
  }

  /** @param {{erases: boolean, size: number}} brush @param {Point} point */
  begin(brush, point) {
    this.done.push({ ...brush, points: [point] });
    this.undone = [];
  }

  /** Continue the newest stroke. @param {Point} point */
  extend(point) {
    const stroke = this.done.at(-1);
    if (stroke && stroke !== "clear") stroke.points.push(point);
  }

  /** Remove all paint; undo brings it back. */
  clear() {
    if (this.visible.length) this.done.push("clear");
    this.undone = [];
  }

  undo() {
    const last = this.done.pop();
    if (last) this.undone.push(last);
  }

  redo() {
    const next = this.undone.pop();
    if (next) this.done.push(next);
  }

  get canUndo() {
    return this.done.length > 0;
  }

  get canRedo() {
    return this.undone.length > 0;
  }

  /** Return the strokes since the last clearing, oldest first. @returns {Stroke[]} */
  get visible() {
    const start = this.done.lastIndexOf("clear") + 1;
    return /** @type {Stroke[]} */ (this.done.slice(start));
  }

  /** Return an independent copy. */
  copy() {
    const copy = new MaskStrokes();
    copy.done = structuredClone(this.done);
    return copy;
  }
}
