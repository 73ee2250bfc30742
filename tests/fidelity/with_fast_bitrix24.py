"""Runs fast_bitrix24, the Python client for large lists, against the sandbox: see README.md.

Needs Python 3, the package fast_bitrix24, and the address of a sandbox in PORTAL; tests/fidelity/run
prepares all of it.

Example: PORTAL=127.0.0.1:8924 python3 tests/fidelity/with_fast_bitrix24.py
"""

from bench import read_arguments

# Before the packages are imported, because they may be missing.
read_arguments(__doc__)

import asyncio
import warnings

from aiohttp import ClientResponseError
from fast_bitrix24 import BitrixAsync
from fast_bitrix24.server_response import ErrorInServerResponseException

from bench import APP, PORTAL, SCOPES, check, control, equal, expire, login, requests_of, webhook

HANDLER = "https://app.example.com/handler"
BOT = {"code": "fast", "properties": {"name": "Fast"}, "eventMode": "fetch"}
OFFLINE = {"event": "ONIMBOTV2MESSAGEADD", "event_type": "offline"}


def by_webhook(token=None):
    return BitrixAsync(f"http://{PORTAL}/rest/{token or webhook()}/", verbose=False)


def by_token(taken=None):
    """Renews its token as an application would have to: by a function of its own."""

    async def token():
        grant = login()
        if taken is not None:
            taken.append(grant)
        return grant["access_token"]

    return BitrixAsync(f"http://{PORTAL}/rest/", token_func=token, verbose=False)


async def refused(call, client, method, params, status):
    try:
        seen = await client.call(method, params, raw=True)
    except ClientResponseError as error:
        equal(call, error.status, status)
    else:
        check(call, False, seen)


async def result(client, method, **params):
    return (await client.call(method, params or None, raw=True))["result"]


async def single(client, method, **params):
    """One call in a batch of one, whose object the client leaves under the key it made up."""
    (answer,) = (await client.call(method, params)).values()
    return answer


async def preflight(kind, client):
    equal(f"{kind}: profile", (await result(client, "profile"))["ID"], "1")
    equal(f"{kind}: scope", await result(client, "scope"), SCOPES)
    check(f"{kind}: server.time", "T" in await result(client, "server.time"))
    equal(f"{kind}: method.get", await single(client, "method.get", name="im.v2.Event.get"),
          {"isExisting": True, "isAvailable": True})
    check(f"{kind}: app.info", (await result(client, "app.info"))["LICENSE"])


async def events(kind, client):
    equal(f"{kind}: im.v2.Event.subscribe", await result(client, "im.v2.Event.subscribe"), True)
    recorded = control("events", user=1, count=3)
    page = await result(client, "im.v2.Event.get", offset=0, limit=2)
    ids = [row["eventId"] for row in page["events"]]
    equal(f"{kind}: im.v2.Event.get", (len(ids), ids[0], page["hasMore"]), (2, recorded["first"], True))
    page = await single(client, "im.v2.Event.get", offset=page["nextOffset"])
    ids = [row["eventId"] for row in page["events"]]
    equal(f"{kind}: im.v2.Event.get within a batch", (ids, page["hasMore"]), ([recorded["last"]], False))
    equal(f"{kind}: im.v2.Event.unsubscribe", await result(client, "im.v2.Event.unsubscribe"), True)


async def batch(kind, client):
    several = await client.call("method.get", [{"name": name} for name in ["profile", "no.such.method", "batch"]])
    equal(f"{kind}: three calls in a batch, in order", [row["isExisting"] for row in several], [True, False, True])
    several = await client.call("method.get", [{"name": "profile"}] * 120)
    equal(f"{kind}: 120 calls in three batches", len(several), 120)
    answers = await client.call_batch({"halt": 0, "cmd": {"who": "profile", "what": "scope"}})
    equal(f"{kind}: call_batch", (answers["who"]["ID"], answers["what"]), ("1", SCOPES))
    try:
        seen = await client.call_batch({"halt": 1, "cmd": {"bad": "no.such.method", "who": "profile"}})
    except ErrorInServerResponseException as error:
        (errors,) = error.args
        equal(f"{kind}: call_batch, one fails", errors["bad"]["error"], "ERROR_METHOD_NOT_FOUND")
    else:
        check(f"{kind}: call_batch, one fails", False, seen)


