// Runs @bitrix24/b24jssdk, the official JavaScript client, against the sandbox: see README.md.

import assert from 'node:assert/strict'

const USAGE = `usage: with_b24jssdk.mjs

Runs @bitrix24/b24jssdk, the official JavaScript client, against the sandbox.

Needs Node.js 18 or newer, the package @bitrix24/b24jssdk, the address of a sandbox in PORTAL, and the address of
tls_front.py in FRONT; tests/fidelity/run prepares all of it.

  -h, --help   show this text

Example: PORTAL=127.0.0.1:8924 FRONT=127.0.0.1:8925 node tests/fidelity/with_b24jssdk.mjs`

const [argument] = process.argv.slice(2)
if (argument === '-h' || argument === '--help') {
  console.log(USAGE)
  process.exit()
}
if (argument !== undefined) {
  console.error(USAGE)
  process.exit(2)
}

// After the arguments are read, because the package may be missing.
const { AjaxError, B24Hook, B24OAuth, LoadDataType, ParamsFactory, RefreshTokenError, SdkError, useB24Helper } =
  await import('@bitrix24/b24jssdk')

const { PORTAL, FRONT } = process.env
const APP = 'local.sandbox.1'
const SCOPES = ['im', 'imbot']
const HANDLER = 'https://app.example.com/handler'
const BOT = { code: 'js', properties: { name: 'Js' }, eventMode: 'fetch' }
// The client's own pauses would only make this slow.
const BRISK = { ...ParamsFactory.getDefault(), retryDelay: 50 }

/** Prints one line for a checked call; the first that differs ends the run. */
function equal(call, seen, expected) {
  try {
    assert.deepEqual(seen, expected)
  } catch (error) {
    console.log(`DIFFERS  ${call}: ${error.message}`)
    process.exit(1)
  }
  console.log(`ok       ${call}`)
}

/** Checks that `run` throws exactly `type`, with this code and status. */
async function refused(call, run, code, status, type = AjaxError) {
  const error = await run().then(answer => ({ answer }), error => error)
  equal(call, [error.constructor, error.code, error.status], [type, code, status])
}

/** Asks the control API of the sandbox: a POST with a body, else a GET. */
async function control(path, body) {
  const request = body ? { method: 'POST', body: JSON.stringify(body) } : {}
  const response = await fetch(`http://${PORTAL}/sandbox/${path}`, request)
  assert.equal(response.status, 200, `${path}: ${response.status}`)
  return response.json()
}

const requestsOf = async method => (await control('stats')).requests[method] ?? 0
const expire = body => control(`apps/${APP}/expire`, body ?? {})

async function hook(secret) {
  const user = (await control('users')).find(row => row.id === 1)
  const path = secret ? `/rest/1/${secret}/` : new URL(user.webhook_url).pathname
  return B24Hook.fromWebhookUrl(`https://${FRONT}${path}`, { restrictionParams: BRISK })
}

async function oauth(changes) {
  const grant = await control(`apps/${APP}/login`, { user: 1 })
  const [{ client_secret: clientSecret }] = await control('apps')
  const params = {
    applicationToken: '', userId: grant.user_id, memberId: grant.member_id,
    accessToken: grant.access_token, refreshToken: grant.refresh_token,
    expires: grant.expires, expiresIn: grant.expires_in, scope: grant.scope, domain: grant.domain,
    clientEndpoint: grant.client_endpoint, serverEndpoint: grant.server_endpoint, status: grant.status,
    ...changes,
  }
  return new B24OAuth(params, { clientId: APP, clientSecret }, { restrictionParams: BRISK })
}

const answer = (b24, method, params = {}) => b24.actions.v2.call.make({ method, params })
const result = async (b24, method, params) => (await answer(b24, method, params)).getData().result

