// A backend for POST /call-config. Node alone, no package.
//
//     CALL_CONFIG_SECRETS=new,old PORT=8090 node backend.mjs

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

// The secret in use and, while it is being exchanged, the one before or after it.
const SECRETS = process.env.CALL_CONFIG_SECRETS.split(",").filter(Boolean);
// How old or how far ahead a timestamp may be, in seconds. Older ones are replays.
const WINDOW_S = 300;
// What is read at most, in bytes. A request has some 1,000, and 600,000 at the very most.
const MAX_BODY = 1 << 20;

// By called number. Look yours up in your database.
const CONFIGS = new Map([
  [
    "+15550001111",
    {
      systemPrompt: "You answer the phone of Acme, a bicycle shop. Be brief.",
      startMessage: "Acme bicycles, hello!",
    },
  ],
  ["+15550002222", { action: { type: "transfer", to: "+15551234567" } }],
]);

function isOurs(headers, body) {
  const timestamp = headers["trunkline-timestamp"] ?? "";
  if (!/^[0-9]{1,15}$/.test(timestamp)) return false;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > WINDOW_S) return false;
  const given = Buffer.from(headers["trunkline-signature"] ?? "");
  const matches = SECRETS.map((secret) => {
    const hmac = createHmac("sha256", secret).update(`${timestamp}.`).update(body);
    const wanted = Buffer.from(`v1=${hmac.digest("hex")}`);
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  });
  return matches.includes(true);
}

function answer(response, status, value) {
  const body = JSON.stringify(value);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}

const server = createServer(async (request, response) => {
  try {
    const chunks = [];
    let length = 0;
    for await (const chunk of request) {
      length += chunk.length;
      if (length > MAX_BODY) return answer(response, 413, { error: "too large" });
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks);
    if (request.method !== "POST" || request.url !== "/call-config") {
      return answer(response, 404, { error: "not found" });
    }
    if (!isOurs(request.headers, body)) {
      return answer(response, 401, { error: "the signature is wrong or too old" });
    }
    // A number that is not known has the tenant's default configuration.
    answer(response, 200, CONFIGS.get(JSON.parse(body).calledPhone) ?? {});
  } catch {
    // The caller went away in the middle, or sent no JSON.
    response.destroy();
  }
});

server.listen(Number(process.env.PORT ?? 8090), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/call-config`);
});
