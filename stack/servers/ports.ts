// Free TCP ports on this machine. A chosen port is only likely to stay free: whoever starts a server on one tries again
// with another when it was taken in between.
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

export class PortTaken extends Error {
  readonly port: number
  constructor(port: number, what: string) {
    super(`${what} cannot listen on port ${port}: something else listens there. Stop that, or choose another port.`)
    this.port = port
  }
}

// Below the range the kernel gives to outgoing connections. A port from that range can be lost while its server is
// stopped: a client that keeps reconnecting is sometimes given that very port, connects to itself and holds it.
const first = 12_000
const last = 31_000

export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = randomInt(first, last)
    if (await isFree(port)) return port
  }
  throw new Error(`No free TCP port was found between ${first} and ${last}. Close what listens there and try again.`)
}

export function isFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** Runs `start` on the demanded port, or on free ones until one is still free when `start` gets there. */
export async function onPort<T>(demanded: number | undefined, start: (port: number) => Promise<T>): Promise<T> {
  if (demanded) return start(demanded)
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(await freePort())
    } catch (error) {
      if (!(error instanceof PortTaken) || attempt === 5) throw error
    }
  }
}
