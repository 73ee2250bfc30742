"""The module of both Python clients: the sandbox's control API, and one line per checked call.

It runs nothing by itself. Needs Python 3, and the address of a sandbox in PORTAL.

Example: PORTAL=127.0.0.1:8924 python3 tests/fidelity/with_fast_bitrix24.py
"""

import argparse
import json
import os
import sys
from urllib.request import Request, urlopen

PORTAL = os.environ.get("PORTAL")
"""Address of the sandbox, `127.0.0.1:PORT`, plain http."""

FRONT = os.environ.get("FRONT")
"""Address of the same sandbox behind TLS."""

APP = "local.sandbox.1"
"""The application that every sandbox has."""

SCOPES = ["im", "imbot"]


def read_arguments(text):
    """Answers `--help` with `text`; there are no other arguments, but there must be a sandbox."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    if not PORTAL:
        parser.error("PORTAL is not set")


def control(path, **body):
    """Asks the control API: a POST with a body, else a GET."""
    data = json.dumps(body).encode() if body else None
    with urlopen(Request(f"http://{PORTAL}/sandbox/{path}", data=data)) as response:
        return json.load(response)


def expire(**body):
    """Ends the application's access tokens behind its back."""
    return control(f"apps/{APP}/expire", **{"refresh": False, **body})


def login(user=1):
    """Tokens of the application, as if that user had just agreed."""
    return control(f"apps/{APP}/login", user=user)


def app_secret():
    (app,) = control("apps")
    return app["client_secret"]


def webhook(user=1):
    """User id and secret of a webhook, `1/abc`."""
    (url,) = (row["webhook_url"] for row in control("users") if row["id"] == user)
    return url.split("/rest/")[1].strip("/")


def requests_of(method):
    """How many requests for `method` have reached the sandbox."""
    return control("stats")["requests"].get(method, 0)


def check(call, condition, seen=None):
    """Prints one line for a checked call; the first that differs ends the run."""
    if not condition:
        print(f"DIFFERS  {call}: {seen!r}", flush=True)
        sys.exit(1)
    print(f"ok       {call}", flush=True)


def equal(call, seen, expected):
    check(call, seen == expected, (seen, "instead of", expected))


def refused(call, exception, run, **expected):
    """Checks that `run` raises exactly `exception`, with these attributes."""
    try:
        seen = run()
    except exception as error:
        wrong = {name: getattr(error, name) for name, value in expected.items() if getattr(error, name) != value}
        check(call, type(error) is exception and not wrong, (type(error), wrong))
    except Exception as error:
        check(call, False, error)
    else:
        check(call, False, seen)


if __name__ == "__main__":
    read_arguments(__doc__)
