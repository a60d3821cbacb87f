// Calls of the console's server. The session is a cookie that no script can read; a change carries the session's CSRF token,
// which is kept in memory alone. A 401 ends the session in the page too; a sign-in or sign-out counts in every tab of the browser at
// once, as they share the cookie. Invariant: a call ends within its deadline.

let session = null
/** The server has ended a session that this page had. */
let ended = false
export const sessionEnded = () => ended
const listeners = new Set()

export const currentSession = () => session
export const onSession = listener => {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

const READ_DEADLINE_MS = 30_000
/** An action on a filter takes its time. */
const CHANGE_DEADLINE_MS = 310_000

/** How far the clock of this browser is behind the server's. */
let behindMs = 0
const SKEW_MS = 2_000
/** By the server's clock, to a second or two. */
export const serverNow = () => Date.now() + behindMs

function compareClocks({ headers }) {
  const behind = Date.parse(headers.get('date') ?? '') - Date.now()
  if (Number.isFinite(behind)) behindMs = Math.abs(behind) > SKEW_MS ? behind : 0
}

const tabs = new BroadcastChannel(`console session ${location.pathname}`)
tabs.onmessage = async () => {
  const had = session
  // A tab whose server does not answer finds out with its next call.
  const found = await send('GET', 'session').catch(() => null)
  if (!found) return
  if (had && !found.session) ended = true
  if (found.session?.csrf !== had?.csrf) become(found.session)
}

function become(next) {
  session = next
  for (const listener of listeners) listener(session)
}

/** An error of the server: `code`, `status`, and a message that ends with the cure. */
export class ApiError extends Error {
  constructor(status, { code = 'UNKNOWN', message = 'The server has answered without a reason.', ...more } = {}) {
    super(message)
    this.status = status
    this.code = code
    this.more = more
  }
}

async function send(method, path, body, headers = {}) {
  let response
  let text
  try {
    response = await fetch(`api/${path}`, {
      method,
      headers: {
        accept: 'application/json',
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(method !== 'GET' && session && { 'x-csrf-token': session.csrf }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(method === 'GET' ? READ_DEADLINE_MS : CHANGE_DEADLINE_MS),
    })
    compareClocks(response)
    text = await response.text()
  } catch {
    throw new ApiError(0, {
      code: 'CONSOLE_UNREACHABLE',
      message: 'The console’s server does not answer: is the service that serves this page running?',
    })
  }
  const answer = text === '' ? null : parse(text)
  if (response.ok) return answer
  if (response.status === 401 && session) {
    ended = true
    become(null)
  }
  throw new ApiError(response.status, answer ?? {})
}

function parse(text) {
  try {
    return JSON.parse(text)
  } catch {
    return { message: text.slice(0, 200) }
  }
}

/** @returns where the application's own login is, if there is one; the session, if there is one, is announced */
export async function restoreSession() {
  const { session: found, signInUrl } = await send('GET', 'session')
  if (found) become(found)
  return { signInUrl }
}

/** The token goes to the server once and is kept nowhere. */
export async function signIn(name, token) {
  const found = await send('POST', 'session', { name }, { authorization: `Bearer ${token}` })
  ended = false
  become(found)
  tabs.postMessage('changed')
}

export async function signOut() {
  await send('DELETE', 'session')
  ended = false
  become(null)
  tabs.postMessage('changed')
}

export const read = path => send('GET', path)
export const ofService = (service, path) => send('GET', `services/${service}/${path}`)
export const post = (service, path, body = {}) => send('POST', `services/${service}/${path}`, body)
/** One more row of the audit log; a failure of it is no reason to stop. */
export const viewed = (page, tenant) => send('POST', 'viewed', { page, tenant }).catch(() => {})
