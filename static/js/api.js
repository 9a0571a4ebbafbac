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
  let text;
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
    text = await reply.text();
  } catch {
    throw new Problem(0, null);
  }
  const data = parse(text);
  if (!reply.ok) throw new Problem(reply.status, data, reply.headers.get("Retry-After"));
  // The page of a Wi-Fi that asks to sign in, or half an answer, is not the server's word.
  if (data === undefined && reply.status !== 204) throw new Problem(0, null);
  return { status: reply.status, data: data ?? null };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
