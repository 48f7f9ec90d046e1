// @ts-check
/** Source code that makes the same call: curl, Python and Node with OpenAI's SDKs, and Python over gRPC. */

import { javaScriptLiteral, pythonLiteral, shellWord } from "./literals.js";

/**
 * Call of the API, as a caller would write it.
 * @typedef {object} ApiCall
 * @property {"generations" | "edits"} operation
 * @property {Record<string, unknown>} fields Request fields without images and mask.
 * @property {number} [images] Number of input images.
 * @property {boolean} [mask] True: the call has a mask.
 * @property {boolean} [slow] True: the model answers with a job unless the call waits.
 * @property {boolean} [video] True: the model makes videos.
 * @property {string} [byok] Route whose provider key the caller sends.
 */

/**
 * Where and with which key to call.
 * @typedef {object} Target
 * @property {string} origin Public origin of the gateway, such as `http://127.0.0.1:8080`.
 * @property {string} [key] API key to print; default: the environment variable IMAGEGATEWAY_KEY.
 */

/** @typedef {{id: string, label: string, setup: string, render: (call: ApiCall, target: Target) => string}} Language */

const WAIT = "wait=300";
const KEY = "IMAGEGATEWAY_KEY";
const PROVIDER_KEY = "PROVIDER_KEY";

/** Parameters that OpenAI's Python SDK names itself. The others go into `extra_body`. */
const SDK_PARAMETERS = {
  generations: [
    "model", "prompt", "n", "size", "quality", "style", "background", "moderation", "output_format",
    "output_compression", "response_format", "user",
  ],
  edits: [
    "model", "prompt", "n", "size", "quality", "background", "input_fidelity", "output_format", "output_compression",
    "response_format", "user",
  ],
};

/** @type {Language[]} */
export const LANGUAGES = [
  { id: "curl", label: "curl", setup: "", render: curl },
  { id: "python", label: "Python", setup: "pip install openai", render: python },
  { id: "node", label: "Node", setup: "npm install openai", render: node },
  { id: "grpc", label: "gRPC", setup: "pip install imagegateway-client", render: grpc },
];

/**
 * Return the names of the call's input files.
 * @param {ApiCall} call
 */
function inputs(call) {
  return Array.from({ length: call.images ?? 0 }, (_, index) => (index ? `input-${index + 1}.png` : "input.png"));
}

/** @param {string} name @param {unknown} value */
function formField(name, value) {
  return `--form-string ${shellWord(`${name}=${typeof value === "object" ? JSON.stringify(value) : value}`)}`;
}

/** @param {ApiCall} call @param {Target} target */
function curl(call, target) {
  const path = call.video ? "/v1/videos/generations" : `/v1/images/${call.operation}`;
  const options = [target.key ? `-H ${shellWord(`Authorization: Bearer ${target.key}`)}` : `-H "Authorization: Bearer $${KEY}"`];
  if (call.byok) options.push(`-H "X-BYOK-${call.byok}: $${PROVIDER_KEY}"`);
  if (call.slow) options.push(`-H "Prefer: ${WAIT}"`);
  if (call.operation === "edits") {
    options.push(...inputs(call).map((name) => `-F "image[]=@${name}"`));
    if (call.mask) options.push('-F "mask=@mask.png"');
    options.push(...Object.entries(call.fields).map(([name, value]) => formField(name, value)));
  } else {
    options.push('-H "Content-Type: application/json"', `-d ${shellWord(JSON.stringify(call.fields, null, 2))}`);
  }
  return [`curl ${shellWord(target.origin + path)}`, ...options.map((option) => `  ${option}`)].join(" \\\n");
}

/**
 * Return the headers that a call needs beside its key, as names and literals.
 * @param {ApiCall} call
 * @param {(variable: string) => string} environment
 * @returns {[string, string][]}
 */
function extraHeaders(call, environment) {
  /** @type {[string, string][]} */
  const headers = [];
  if (call.slow) headers.push(["Prefer", JSON.stringify(WAIT)]);
  if (call.byok) headers.push([`X-BYOK-${call.byok}`, environment(PROVIDER_KEY)]);
  return headers;
}

/** @param {string} variable */
const pythonEnvironment = (variable) => `os.environ["${variable}"]`;

