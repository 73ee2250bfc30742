"""Runs b24pysdk, the official Python client, against the sandbox: see README.md.

Needs Python 3, the package b24pysdk, the address of a sandbox in PORTAL, and the address of
tls_front.py in FRONT; tests/fidelity/run prepares all of it.

Example: PORTAL=127.0.0.1:8924 FRONT=127.0.0.1:8925 python3 tests/fidelity/with_b24pysdk.py
"""

from bench import read_arguments

# Before the packages are imported, because they may be missing.
read_arguments(__doc__)

from datetime import datetime, timedelta, timezone

from b24pysdk import BitrixApp, BitrixToken, BitrixWebhook, Client
from b24pysdk import errors
from b24pysdk.api.requesters import BitrixOAuthRequester
from b24pysdk.constants import B24AppStatus
from b24pysdk.errors import oauth as oauth_errors
from b24pysdk.schemas.app import AppInfoApplication, AppInfoWebhook

from bench import APP, FRONT, PORTAL, SCOPES, app_secret, check, control, equal, expire, login, refused, requests_of, webhook

# The client has no setting for the authorization server; everything else below is its public interface.
BitrixOAuthRequester._OAUTH_TOKEN_URL = f"https://{FRONT}/oauth/token/"

HANDLER = "https://app.example.com/handler"
BOT = {"code": "fidelity", "properties": {"name": "Fidelity"}, "type": "bot", "eventMode": "fetch"}
SECRET = app_secret()


def webhook_token(token=None):
    return BitrixWebhook(domain=FRONT, webhook_token=token or webhook())


def app_token(user=1, secret=SECRET, **changes):
    grant = login(user)
    fields = {"auth_token": grant["access_token"], "refresh_token": grant["refresh_token"], **changes}
    return BitrixToken(domain=FRONT, bitrix_app=BitrixApp(client_id=APP, client_secret=secret), **fields)


def preflight(kind, token):
    client = Client(token)
    profile = client.profile().value
    equal(f"{kind}: profile", (profile.bitrix_id, profile.admin, profile.personal_gender.value), (1, True, "F"))
    equal(f"{kind}: scope", client.scope().result, SCOPES)
    time = client.server.time().value
    check(f"{kind}: server.time", abs(datetime.now(timezone.utc) - time) < timedelta(minutes=1), time)
    for name, existing in [("im.v2.Event.get", True), ("crm.deal.list", False)]:
        method = client.method.get(name).value
        equal(f"{kind}: method.get of {name}", (method.is_existing, method.is_available), (existing, existing))
    times = client.profile().response.time
    check(f"{kind}: time", times.operating == 0 and times.operating_reset_at > times.date_start, times)


def app_info():
    card = Client(webhook_token()).app.info().value
    check("webhook: app.info", isinstance(card, AppInfoWebhook) and card.scope == SCOPES, card)
    card = Client(app_token()).app.info().value
    check("app: app.info", isinstance(card, AppInfoApplication), card)
    equal("app: app.info, its fields", (card.code, card.status, card.days), (APP, B24AppStatus.LOCAL, None))


def events(kind, token):
    event = Client(token).im.v2.event
    equal(f"{kind}: im.v2.Event.subscribe", event.subscribe().result, True)
    recorded = control("events", user=1, count=3)
    page = event.get(0, limit=2).result
    ids = [row["eventId"] for row in page["events"]]
    equal(f"{kind}: im.v2.Event.get", (len(ids), ids[0]), (2, recorded["first"]))
    equal(f"{kind}: nextOffset and hasMore", (page["nextOffset"], page["hasMore"]), (ids[1] + 1, True))
    page = event.get(page["nextOffset"]).result
    ids = [row["eventId"] for row in page["events"]]
    equal(f"{kind}: the next page", (ids, page["hasMore"]), ([recorded["last"]], False))
    equal(f"{kind}: an empty page", event.get(page["nextOffset"]).result["events"], [])
    equal(f"{kind}: im.v2.Event.unsubscribe", event.unsubscribe().result, True)