async function preflight(kind, b24) {
  const profile = await result(b24, 'profile')
  equal(`${kind}: profile`, [profile.ID, profile.ADMIN], ['1', true])
  equal(`${kind}: scope`, await result(b24, 'scope'), SCOPES)
  equal(`${kind}: server.time`, Math.abs(new Date(await result(b24, 'server.time')) - Date.now()) < 60_000, true)
  equal(`${kind}: method.get`, await result(b24, 'method.get', { name: 'im.v2.Event.get' }),
    { isExisting: true, isAvailable: true })
  equal(`${kind}: app.info`, typeof (await result(b24, 'app.info')).LICENSE, 'string')
  equal(`${kind}: health check`, await b24.tools.healthCheck.make(), true)
  equal(`${kind}: ping`, await b24.tools.ping.make() >= 0, true)
}

async function events(kind, b24) {
  equal(`${kind}: im.v2.Event.subscribe`, await result(b24, 'im.v2.Event.subscribe'), true)
  const recorded = await control('events', { user: 1, count: 3 })
  let page = await result(b24, 'im.v2.Event.get', { offset: 0, limit: 2 })
  equal(`${kind}: im.v2.Event.get`, [page.events.length, page.events[0].eventId, page.hasMore],
    [2, recorded.first, true])
  page = await result(b24, 'im.v2.Event.get', { offset: page.nextOffset })
  equal(`${kind}: the next page`, [page.events.map(row => row.eventId), page.hasMore], [[recorded.last], false])
  equal(`${kind}: im.v2.Event.unsubscribe`, await result(b24, 'im.v2.Event.unsubscribe'), true)
}

async function batch(kind, b24) {
  const make = (calls, options = {}) => b24.actions.v2.batch.make({ calls, options })
  const named = { who: { method: 'profile' }, what: { method: 'scope' }, queue: ['im.v2.Event.get', { offset: 0 }] }
  const data = (await make(named)).getData()
  equal(`${kind}: batch, named`, [data.who.ID, data.what, data.queue.events], ['1', SCOPES, []])
  const listed = (await make([['profile', {}], ['server.time', {}]])).getData()
  equal(`${kind}: batch, listed`, [listed.length, listed[0].ID], [2, '1'])
  const chained = { who: { method: 'profile' }, queue: ['im.v2.Event.get', { offset: '$result[who][ID]' }] }
  equal(`${kind}: batch, one call refers to another`, (await make(chained)).getData().queue.nextOffset, 1)
  const failing = { bad: { method: 'no.such.method' }, good: { method: 'profile' } }
  const lenient = await make(failing, { isHaltOnError: false, returnAjaxResult: true })
  const { bad, good } = lenient.getData()
  equal(`${kind}: batch, one fails`,
    [lenient.isSuccess, [...bad.getErrors()][0].code, good.isSuccess], [false, 'ERROR_METHOD_NOT_FOUND', true])
  const halted = await make(failing, { returnAjaxResult: true })
  equal(`${kind}: batch, halted`, Object.keys(halted.getData()), ['bad'])
  const chunks = await b24.actions.v2.batchByChunk.make({ calls: Array(60).fill(['server.time', {}]) })
  equal(`${kind}: batches of 60 calls`, chunks.getData().length, 60)
}

async function bots(kind, b24, secret) {
  const fields = { ...BOT, ...secret }
  const { bot } = await result(b24, 'imbot.v2.Bot.register', { fields })
  equal(`${kind}: imbot.v2.Bot.register`, [bot.code, bot.eventMode], [BOT.code, 'fetch'])
  const own = { botId: bot.id, ...secret }
  const page = await result(b24, 'imbot.v2.Bot.list', secret)
  equal(`${kind}: imbot.v2.Bot.list`, [page.bots.map(row => row.id), page.hasNextPage], [[bot.id], false])
  equal(`${kind}: imbot.v2.Bot.get`, (await result(b24, 'imbot.v2.Bot.get', own)).bot.code, BOT.code)
  await refused(`${kind}: imbot.v2.Bot.get of nobody`,
    () => result(b24, 'imbot.v2.Bot.get', { ...secret, botId: 9999 }), 'BOT_NOT_FOUND', 400)
  const recorded = await control('events', { bot: bot.id, count: 2 })
  const { events } = await result(b24, 'imbot.v2.Event.get', own)
  equal(`${kind}: imbot.v2.Event.get`, events.map(row => row.eventId), [recorded.first, recorded.last])
  equal(`${kind}: imbot.bot.list`, (await result(b24, 'imbot.bot.list'))[bot.id].CODE, BOT.code)
  equal(`${kind}: imbot.v2.Bot.unregister`, await result(b24, 'imbot.v2.Bot.unregister', own), { result: true })
  const { bot: next } = await result(b24, 'imbot.v2.Bot.register', { fields })
  const first = { BOT_ID: next.id, ...(secret.botToken && { CLIENT_ID: secret.botToken }) }
  equal(`${kind}: imbot.unregister`, await result(b24, 'imbot.unregister', first), true)
  await refused(`${kind}: imbot.unregister again`, () => result(b24, 'imbot.unregister', first), 'BOT_ID_ERROR', 400)
}

