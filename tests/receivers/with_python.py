"""A receiver that verifies deliveries with the official library, and prints which of its secrets fit.

Needs Python 3, the package standardwebhooks, and a folder with the secrets, each in its own file:
`old`, `new`, `foreign`. tests/receivers/run prepares all of it.

Example: python3 tests/receivers/with_python.py secrets
"""

import argparse
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path, help="the folder with the secrets")
folder = parser.parse_args().folder

# After the arguments are read, because the package may be missing.
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRETS = {name: (folder / name).read_text().strip() for name in ("old", "new", "foreign")}


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
