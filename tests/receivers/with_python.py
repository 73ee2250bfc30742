"""A receiver that verifies what it gets with the official library, and says which of its secrets fits.

Takes the folder with the secrets, one a file: `old`, `new`, `foreign`.
"""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRETS = {name: (Path(sys.argv[1]) / name).read_text().strip() for name in ("old", "new", "foreign")}


def is_genuine(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def fitting(body, headers):
    return [name for name, secret in SECRETS.items() if is_genuine(secret, body, headers)]


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = dict(self.headers.items())
        names = fitting(body, headers)
        forged = fitting(body + b" ", headers) + fitting(body, {**headers, "webhook-id": "b24_0_1"})
        forged += fitting(body, {**headers, "webhook-timestamp": "1"})
        print("verified", ",".join(names) or "none", "forged", ",".join(forged) or "none", flush=True)
        self.send_response(204 if names else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
