// One keep-alive HTTP/1.1 connection of the load generator: one request at a time, no pipelining, no more parsing than
// status, length and body need. Cheap on purpose: it shares two cores with what it measures.
// A connection that is lost answers its request with status 0 and is made again for the next one.
import { connect, type Socket } from 'node:net'

export interface HttpReply {
  /** 0: the connection was lost before the whole reply was there. */
  readonly status: number
  readonly body: string
}

const HEAD_END = Buffer.from('\r\n\r\n')
const CHUNKS_END = '0\r\n\r\n'

export class HttpConnection {
  readonly #port: number
  readonly #keepBody: boolean
  #socket: Socket | undefined
  #received: Buffer | undefined
  #onReply: ((reply: HttpReply) => void) | undefined
  #onHead: (() => void) | undefined

  constructor(port: number, keepBody = false) {
    this.#port = port
    this.#keepBody = keepBody
  }

  /** `request` is the whole text, head and body. `onHead` is called at the first bytes of the reply. */
  send(request: string, onReply: (reply: HttpReply) => void, onHead?: () => void): void {
    this.#onReply = onReply
    this.#onHead = onHead
    this.#socket ??= this.#connect()
    this.#socket.write(request, 'latin1')
  }

  /** Cuts the connection, whatever is under way; a waiter for a reply gets status 0. */
  cut(): void {
    const socket = this.#socket
    this.#socket = undefined
    socket?.destroy()
    this.#answer({ status: 0, body: '' })
  }

  #connect(): Socket {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    // Events of a socket that was cut or has closed do not affect the next one.
    socket.on('data', chunk => {
      if (this.#socket === socket) this.#read(chunk)
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      if (this.#socket === socket) this.cut()
    })
    return socket
  }

  #read(chunk: Buffer): void {
    const onHead = this.#onHead
    this.#onHead = undefined
    onHead?.()
    if (!this.#socket) return
    const received = this.#received ? Buffer.concat([this.#received, chunk]) : chunk
    const headEnd = received.indexOf(HEAD_END)
    if (headEnd < 0) {
      this.#received = received
      return
    }
    const head = received.toString('latin1', 0, headEnd)
    const start = headEnd + HEAD_END.length
    if (!isWhole(head, received, start)) {
      this.#received = received
      return
    }
    const body = this.#keepBody ? received.toString('utf8', start) : ''
    if (head.includes('\r\nconnection: close')) {
      this.#socket?.end()
      this.#socket = undefined
    }
    this.#answer({ status: Number(head.slice(9, 12)), body })
  }

  #answer(reply: HttpReply): void {
    const onReply = this.#onReply
    this.#received = undefined
    this.#onReply = undefined
    this.#onHead = undefined
    onReply?.(reply)
  }
}

function isWhole(head: string, received: Buffer, start: number): boolean {
  const at = head.indexOf('\r\ncontent-length: ')
  if (at >= 0) return received.length - start >= Number.parseInt(head.slice(at + 18, at + 30), 10)
  return received.length >= start + 5 && received.toString('latin1', received.length - 5) === CHUNKS_END
}
