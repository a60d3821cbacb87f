// Sends bytes unchanged over a socket and reads the one answer, which no HTTP client allows.
import { once } from 'node:events'
import { connect } from 'node:net'

export interface Answer {
  readonly status: number
  readonly head: string
  readonly body: string
  readonly code: string | undefined
}

export interface Request {
  readonly method?: string
  readonly target?: string
  /** Lines without their end; a Host is added unless there is one (or `host: false`). */
  readonly lines?: readonly string[]
  readonly host?: false
  readonly body?: string
}

/** One request a connection. Text is sent as latin1: one character, one byte. */
export async function send(port: number, request: Request): Promise<Answer> {
  const { method = 'GET', target = '/', lines = [], host, body } = request
  const named = host === false || lines.some(line => /^host\b/i.test(line))
  const head = [
    `${method} ${target} HTTP/1.1`,
    ...(named ? [] : ['Host: localhost']),
    ...lines,
    ...(body === undefined
      ? []
      : ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body, 'latin1')}`]),
    'Connection: close',
  ]
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.setEncoding('latin1').on('data', chunk => {
    text += chunk
  })
  // A server that refuses early resets the rest of the request; its answer counts.
  socket.on('error', () => {})
  socket.write(`${head.join('\r\n')}\r\n\r\n${body ?? ''}`, 'latin1')
  await once(socket, 'close')
  const end = text.indexOf('\r\n\r\n')
  const answered = text.slice(end + 4)
  return { status: Number(text.slice(9, 12)), head: text.slice(0, end), body: answered, code: codeIn(answered) }
}

function codeIn(body: string): string | undefined {
  try {
    return (JSON.parse(body) as { code?: string }).code
  } catch {
    return undefined
  }
}