/** @param {ApiCall} call @param {Target} target */
function python(call, target) {
  const edits = call.operation === "edits";
  const known = SDK_PARAMETERS[call.operation];
  const fields = edits ? { prompt: "", ...call.fields } : call.fields;
  const named = Object.entries(fields).filter(([name]) => known.includes(name));
  const other = Object.entries(fields).filter(([name]) => !known.includes(name));
  const headers = extraHeaders(call, pythonEnvironment);
  const files = inputs(call).map((name) => `open("${name}", "rb")`);

  const lines = edits ? [`image=${files.length === 1 ? files[0] : `[${files.join(", ")}]`}`] : [];
  if (call.mask) lines.push('mask=open("mask.png", "rb")');
  lines.push(...named.map(([name, value]) => `${name}=${pythonLiteral(value)}`));
  if (other.length) lines.push(`extra_body=${pythonLiteral(Object.fromEntries(other))}`);
  if (headers.length) {
    lines.push(`extra_headers={${headers.map(([name, value]) => `"${name}": ${value}`).join(", ")}}`);
  }
  return [
    ...(target.key && !call.byok ? [] : ["import os", ""]),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${pythonLiteral(`${target.origin}/v1`)}, api_key=${target.key ? pythonLiteral(target.key) : pythonEnvironment(KEY)})`,
    `result = client.images.${edits ? "edit" : "generate"}(`,
    ...lines.map((line) => `    ${line},`),
    ")",
    "for image in result.data:",
    "    print(image.url)",
  ].join("\n");
}

/** @param {string} variable */
const nodeEnvironment = (variable) => `process.env.${variable}`;

/** @param {ApiCall} call @param {Target} target */
function node(call, target) {
  const edits = call.operation === "edits";
  const headers = extraHeaders(call, nodeEnvironment);
  const files = inputs(call).map((name) => `fs.createReadStream("${name}")`);

  const lines = edits ? [`image: ${files.length === 1 ? files[0] : `[${files.join(", ")}]`}`] : [];
  if (call.mask) lines.push('mask: fs.createReadStream("mask.png")');
  lines.push(...Object.entries(call.fields).map(([name, value]) => `${name}: ${javaScriptLiteral(value)}`));
  const options = headers.length
    ? `, { headers: { ${headers.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(", ")} } }`
    : "";
  return [
    ...(edits ? ['import fs from "node:fs";'] : []),
    'import OpenAI from "openai";',
    "",
    `const client = new OpenAI({ baseURL: ${JSON.stringify(`${target.origin}/v1`)}, apiKey: ${target.key ? JSON.stringify(target.key) : nodeEnvironment(KEY)} });`,
    `const result = await client.images.${edits ? "edit" : "generate"}({`,
    ...lines.map((line) => `  ${line},`),
    `}${options});`,
    "for (const image of result.data) console.log(image.url);",
  ].join("\n");
}

/**
 * Return a field of a gRPC request as a Python argument.
 * @param {string} name @param {unknown} value
 */
function grpcArgument(name, value) {
  if (name !== "loras" || !Array.isArray(value)) return `${name}=${pythonLiteral(value)}`;
  const loras = value.map((lora) => {
    const facts = Object.entries(lora).map(([fact, given]) => `${fact}=${pythonLiteral(given)}`);
    return `Lora(${facts.join(", ")})`;
  });
  return `loras=[${loras.join(", ")}]`;
}

/** @param {ApiCall} call @param {Target} target */
function grpc(call, target) {
  const edits = call.operation === "edits";
  const message = edits ? "EditRequest" : "GenerateRequest";
  const url = new URL(target.origin);
  const secure = url.protocol === "https:";
  const address = `${url.hostname}:${url.port || (secure ? 443 : 80)}`;
  const key = target.key ? pythonLiteral(target.key) : pythonEnvironment(KEY);
  const metadata = call.byok ? [`metadata=[("x-byok-${call.byok}", ${pythonEnvironment(PROVIDER_KEY)})],`] : [];

  const lines = edits ? [`image_content=[${inputs(call).map((name) => `Path("${name}").read_bytes()`).join(", ")}]`] : [];
  if (call.mask) lines.push('mask_content=Path("mask.png").read_bytes()');
  lines.push(...Object.entries(call.fields).map(([name, value]) => grpcArgument(name, value)));
  const modules = [...(target.key && !call.byok ? [] : ["import os"]), ...(edits ? ["from pathlib import Path"] : [])];
  return [
    ...modules,
    ...(modules.length ? [""] : []),
    ...(secure ? ["import grpc"] : []),
    "from imagegateway.client import connect, wait_for_job",
    `from imagegateway.v1.image_service_pb2 import ${message}${"loras" in call.fields ? ", Lora" : ""}`,
    "from imagegateway.v1.image_service_pb2_grpc import ImageServiceStub",
    "",
    `with connect(${pythonLiteral(address)}, ${key}${secure ? ", grpc.ssl_channel_credentials()" : ""}) as channel:`,
    `    response = ImageServiceStub(channel).${edits ? "Edit" : "Generate"}(`,
    `        ${message}(`,
    ...lines.map((line) => `            ${line},`),
    "        ),",
    ...metadata.map((line) => `        ${line}`),
    "    )",
    "    job = wait_for_job(channel, response.id)",
    '    if job.status != "completed":',
    "        raise SystemExit(job.error.message or job.status)",
    "    for image in job.result.data:",
    "        print(image.url)",
  ].join("\n");
}