async function handlers() {
  const webhook = await hook()
  await refused('webhook: event.get', () => result(webhook, 'event.get'), 'WRONG_AUTH_TYPE', 403)
  const b24 = await oauth()
  const bound = { event: 'ONIMBOTV2MESSAGEADD', handler: HANDLER }
  equal('app: event.bind', await result(b24, 'event.bind', bound), true)
  await refused('app: event.bind again', () => result(b24, 'event.bind', bound), 'ERROR_CORE', 400)
  equal('app: event.get', (await result(b24, 'event.get')).map(row => row.handler), [HANDLER])
  equal('app: event.unbind', await result(b24, 'event.unbind', bound), { count: 1 })
  equal('app: event.get of none', await result(b24, 'event.get'), [])
}

async function lists() {
  const b24 = await oauth()
  const bound = { event: 'ONIMBOTV2MESSAGEADD', event_type: 'offline' }
  equal('app: event.bind, offline', await result(b24, 'event.bind', bound), true)
  for (let number = 0; number < 120; number++) {
    await control('offline', { event: bound.event, data: { number } })
  }
  const method = 'event.offline.list'
  const ids = async rows => new Set((await rows).map(row => row.ID)).size
  equal('app: callList', await ids(b24.actions.v2.callList.make({ method }).then(list => list.getData())), 120)
  const pages = []
  for await (const page of b24.actions.v2.fetchList.make({ method })) {
    pages.push(page.length)
  }
  equal('app: fetchList', pages, [50, 50, 20])
  const first = await answer(b24, method)
  equal('app: total and next', [first.getTotal(), first.isMore()], [120, true])
  const second = await first.getNext(b24.getHttpClient('v2'))
  equal('app: getNext', await ids([...first.getData().result, ...second.getData().result]), 100)
  equal('app: event.unbind, offline', await result(b24, 'event.unbind', bound), { count: 1 })
}

async function facts() {
  const b24 = await oauth()
  await b24.initIsAdmin()
  equal('app: initIsAdmin', b24.auth.isAdmin, true)
  const { initB24Helper, getB24Helper } = useB24Helper()
  await initB24Helper(b24, [LoadDataType.App, LoadDataType.Profile])
  const { appInfo, profileInfo, licenseInfo, paymentInfo } = getB24Helper()
  equal('app: the application', [appInfo.data.code, appInfo.data.isInstalled], [APP, true])
  equal('app: the user', [profileInfo.data.id, profileInfo.data.isAdmin], [1, true])
  equal('app: the plan', [typeof licenseInfo.data.licenseFamily, paymentInfo.data.isExpired], ['string', false])
}