def batch(kind, token):
    client = Client(token)
    named = {"who": client.profile(), "what": client.scope(), "queue": client.im.v2.event.get(0, limit=1)}
    result = client.call_batch(named).response.result
    equal(f"{kind}: batch, named", (result.result["who"]["ID"], result.result["what"]), ("1", SCOPES))
    equal(f"{kind}: batch, no errors", (result.result_error, set(result.result_time)), ([], set(named)))
    listed = client.call_batch([client.profile(), client.server.time()]).response.result
    equal(f"{kind}: batch, listed", (type(listed.result), len(listed.result)), (list, 2))
    chained = {"who": ("profile", {}), "queue": ("im.v2.Event.get", {"offset": "$result[who][ID]"})}
    result = token.call_batch(chained)["result"]
    equal(f"{kind}: batch, one call refers to another", result["result"]["queue"]["nextOffset"], 1)
    failing = {"bad": ("no.such.method", {}), "good": ("profile", {})}
    result = token.call_batch(failing)["result"]
    equal(f"{kind}: batch, one fails", (result["result_error"]["bad"]["error"], "good" in result["result"]),
          ("ERROR_METHOD_NOT_FOUND", True))
    result = token.call_batch(failing, halt=True)["result"]
    equal(f"{kind}: batch, halted", (list(result["result_error"]), result["result"]), (["bad"], []))
    times = token.call_batches([("server.time", {})] * 60)["result"]["result"]
    equal(f"{kind}: batches of 60 calls", len(times), 60)


def bots(kind, token, **secret):
    client = Client(token).imbot.v2
    fields = {**BOT, **({"botToken": secret["bot_token"]} if secret else {})}
    bot = client.bot.register(fields).result["bot"]
    equal(f"{kind}: imbot.v2.Bot.register", (bot["code"], bot["eventMode"]), (BOT["code"], "fetch"))
    bot_id = bot["id"]
    equal(f"{kind}: registered again", client.bot.register(fields).result["bot"]["id"], bot_id)
    page = client.bot.list(**secret).result
    equal(f"{kind}: imbot.v2.Bot.list", ([row["id"] for row in page["bots"]], page["hasNextPage"]), ([bot_id], False))
    equal(f"{kind}: imbot.v2.Bot.get", client.bot.get(bot_id=bot_id, **secret).result["bot"]["code"], BOT["code"])
    refused(f"{kind}: imbot.v2.Bot.get of nobody", errors.BitrixAPIBadRequest,
            lambda: client.bot.get(bot_id=9999, **secret).result, error="BOT_NOT_FOUND")
    recorded = control("events", bot=bot_id, count=2)
    page = client.event.get(bot_id, offset=0, **secret).result
    ids = [row["eventId"] for row in page["events"]]
    equal(f"{kind}: imbot.v2.Event.get", ids, [recorded["first"], recorded["last"]])
    known = token.call_method("imbot.bot.list")["result"]
    equal(f"{kind}: imbot.bot.list", known[str(bot_id)]["CODE"], BOT["code"])
    equal(f"{kind}: imbot.v2.Bot.unregister", client.bot.unregister(bot_id, **secret).result, {"result": True})
    bot_id = client.bot.register(fields).result["bot"]["id"]
    first = {"BOT_ID": bot_id, **({"CLIENT_ID": secret["bot_token"]} if secret else {})}
    equal(f"{kind}: imbot.unregister", token.call_method("imbot.unregister", first)["result"], True)
    refused(f"{kind}: imbot.unregister again", errors.BitrixAPIBadRequest,
            lambda: token.call_method("imbot.unregister", first), error="BOT_ID_ERROR")
    equal(f"{kind}: imbot.bot.list of none", token.call_method("imbot.bot.list")["result"], [])


