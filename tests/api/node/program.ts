// Uses the types that openapi-typescript makes of the API description. The test compiles this file, and runs nothing.
import type { components, operations, paths, webhooks } from "./api.js";

type Schemas = components["schemas"];
type Generate = paths["/v1/images/generations"]["post"];
type Created = Generate["responses"][200]["content"]["application/json"];
type Accepted = Generate["responses"][202]["content"]["application/json"];

// Only the prompt is required; lists of values are types.
const request: Schemas["GenerateRequest"] = { prompt: "a fox", quality: "high", metadata: { team: "web" } };
const headers: NonNullable<operations["Generate"]["parameters"]["header"]> = {
  Prefer: "wait=120",
  "Idempotency-Key": "order-7",
  "X-BYOK-openai": "sk-…",
};
// @ts-expect-error a value that the API does not know
const wrong: Schemas["GenerateRequest"] = { prompt: "a fox", quality: "best" };

async function generate(url: string, key: string): Promise<string> {
  const response = await fetch(`${url}/v1/images/generations`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers } as HeadersInit,
    body: JSON.stringify(request),
  });
  switch (response.status) {
    case 200: {
      const created = (await response.json()) as Created;
      if ("data" in created) return created.data[0]?.url ?? `data:image/png;base64,${created.data[0]?.b64_json}`;
      return `${created.model} costs ${created.estimated_cost?.amount ?? "an unknown amount"}`;
    }
    case 202: {
      const job = (await response.json()) as Accepted;
      return poll(job.status === "queued" ? `${job.queue_position ?? 0} ahead` : job.status, job.id);
    }
    default: {
      const { error } = (await response.json()) as Schemas["Error"];
      const code: string | null = error.code;
      throw new Error(`${code}: ${error.message} (${error.param ?? "no field"}, ${error.type})`);
    }
  }
}

function poll(state: string, id: operations["GetJob"]["parameters"]["path"]["job_id"]): string {
  return `${state}: /v1/jobs/${id}`;
}

function onEvent(event: Schemas["ImageGenerationPartialImageEvent"] | Schemas["ImageGenerationCompletedEvent"]): number {
  return event.type === "image_generation.partial_image" ? event.partial_image_index : (event.usage?.total_tokens ?? 0);
}

function onWebhook(body: webhooks["job.completed"]["post"]["requestBody"]["content"]["application/json"]): string {
  return `${body.type}: ${body.data.result?.file_url ?? body.data.error?.message}`;
}

// null returns a limit to its default.
const change: Schemas["AdminUpdateKeyRequest"] = { budget: 100, requests_per_minute: null };
const listed: paths["/v1/jobs"]["get"]["parameters"]["query"] = { status: "completed", page_size: 100 };

export { change, generate, listed, onEvent, onWebhook, wrong };