async function renewals() {
  const b24 = await oauth()
  const renewed = []
  b24.setCallbackRefreshAuth(async ({ b24OAuthParams }) => renewed.push({ ...b24OAuthParams }))
  await expire()
  equal('expired token: the call succeeds', (await result(b24, 'profile')).ID, '1')
  equal('expired token: what the refresh says',
    [renewed.length, renewed[0].clientEndpoint, renewed[0].scope], [1, `http://${PORTAL}/rest/`, SCOPES.join(',')])
  await control(`apps/${APP}/forget`, {})
  equal('unknown token: the call succeeds', [(await result(b24, 'profile')).ID, renewed.length], ['1', 2])
  await expire()
  const several = await Promise.all(Array.from({ length: 5 }, () => result(b24, 'profile')))
  equal('expired token, five at once', several.map(profile => profile.ID), Array(5).fill('1'))
  const stale = await oauth({ expires: 1 })
  equal('known to be expired: refreshed first', (await result(stale, 'profile')).ID, '1')
  await expire({ refresh: true })
  // Around a call the client wraps the refusal of the refresh.
  const unwrapped = error => Promise.reject(error.originalError)
  await refused('refresh token expired', () => result(b24, 'profile').catch(unwrapped),
    'invalid_grant', 400, RefreshTokenError)
  const unknown = new B24OAuth({ ...renewed[0] }, { clientId: 'local.nobody', clientSecret: 'x' })
  await refused('wrong client id', () => unknown.auth.refreshAuth(), 'JSSDK_OAUTH_TOKEN_REFRESH_FAILED', 0, SdkError)
  const wrong = new B24OAuth({ ...renewed[0] }, { clientId: APP, clientSecret: 'x' })
  await refused('wrong secret', () => wrong.auth.refreshAuth(), 'invalid_client', 400, RefreshTokenError)
}

async function callErrors() {
  const b24 = await hook()
  const stranger = await hook('nonsense')
  await refused('wrong webhook', () => result(stranger, 'profile'), 'INVALID_CREDENTIALS', 401)
  await refused('unknown method', () => result(b24, 'no.such.method'), 'ERROR_METHOD_NOT_FOUND', 404)
  await refused('offset that is no number', () => result(b24, 'im.v2.Event.get', { offset: 'abc' }), '100', 400)
  await control('users/1', { scopes: ['imbot'] })
  await refused('missing scope', () => result(b24, 'im.v2.Event.get'), 'insufficient_scope', 401)
  await control('users/1', { scopes: SCOPES })
  await control('faults', { kind: 'error', status: 401, code: 'expired_token', times: 2 })
  await refused('expired token of a webhook', () => result(b24, 'profile'), 'expired_token', 401)
  await control('portal', { closed: true })
  await refused('closed portal', () => result(b24, 'profile'), 'PORTAL_DELETED', 403)
  await control('portal', { closed: false })
}

async function limits() {
  const b24 = await hook()
  const fault = { kind: 'error', status: 503, code: 'QUERY_LIMIT_EXCEEDED', method: 'profile' }
  await control('faults', { ...fault, times: 1 })
  const before = await requestsOf('profile')
  equal('QUERY_LIMIT_EXCEEDED once: retried', (await result(b24, 'profile')).ID, '1')
  equal('QUERY_LIMIT_EXCEEDED once: two requests', await requestsOf('profile'), before + 2)
  await b24.setRestrictionManagerParams({ ...BRISK, maxRetries: 1 })
  await control('faults', { ...fault, times: 1 })
  await refused('QUERY_LIMIT_EXCEEDED for good', () => result(b24, 'profile'), 'QUERY_LIMIT_EXCEEDED', 503)
  await control('portal', { operating_limit_s: 1, execution_s: 2 })
  await result(b24, 'server.time')
  await refused('operating limit', () => result(b24, 'server.time'), 'OPERATION_TIME_LIMIT', 429)
  const { operatingStats } = b24.getHttpClient('v2').getStats()
  equal('operating time is understood', operatingStats['server.time'], 2)
  await control('portal', { operating_limit_s: null, execution_s: 0 })
}

await control('users/1', { scopes: SCOPES })
for (const [kind, b24, secret] of [['webhook', await hook(), { botToken: 'secret' }], ['app', await oauth(), {}]]) {
  await preflight(kind, b24)
  await events(kind, b24)
  await batch(kind, b24)
  await bots(kind, b24, secret)
}
await handlers()
await lists()
await facts()
await renewals()
await callErrors()
await limits()