def handlers():
    refused("webhook: event.get", errors.BitrixAPIWrongAuthType, lambda: Client(webhook_token()).event.get().values)
    event = Client(app_token()).event
    equal("app: event.bind", event.bind("ONIMBOTV2MESSAGEADD", HANDLER).result, True)
    refused("app: event.bind again", errors.BitrixAPIBadRequest,
            lambda: event.bind("ONIMBOTV2MESSAGEADD", HANDLER).result, error="ERROR_CORE")
    refused("app: event.bind of no event", errors.BitrixAPIBadRequest,
            lambda: event.bind("ONNOTHING", HANDLER).result, error="ERROR_EVENT_NOT_FOUND")
    (bound,) = event.get().values
    equal("app: event.get", (bound.event, bound.handler, bound.offline), ("ONIMBOTV2MESSAGEADD", HANDLER, False))
    equal("app: event.unbind", event.unbind("ONIMBOTV2MESSAGEADD", HANDLER).value, 1)
    equal("app: event.unbind again", event.unbind("ONIMBOTV2MESSAGEADD", HANDLER).value, 0)
    equal("app: event.get of none", event.get().values, [])


def offline_events():
    event = Client(app_token()).event
    equal("app: event.bind, offline", event.bind("ONIMBOTV2MESSAGEADD", event_type="offline").result, True)
    (bound,) = event.get().values
    equal("app: event.get, offline", (bound.event, bound.offline), ("ONIMBOTV2MESSAGEADD", True))
    for number in range(120):
        control("offline", event="ONIMBOTV2MESSAGEADD", data={"number": number})
    rows = event.offline.list().as_list().values
    equal("app: event.offline.list, all pages", len({row.bitrix_pk for row in rows}), 120)
    rows = event.offline.list().as_list_fast().values
    equal("app: event.offline.list, by last ids", len({row.bitrix_pk for row in rows}), 120)
    rows = event.offline.list().as_list_fast(descending=True, limit=70).values
    equal("app: event.offline.list, from the end", [row.bitrix_pk for row in rows], list(range(120, 50, -1)))
    taken = event.offline.get(limit=5).values
    equal("app: event.offline.get", len(taken), 5)
    equal("app: event.unbind, offline", event.unbind("ONIMBOTV2MESSAGEADD", event_type="offline").value, 1)


def renewals():
    token = app_token()
    old = (token.auth_token, token.refresh_token)
    expire()
    equal("expired token: the call succeeds", Client(token).profile().value.bitrix_id, 1)
    check("expired token: both tokens are new", not {token.auth_token, token.refresh_token} & set(old), old)
    fresh = token.refresh_oauth_token()
    equal("refresh", (fresh.user_id, fresh.scope, fresh.client_endpoint), (1, SCOPES, f"http://{PORTAL}/rest/"))
    token.oauth_token = fresh.oauth_token
    token.expires = datetime.now(timezone.utc) - timedelta(hours=1)
    before = requests_of("oauth/token")
    equal("known to be expired: the call succeeds", Client(token).profile().value.bitrix_id, 1)
    equal("known to be expired: refreshed first", requests_of("oauth/token"), before + 1)
    expire(refresh=True)
    refused("refresh token expired", oauth_errors.BitrixOAuthInvalidGrant, lambda: Client(token).profile().value)
    code = authorise()
    grant = token.get_oauth_token(code)
    equal("code exchange", (grant.user_id, grant.scope, grant.status), (1, SCOPES, B24AppStatus.LOCAL))
    token.oauth_token = grant.oauth_token
    equal("code exchange: a call", Client(token).profile().value.bitrix_id, 1)
    check("code exchange: expires", grant.oauth_token.expires > datetime.now(timezone.utc), grant.oauth_token)


def authorise():
    """Goes through the browser's part by hand: no client has one."""
    import requests

    query = {"client_id": APP, "state": "any"}
    answer = requests.get(f"http://{PORTAL}/oauth/authorize/", params=query, allow_redirects=False)
    return answer.headers["Location"].split("code=")[1].split("&")[0]


