// A receiver that verifies deliveries with the official library, and prints which of its secrets fit. The library
// knows only shared secrets: Node.js itself verifies the ed25519 signature.

import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

const USAGE = `usage: with_javascript.mjs FOLDER

A receiver that verifies deliveries with the official library, and prints which of its secrets fit.

Needs Node.js, the package standardwebhooks, and a folder with the secrets, each in its own file:
old, new, foreign, and the public key public. tests/receivers/run prepares all of it.

  -h, --help   show this text

Example: node tests/receivers/with_javascript.mjs secrets`;

const [folder] = process.argv.slice(2);
if (folder === "-h" || folder === "--help") {
  console.log(USAGE);
  process.exit();
}
if (process.argv.length !== 3 || folder.startsWith("-")) {
  console.error(USAGE);
  process.exit(2);
}

// After the arguments are read, because the package may be missing.
const { Webhook, WebhookVerificationError } = await import("standardwebhooks");

const read = (name) => readFileSync(join(folder, name), "utf8").trim();
const secrets = ["old", "new", "foreign"].map((name) => [name, read(name)]);
const x = Buffer.from(read("public").replace(/^whpk_/, ""), "base64").toString("base64url");
const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });

function isGenuine(secret, body, headers) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}

function isSignedByPair(body, headers) {
  const content = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  return headers["webhook-signature"]
    .split(" ")
    .filter((signature) => signature.startsWith("v1a,"))
    .some((signature) => verify(null, Buffer.from(content), publicKey, Buffer.from(signature.slice(4), "base64")));
}

function fitting(body, headers) {
  const names = secrets.filter(([, secret]) => isGenuine(secret, body, headers)).map(([name]) => name);
  return isSignedByPair(body, headers) ? [...names, "pair"] : names;
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const names = fitting(body, request.headers);
  const forged = [
    ...fitting(`${body} `, request.headers),
    ...fitting(body, { ...request.headers, "webhook-id": "b24_0_1" }),
    ...fitting(body, { ...request.headers, "webhook-timestamp": "1" }),
  ];
  console.log(`verified ${names.join(",") || "none"} forged ${forged.join(",") || "none"}`);
  response.writeHead(names.length ? 204 : 401).end();
});

server.listen(0, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
