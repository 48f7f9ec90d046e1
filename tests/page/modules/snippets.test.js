// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { javaScriptLiteral, pythonLiteral, shellWord } from "../../../services/imagegateway/media/web/page/literals.js";
import { LANGUAGES } from "../../../services/imagegateway/media/web/page/snippets.js";

const ORIGIN = "http://127.0.0.1:8080";

/**
 * @param {string} id
 * @param {import("../../../services/imagegateway/media/web/page/snippets.js").ApiCall} call
 * @param {string} [key]
 */
function render(id, call, key) {
  const language = LANGUAGES.find((each) => each.id === id);
  assert.ok(language);
  return language.render(call, { origin: ORIGIN, key });
}

test("a shell word keeps quotes, spaces and line ends", () => {
  assert.equal(shellWord("a-b/c.png"), "a-b/c.png");
  assert.equal(shellWord("it's\n$HOME"), String.raw`'it'\''s` + "\n$HOME'");
});

test("a Python literal spells constants, lists and objects", () => {
  assert.equal(pythonLiteral({ a: [true, null, 1.5, 'x"y'] }), String.raw`{"a": [True, None, 1.5, "x\"y"]}`);
});

test("a JavaScript literal quotes only the names that need it", () => {
  assert.equal(javaScriptLiteral({ a: 1, "b-c": ["x"] }), '{ a: 1, "b-c": ["x"] }');
});

test("every language keeps the key out by default, and shows it on demand", () => {
  for (const { id } of LANGUAGES) {
    const call = { operation: /** @type {const} */ ("generations"), fields: { model: "local/sketch", prompt: "a lake" } };
    assert.match(render(id, call), /IMAGEGATEWAY_KEY/);
    assert.doesNotMatch(render(id, call, "igw_secret"), /IMAGEGATEWAY_KEY/);
    assert.match(render(id, call, "igw_secret"), /igw_secret/);
  }
});

test("parameters beyond OpenAI's go into extra_body in Python only", () => {
  const call = { operation: /** @type {const} */ ("generations"), fields: { prompt: "a lake", seed: 7, n: 2 } };
  assert.match(render("python", call), /n=2,\n {4}extra_body=\{"seed": 7\},/);
  assert.match(render("node", call), /seed: 7,/);
  assert.match(render("grpc", call), /seed=7,/);
});

test("a slow model's call waits for its images in every language", () => {
  const call = { operation: /** @type {const} */ ("generations"), fields: { prompt: "a lake" }, slow: true };
  for (const id of ["curl", "python", "node"]) assert.match(render(id, call), /wait=300/);
  assert.match(render("grpc", call), /wait_for_job/);
});

test("an edit sends its files and fields as a form", () => {
  const call = { operation: /** @type {const} */ ("edits"), fields: { prompt: "@home; it's" }, images: 2, mask: true };
  assert.equal(
    render("curl", call),
    [
      `curl ${ORIGIN}/v1/images/edits \\`,
      '  -H "Authorization: Bearer $IMAGEGATEWAY_KEY" \\',
      '  -F "image[]=@input.png" \\',
      '  -F "image[]=@input-2.png" \\',
      '  -F "mask=@mask.png" \\',
      String.raw`  --form-string 'prompt=@home; it'\''s'`,
    ].join("\n"),
  );
});

test("a video's call goes to its own path in curl, and a provider key into its header", () => {
  const call = { operation: /** @type {const} */ ("generations"), fields: { prompt: "waves" }, video: true, byok: "fal" };
  assert.match(render("curl", call), /\/v1\/videos\/generations/);
  for (const { id } of LANGUAGES) assert.match(render(id, call), /x-byok-fal/i);
});
