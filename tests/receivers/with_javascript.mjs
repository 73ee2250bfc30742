// A receiver that verifies what it gets with the official library, and says which of its secrets fits. The
// library knows shared secrets only: the ed25519 signature is verified with what Node.js has.
//
// Takes the folder with the secrets, one a file: `old`, `new`, `foreign`, and the public key `public`.

import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

import { Webhook, WebhookVerificationError } from "standardwebhooks";

const read = (name) => readFileSync(join(process.argv[2], name), "utf8").trim();
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
