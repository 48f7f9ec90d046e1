// @ts-check
/** Files that people drop, paste or pick, as images that the API takes. */

/** Media types that the API takes as they are. */
const ACCEPTED = ["image/png", "image/jpeg", "image/webp"];
export const PICKABLE = "image/*";
const MAX_BYTES = 26_214_400;

/**
 * An input image.
 * @typedef {object} InputImage
 * @property {Blob} blob
 * @property {string} name
 * @property {number} width in pixels, as displayed
 * @property {number} height
 */

/**
 * Return a file as an input image. A type that only the browser knows becomes PNG.
 *
 * Throws an Error with a sentence for people when the file is no image, or too large.
 * @param {File} file @returns {Promise<InputImage>}
 */
export async function inputImage(file) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name} is not an image that this browser can read.`);
  });
  const { width, height } = bitmap;
  const blob = ACCEPTED.includes(file.type) ? file : await asPng(bitmap);
  bitmap.close();
  if (blob.size > MAX_BYTES) throw new Error(`${file.name} has ${Math.ceil(blob.size / 2 ** 20)} MiB; an input image has 25 MiB at most.`);
  return { blob, name: file.name, width, height };
}

/**
 * Call `onFiles` with the image files of each drop and each paste on the page, until `signal` aborts.
 * @param {(files: File[]) => void} onFiles @param {AbortSignal} signal
 */
export function listenForImages(onFiles, signal) {
  const mark = (/** @type {boolean} */ dragging) => document.body.classList.toggle("dragging", dragging);
  /** @param {DataTransfer | null} data */
  const take = (data) => {
    const files = [...(data?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
    if (files.length) onFiles(files);
  };
  document.addEventListener("paste", (event) => take(event.clipboardData), { signal });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();  // else the browser opens a dropped file in place of the page
    mark(true);
  }, { signal });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(false);
  }, { signal });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    take(event.dataTransfer);
  }, { signal });
}

/** @param {ImageBitmap} bitmap @returns {Promise<Blob>} */
function asPng(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d")).drawImage(bitmap, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
