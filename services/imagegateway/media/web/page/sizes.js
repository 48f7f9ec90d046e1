// @ts-check
/** Sizes and aspect ratios that a model takes, as its limits describe them. */

/** @typedef {import("./models.js").Limits} Limits */
/** @typedef {{value: string, label: string}} Option */

const COMMON = [
  [1024, 1024], [1536, 1024], [1024, 1536], [1344, 768], [768, 1344], [2048, 2048], [512, 512],
];

/**
 * Return the sizes that a form offers by name: those of the model, or common ones that the model can make.
 * @param {Limits} limits @returns {Option[]}
 */
export function sizeOptions(limits) {
  const listed = (limits.sizes ?? []).map(pixels);
  const sizes = listed.length ? listed : COMMON.filter(([width, height]) => fits(limits, width, height));
  return sizes.map(([width, height]) => ({ value: `${width}x${height}`, label: `${width} × ${height}${shape(width, height)}` }));
}

/**
 * Return the aspect ratios that the model takes by name.
 * @param {Limits} limits @returns {Option[]}
 */
export function ratioOptions(limits) {
  return (limits.aspect_ratios ?? []).map((ratio) => {
    const [width, height] = ratio.split(":").map(Number);
    return { value: ratio, label: `${ratio}${shape(width, height)}` };
  });
}

/**
 * Return whether the model takes any size within limits.
 * @param {Limits} limits
 */
export function hasFreeSizes(limits) {
  return limits.max_side !== undefined;
}

/**
 * Return whether a model with free sizes can make a size.
 * @param {Limits} limits @param {number} width @param {number} height
 */
export function fits(limits, width, height) {
  const { min_side = 1, max_side = 0, side_step = 1, min_pixels = 1, max_pixels = Infinity, max_aspect_ratio = Infinity } = limits;
  const [long, short] = [Math.max(width, height), Math.min(width, height)];
  return (
    short >= min_side &&
    long <= max_side &&
    width % side_step === 0 &&
    height % side_step === 0 &&
    width * height >= min_pixels &&
    width * height <= max_pixels &&
    long <= short * max_aspect_ratio
  );
}

/**
 * Return the width and height of `<width>x<height>`.
 * @param {string} size @returns {[number, number]}
 */
export function pixels(size) {
  const [width, height] = size.split("x").map(Number);
  return [width, height];
}

/** @param {number} width @param {number} height */
function shape(width, height) {
  if (width === height) return ", square";
  return width > height ? ", landscape" : ", portrait";
}