async def bots(kind, client, **secret):
    fields = {**BOT, **secret}
    bot = (await result(client, "imbot.v2.Bot.register", fields=fields))["bot"]
    equal(f"{kind}: imbot.v2.Bot.register", bot["code"], BOT["code"])
    known = await single(client, "imbot.v2.Bot.register", fields=fields)
    equal(f"{kind}: registered again, within a batch", known["bot"]["id"], bot["id"])
    page = await result(client, "imbot.v2.Bot.list", **secret)
    equal(f"{kind}: imbot.v2.Bot.list", [row["id"] for row in page["bots"]], [bot["id"]])
    page = await client.get_by_ID("imbot.v2.Bot.get", [bot["id"]], ID_field_name="botId", params=secret)
    equal(f"{kind}: imbot.v2.Bot.get, by id", page["bot"]["code"], BOT["code"])
    known = await result(client, "imbot.bot.list")
    equal(f"{kind}: imbot.bot.list", known[str(bot["id"])]["CODE"], BOT["code"])
    removed = await result(client, "imbot.v2.Bot.unregister", botId=bot["id"], **secret)
    equal(f"{kind}: imbot.v2.Bot.unregister", removed, {"result": True})
    bot = (await result(client, "imbot.v2.Bot.register", fields=fields))["bot"]
    first = {"BOT_ID": bot["id"], **({"CLIENT_ID": secret["botToken"]} if secret else {})}
    equal(f"{kind}: imbot.unregister", await result(client, "imbot.unregister", **first), True)
    await refused(f"{kind}: imbot.unregister again", client, "imbot.unregister", first, 400)


async def handlers():
    await refused("webhook: event.get", by_webhook(), "event.get", None, 403)
    client = by_token()
    bound = {"event": "ONIMBOTV2MESSAGEADD", "handler": HANDLER}
    equal("app: event.bind", await result(client, "event.bind", **bound), True)
    equal("app: event.get", [row["handler"] for row in await client.get_all("event.get")], [HANDLER])
    equal("app: event.unbind", await result(client, "event.unbind", **bound), {"count": 1})
    equal("app: event.get of none", await client.get_all("event.get"), [])


async def lists():
    client = by_token()
    equal("app: event.bind, offline", await result(client, "event.bind", **OFFLINE), True)
    for number in range(120):
        control("offline", event=OFFLINE["event"], data={"number": number})
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        rows = await client.get_all("event.offline.list")
    equal("app: get_all of event.offline.list", len({row["ID"] for row in rows}), 120)
    rows = await client.get_all("event.offline.list", {"filter": {"<ID": rows[0]["ID"]}})
    check("app: get_all with a filter", len(rows) < 120, len(rows))
    equal("app: event.unbind, offline", await result(client, "event.unbind", **OFFLINE), {"count": 1})


async def renewals():
    taken = []
    client = by_token(taken)
    equal("app: a token is asked for first", ((await result(client, "profile"))["ID"], len(taken)), ("1", 1))
    expire()
    equal("expired token: the call succeeds", ((await result(client, "profile"))["ID"], len(taken)), ("1", 2))
    control(f"apps/{APP}/forget", any=True)
    equal("unknown token: the call succeeds", ((await result(client, "profile"))["ID"], len(taken)), ("1", 3))


async def call_errors():
    await refused("wrong webhook", by_webhook("1/nonsense"), "profile", None, 401)
    await refused("unknown method", by_webhook(), "no.such.method", None, 404)
    await refused("offset that is no number", by_webhook(), "im.v2.Event.get", {"offset": "abc"}, 400)
    control("users/1", scopes=["imbot"])
    await refused("missing scope", by_webhook(), "im.v2.Event.get", None, 401)
    control("users/1", scopes=SCOPES)


async def limits():
    client = by_webhook()
    control("faults", kind="error", status=503, code="QUERY_LIMIT_EXCEEDED", times=2, method="profile")
    before = requests_of("profile")
    equal("QUERY_LIMIT_EXCEEDED twice: retried", (await result(client, "profile"))["ID"], "1")
    equal("QUERY_LIMIT_EXCEEDED twice: three requests", requests_of("profile"), before + 3)
    control("portal", execution_s=3)
    await result(client, "server.time")
    control("portal", execution_s=0)
    latest = client.srh.method_throttlers["server.time"]._request_history[0]
    equal("operating time is understood", latest.duration, 3)


async def main():
    control("users/1", scopes=SCOPES)
    for kind, client, secret in [("webhook", by_webhook(), {"botToken": "secret"}), ("app", by_token(), {})]:
        await preflight(kind, client)
        await events(kind, client)
        await batch(kind, client)
        await bots(kind, client, **secret)
    await handlers()
    await lists()
    await renewals()
    await call_errors()
    await limits()


asyncio.run(main())
