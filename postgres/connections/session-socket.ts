// A socket that begins its session by itself: the startup message and SCRAM go to the server as soon as they can, past the
// driver, which waits for a timer first and takes several turns of the loop for each message. The driver is shown the end of
// the start, or the server's refusal, and then every byte. Without TLS only; other ways to log in are left to the driver.
// Invariant: the driver's own startup message is never sent, and nothing else of the driver's is left out.

import { createScram, SCRAM, type Scram } from './scram.js'
import { CountedSocket } from './socket.js'

export interface SessionStart {
  readonly host: string
  readonly port: number
  /** Of the startup message: user, database and settings. */
  readonly parameters: Readonly<Record<string, string | number>>
  readonly password: string
  readonly onStandby: (standby: boolean) => void
}

/** All sockets read into one buffer: what is read is handed on, as a copy, before the next read. */
const received = Buffer.allocUnsafe(65_536)

const PROTOCOL = 0x0003_0000
const TYPE = { authentication: 0x52, parameter: 0x53, ready: 0x5a, password: 0x70 } as const
const AUTHENTICATION = { ok: 0, sasl: 10, challenge: 11, last: 12 } as const
const HEADER = 5
/** Bytes of the kind of authentication. */
const KIND = 4
const NOTHING = Buffer.alloc(0)
const STANDBY = Buffer.from('in_hot_standby\0')

export class SessionSocket extends CountedSocket {
  readonly #start: SessionStart
  /** Null once all bytes go to the driver. */
  #unread: Buffer | null = NOTHING
  #scram: Scram | null = null
  #proven = false
  /** For the driver, which does not listen yet. */
  #held: Buffer[] = []
  #driverListens = false
  /** `write` as it was before the driver's. */
  #send = this.write

  constructor(start: SessionStart, gone: (error: Error | null) => void) {
    super(gone, {
      buffer: received,
      callback: size => {
        this.#receive(size)
        return true
      },
    })
    this.#start = start
  }

  begin(): void {
    const { host, port, parameters } = this.#start
    this.connect({ host, port })
    this.write(startupMessage(parameters))
    this.#send = this.write
    // Set here, as `connect` has just set it anew.
    this.write = (chunk: unknown) => this.#firstOfDriver(chunk as Buffer)
  }

  /** The driver's first message is its startup message: the driver listens from now on. */
  #firstOfDriver(bytes: Buffer): boolean {
    this.write = this.#send
    if (bytes.length < 8 || bytes.readInt32BE(4) !== PROTOCOL) {
      this.destroy(new Error('the driver begins its session otherwise'))
    }
    // Not yet: the driver is about to forget what it has written, and an answer to what it is shown would go with it.
    process.nextTick(() => {
      this.#driverListens = true
      for (const held of this.#held.splice(0)) this.#show(held)
    })
    return true
  }

  #receive(size: number): void {
    if (this.#unread === null) {
      const bytes = Buffer.allocUnsafe(size)
      received.copy(bytes, 0, 0, size)
      this.#show(bytes)
    } else if (!this.destroyed) {
      this.#read(Buffer.concat([this.#unread, received.subarray(0, size)]))
    }
  }

  #show(bytes: Buffer): void {
    if (this.#driverListens) this.emit('data', bytes)
    else this.#held.push(bytes)
  }

  /** Reads whole messages; the rest waits for more. */
  #read(bytes: Buffer): void {
    let at = 0
    while (bytes.length - at > HEADER - 1) {
      const end = at + 1 + bytes.readUInt32BE(at + 1)
      if (bytes.length < end) break
      if (!this.#handle(bytes[at] as number, bytes.subarray(at + HEADER, end))) {
        this.#unread = null
        this.#show(bytes.subarray(at))
        return
      }
      // Nothing is read behind a message that was not believed.
      if (this.destroyed) return
      at = end
    }
    this.#unread = bytes.subarray(at)
  }

  /** @returns false for a message that is the driver's, like all behind it */
  #handle(type: number, body: Buffer): boolean {
    if (type === TYPE.authentication) return this.#authenticate(body)
    if (type !== TYPE.parameter) return false
    // The server sends a dozen of others.
    if (body.length > STANDBY.length && STANDBY.compare(body, 0, STANDBY.length) === 0) {
      this.#start.onStandby(body.toString('latin1', STANDBY.length, body.length - 1) === 'on')
    }
    return true
  }

  #authenticate(body: Buffer): boolean {
    if (body.length < KIND) {
      this.destroy(Object.assign(new Error('the server sent a message that is too short'), { code: '08P01' }))
      return true
    }
    switch (body.readInt32BE(0)) {
      case AUTHENTICATION.ok:
        return this.#trying(scram => {
          if (scram && !this.#proven) throw new Error('the server has not proved that it knows the password')
        })
      case AUTHENTICATION.sasl:
        if (!body.toString('latin1', 4).split('\0').includes(SCRAM)) return false
        this.#scram = createScram(this.#start.password)
        this.#send(saslStart(this.#scram.first))
        return true
      case AUTHENTICATION.challenge:
        return this.#trying(scram => {
          if (!scram) throw new Error('the server answers what was not asked')
          this.#send(message(TYPE.password, scram.answer(body.toString('latin1', 4))))
        })
      case AUTHENTICATION.last:
        return this.#trying(scram => {
          this.#proven = scram?.proves(body.toString('latin1', 4)) ?? false
          if (!this.#proven) throw new Error('the server does not know the password')
        })
      default:
        return false
    }
  }

  #trying(step: (scram: Scram | null) => void): boolean {
    try {
      step(this.#scram)
    } catch (error) {
      this.destroy(Object.assign(error as Error, { code: 'SASL_SIGNATURE_MISMATCH' }))
    }
    return true
  }
}

function startupMessage(parameters: SessionStart['parameters']): Buffer {
  const text = Object.entries(parameters).map(([name, value]) => `${name}\0${value}\0`)
  const bytes = Buffer.from(`\0\0\0\0\0\0\0\0${text.join('')}\0`)
  bytes.writeInt32BE(bytes.length, 0)
  bytes.writeInt32BE(PROTOCOL, 4)
  return bytes
}

function message(type: number, text: string): Buffer {
  const bytes = Buffer.from(`\0\0\0\0\0${text}`, 'latin1')
  bytes[0] = type
  bytes.writeInt32BE(bytes.length - 1, 1)
  return bytes
}

function saslStart(first: string): Buffer {
  const bytes = message(TYPE.password, `${SCRAM}\0\0\0\0\0${first}`)
  bytes.writeInt32BE(first.length, HEADER + SCRAM.length + 1)
  return bytes
}
