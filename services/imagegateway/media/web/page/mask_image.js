// @ts-check
/** Pixels of a mask: painting strokes, and the PNG that the API takes. */

/** @typedef {import("./mask_strokes.js").Stroke} Stroke */
/** @typedef {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} Context2D */

/**
 * Paint strokes in the context's stroke colour. Erasing strokes remove paint.
 * @param {Context2D} context @param {Stroke[]} strokes
 */
export function paint(context, strokes) {
  context.lineCap = context.lineJoin = "round";
  for (const { erases, size, points } of strokes) {
    context.globalCompositeOperation = erases ? "destination-out" : "source-over";
    context.lineWidth = size;
    context.beginPath();
    context.moveTo(points[0].x, points[0].y);
    for (const { x, y } of points) context.lineTo(x, y);
    context.stroke();
  }
  context.globalCompositeOperation = "source-over";
}

/**
 * Return the mask in OpenAI's polarity: a PNG, transparent where paint is and black elsewhere. Null: no paint is left.
 * @param {Stroke[]} strokes @param {number} width @param {number} height
 * @returns {Promise<Blob | null>}
 */
export async function maskImage(strokes, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  paint(context, strokes);
  const image = context.getImageData(0, 0, width, height);
  let painted = false;
  for (let index = 0; index < image.data.length; index += 4) {
    const inside = image.data[index + 3] >= 128;  // a mask has no half transparent edge
    painted ||= inside;
    image.data.fill(0, index, index + 3);
    image.data[index + 3] = inside ? 0 : 255;
  }
  if (!painted) return null;
  context.putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
