// Print the snippets of the calls that standard input describes, one object for each call, by language.
import { readFileSync } from "node:fs";

import { LANGUAGES } from "../../../services/imagegateway/media/web/page/snippets.js";

const { origin, calls } = JSON.parse(readFileSync(0, "utf8"));
const rendered = calls.map((call) => Object.fromEntries(LANGUAGES.map(({ id, render }) => [id, render(call, { origin })])));
process.stdout.write(JSON.stringify(rendered));
