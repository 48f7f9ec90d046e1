// @ts-check
/** Values as source code of the languages of the snippets. */

/**
 * Return a text as one word of a POSIX shell.
 * @param {string} text
 */
export function shellWord(text) {
  return /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * Return a JSON value as a Python expression.
 * @param {unknown} value
 * @returns {string}
 */
export function pythonLiteral(value) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonLiteral).join(", ")}]`;
  if (typeof value === "object") {
    const members = Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}: ${pythonLiteral(member)}`);
    return `{${members.join(", ")}}`;
  }
  return JSON.stringify(value);
}

/**
 * Return a JSON value as a JavaScript expression.
 * @param {unknown} value
 * @returns {string}
 */
export function javaScriptLiteral(value) {
  if (Array.isArray(value)) return `[${value.map(javaScriptLiteral).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    const members = Object.entries(value).map(([name, member]) => {
      const key = /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
      return `${key}: ${javaScriptLiteral(member)}`;
    });
    return `{ ${members.join(", ")} }`;
  }
  return JSON.stringify(value) ?? "undefined";
}
