// Gives every request of this process to one host a bearer token; the conformance suite has no option for a header.
// Its three HTTP clients are fetch and undici (one dispatcher serves both) and node:http.
import http from "node:http";
import { syncBuiltinESMExports } from "node:module";
import { createRequire } from "node:module";

const target = new URL(process.env.LOOKOUT_TARGET).host;
const value = `Bearer ${process.env.LOOKOUT_TOKEN}`;
const { Agent, Dispatcher, setGlobalDispatcher } = createRequire(process.env.LOOKOUT_MODULES)("undici");

const originalFetch = globalThis.fetch;
globalThis.fetch = (input, init = {}) => {
  const url = new URL(input instanceof Request ? input.url : input);
  if (url.host !== target) return originalFetch(input, init);
  const headers = new Headers(init.headers ?? (input instanceof Request ? input.headers : undefined));
  if (!headers.has("authorization")) headers.set("authorization", value);
  return originalFetch(input, { ...init, headers });
};

function withToken(headers) {
  const flat = [];
  if (Array.isArray(headers)) flat.push(...headers);
  else if (headers && Symbol.iterator in headers) for (const [name, one] of headers) flat.push(name, one);
  else for (const [name, one] of Object.entries(headers ?? {})) if (one !== undefined) flat.push(name, one);
  for (let i = 0; i < flat.length; i += 2) if (String(flat[i]).toLowerCase() === "authorization") return flat;
  return [...flat, "authorization", value];
}

class TokenAgent extends Dispatcher {
  #inner = new Agent();
  dispatch(options, handler) {
    const isTarget = new URL(options.origin).host === target;
    return this.#inner.dispatch(isTarget ? { ...options, headers: withToken(options.headers) } : options, handler);
  }
  close(...rest) { return this.#inner.close(...rest); }
  destroy(...rest) { return this.#inner.destroy(...rest); }
}
setGlobalDispatcher(new TokenAgent());

const originalRequest = http.request;
http.request = (...words) => {
  const request = originalRequest(...words);
  const port = request.socket?.remotePort ?? words.find((word) => word?.port)?.port;
  const url = words[0] instanceof URL || typeof words[0] === "string" ? new URL(words[0]).host : undefined;
  const isTarget = url === target || String(port) === target.split(":")[1];
  if (isTarget && !request.hasHeader("authorization")) request.setHeader("authorization", value);
  return request;
};
syncBuiltinESMExports();
