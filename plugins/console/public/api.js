// Calls of the console's server. The session is a cookie that no script can read; a change carries the session's CSRF token,
// which is kept in memory alone. A 401 ends the session in the page too.

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
    })
  } catch {
    throw new ApiError(0, {
      code: 'CONSOLE_UNREACHABLE',
      message: 'The console’s server does not answer: is the service that serves this page running?',
    })
  }
  const text = await response.text()
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
  become(await send('POST', 'session', { name }, { authorization: `Bearer ${token}` }))
  ended = false
}

export async function signOut() {
  await send('DELETE', 'session')
  become(null)
}

export const read = path => send('GET', path)
export const ofService = (service, path) => send('GET', `services/${service}/${path}`)
export const post = (service, path, body = {}) => send('POST', `services/${service}/${path}`, body)
/** One more row of the audit log; a failure of it is no reason to stop. */
export const viewed = (page, tenant) => send('POST', 'viewed', { page, tenant }).catch(() => {})