def authorization_errors():
    app = BitrixApp(client_id=APP, client_secret=SECRET)
    refused("code of nobody", errors.BitrixAPIBadRequest, lambda: app.get_oauth_token("nothing"),
            error="bad_verification_code")
    refused("wrong secret", oauth_errors.BitrixOAuthInvalidClient,
            lambda: BitrixApp(client_id=APP, client_secret="wrong").get_oauth_token("any"), status_code=400)
    refused("wrong client id", oauth_errors.BitrixOauthWrongClient,
            lambda: BitrixApp(client_id="local.nobody", client_secret=SECRET).get_oauth_token("any"), status_code=200)
    control("apps", client_id=APP, installed=False)
    refused("not installed: refresh", oauth_errors.BitrixOAuthNotInstalled, lambda: app.refresh_oauth_token("any"))
    refused("not installed: call", errors.BitrixAPIErrorOAuth, lambda: Client(app_token()).profile().value)
    control("apps", client_id=APP, installed=True)


def call_errors():
    profile = lambda token: lambda: Client(token).profile().value
    webhook_of_nobody = webhook_token("1/nonsense")
    refused("wrong webhook", errors.BitrixAPIInvalidCredentials, profile(webhook_of_nobody), status_code=401)
    refused("unknown token", errors.BitrixAPIInvalidToken, profile(app_token(auth_token="nonsense")), status_code=401)
    refused("empty token", oauth_errors.BitrixOAuthNoAuthFound, profile(app_token(auth_token="")), status_code=401)
    refused("unknown method", errors.BitrixAPINotFound, lambda: webhook_token().call_method("no.such.method"),
            error="ERROR_METHOD_NOT_FOUND", status_code=404)
    refused("offset that is no number", errors.BitrixAPIBadRequest,
            lambda: webhook_token().call_method("im.v2.Event.get", {"offset": "abc"}), error="100")
    token = app_token(refresh_token=None)
    expire()
    refused("expired token without a refresh", errors.BitrixAPIExpiredToken, profile(token), status_code=401)
    control("users/1", scopes=["imbot"])
    refused("missing scope", errors.BitrixAPIInsufficientScope,
            lambda: Client(webhook_token()).im.v2.event.get(0).result, status_code=401)
    control("users/1", scopes=SCOPES)
    control("users/1", active=False)
    refused("dismissed user", errors.BitrixAPIAuthorizationError, profile(webhook_token()), status_code=401)
    control("users/1", active=True)


def limits():
    fault = {"kind": "error", "status": 503, "code": "QUERY_LIMIT_EXCEEDED"}
    client = Client(webhook_token(), max_retries=3, initial_retry_delay=0.05, retry_delay_increment=0)
    control("faults", **fault, times=2, method="profile")
    before = requests_of("profile")
    equal("QUERY_LIMIT_EXCEEDED twice: retried", client.profile().value.bitrix_id, 1)
    equal("QUERY_LIMIT_EXCEEDED twice: three requests", requests_of("profile"), before + 3)
    control("faults", **fault, times=3, method="profile")
    refused("QUERY_LIMIT_EXCEEDED for good", errors.BitrixAPIQueryLimitExceeded, lambda: client.profile().value,
            status_code=503)
    control("portal", bucket={"burst": 1, "drain_per_s": 0.001})
    # What has drained since the first call leaves room for the second.
    for _ in range(2):
        client.profile().value
    refused("full bucket", errors.BitrixAPIQueryLimitExceeded, lambda: client.profile().value)
    control("portal", bucket=None)
    control("portal", operating_limit_s=1, execution_s=2)
    client.server.time().value
    refused("operating limit", errors.BitrixAPIOperationTimeLimit, lambda: client.server.time().value, status_code=429)
    control("portal", operating_limit_s=None, execution_s=0)


def renamed_portal():
    address = control("move", back=False)["address"]
    token = webhook_token()
    token._AUTO_CHANGED_DOMAIN = False
    refused("renamed portal", errors.BitrixResponse302JSONDecodeError, lambda: Client(token).profile().value,
            redirect_url=f"http://{address}/rest/{webhook()}/profile.json")
    control("move", back=True)


def main():
    control("users/1", scopes=SCOPES)
    for kind, token, secret in [("webhook", webhook_token(), {"bot_token": "secret"}), ("app", app_token(), {})]:
        preflight(kind, token)
        events(kind, token)
        batch(kind, token)
        bots(kind, token, **secret)
    app_info()
    handlers()
    offline_events()
    renewals()
    authorization_errors()
    call_errors()
    limits()
    renamed_portal()


main()
