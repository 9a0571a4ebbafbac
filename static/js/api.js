// The one way modules talk to the server: JSON in, JSON out, errors as sentences.

const token = document.querySelector('meta[name="form-token"]')?.content ?? "";

export class Problem extends Error {
  constructor(status, body, retryAfter = 0) {
    super(body?.detail ?? "The server did not answer. Check your connection.");
    this.status = status;
    this.body = body;
    this.retryAfter = Number(retryAfter) || 0; // seconds the server asks to wait
  }
}

export async function api(method, url, body, { headers = {}, ...options } = {}) {
  let reply;
  try {
    reply = await fetch(url, {
      method,
      credentials: "same-origin",
      headers: {
        Accept: "application/json",
        ...(method === "GET" ? {} : { "X-Form-Token": token }),
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      ...options,
    });
  } catch {
    throw new Problem(0, null);
  }
  const text = await reply.text();
  const data = text ? parse(text) : null;
  if (!reply.ok) throw new Problem(reply.status, data, reply.headers.get("Retry-After"));
  return { status: reply.status, data };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
