// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { MaskStrokes } from "../../../services/imagegateway/media/web/page/mask_strokes.js";

const BRUSH = { erases: false, size: 20 };

/** @param {MaskStrokes} strokes */
function starts(strokes) {
  return strokes.visible.map(({ points }) => points[0].x);
}

test("strokes are undone and redone one by one", () => {
  const strokes = new MaskStrokes();
  for (const x of [1, 2, 3]) strokes.begin(BRUSH, { x, y: 0 });
  strokes.undo();
  strokes.undo();
  assert.deepEqual(starts(strokes), [1]);
  strokes.redo();
  assert.deepEqual(starts(strokes), [1, 2]);
  strokes.begin(BRUSH, { x: 9, y: 0 });
  assert.equal(strokes.canRedo, false);
  strokes.redo();
  assert.deepEqual(starts(strokes), [1, 2, 9]);
});

test("clearing can be undone, and clears once", () => {
  const strokes = new MaskStrokes();
  strokes.clear();
  assert.equal(strokes.canUndo, false);
  strokes.begin(BRUSH, { x: 1, y: 0 });
  strokes.clear();
  strokes.clear();
  assert.deepEqual(starts(strokes), []);
  strokes.undo();
  assert.deepEqual(starts(strokes), [1]);
});

test("a copy changes alone", () => {
  const strokes = new MaskStrokes();
  strokes.begin(BRUSH, { x: 1, y: 0 });
  const copy = strokes.copy();
  copy.extend({ x: 2, y: 0 });
  copy.begin(BRUSH, { x: 3, y: 0 });
  assert.deepEqual(strokes.visible, [{ ...BRUSH, points: [{ x: 1, y: 0 }] }]);
});
