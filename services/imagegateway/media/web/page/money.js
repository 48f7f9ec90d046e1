// @ts-check
/** Amounts of money and prices as text. */

/** @typedef {{amount?: number, currency: string, estimated?: boolean}} Cost */
/** @typedef {{currency: string, unit: string, amount?: number, estimate?: number}} Pricing */

/** @type {Record<string, string>} */
const UNITS = { image: "per image", megapixel: "per megapixel", second: "per second", million_tokens: "per million tokens" };

/**
 * Return an amount as text: at least two decimals, and small amounts with two significant digits.
 * @param {number} amount
 * @param {string} [currency] ISO 4217 code.
 */
export function amountText(amount, currency = "USD") {
  const small = amount !== 0 && Math.abs(amount) < 0.1;
  return new Intl.NumberFormat("en-US", {
    style: "currency",
    currency,
    minimumFractionDigits: 2,
    maximumFractionDigits: small ? Math.min(9, 1 - Math.floor(Math.log10(Math.abs(amount)))) : 2,
  }).format(amount);
}

/**
 * Return a cost as text. An unknown cost is an empty text.
 * @param {Cost | undefined} cost
 */
export function costText(cost) {
  if (cost?.amount === undefined) return "";
  if (cost.amount === 0) return "free";
  return `${cost.estimated ? "about " : ""}${amountText(cost.amount, cost.currency)}`;
}

/**
 * Return a model's price in a few words.
 * @param {Pricing | undefined} pricing
 */
export function priceText(pricing) {
  const { amount, estimate, currency = "USD", unit = "image" } = pricing ?? {};
  if (amount === undefined && estimate === undefined) return "Price unknown";
  if (amount === 0 || (amount === undefined && estimate === 0)) return "Free";
  if (amount === undefined) return `About ${amountText(/** @type {number} */ (estimate), currency)} per request`;
  const price = `${amountText(amount, currency)} ${UNITS[unit] ?? `per ${unit}`}`;
  return unit === "million_tokens" && estimate !== undefined ? `About ${amountText(estimate, currency)} per image` : price;
}

/**
 * Return the sum of costs as text.
 * @param {(Cost | undefined)[]} costs An unset one is unknown.
 */
export function sumText(costs) {
  const known = costs.flatMap((cost) => (cost?.amount === undefined ? [] : [cost.amount]));
  const unknown = costs.length - known.length;
  if (known.length === 0) return "an unknown price";
  const sum = known.reduce((total, amount) => total + amount, 0);
  const text = sum === 0 ? "nothing" : `about ${amountText(sum)}`;
  return unknown ? `${text}, and the price of ${unknown === 1 ? "one model" : `${unknown} models`} is unknown` : text;
}
