// Free TCP ports on this machine. A chosen port is only likely to stay free: the caller tries again
// with another when it was taken in between.
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

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
// Each process looks in a part of its own first: two at once hardly ever find the same port before one listens there.
const parts = 19
const part = (last - first) / parts
const own = first + part * (process.pid % parts)

// Not given twice in one process, where the first taker may not listen yet.
const given = new Set<number>()

export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = attempt < 100 ? randomInt(own, own + part) : randomInt(first, last)
    if (given.has(port)) continue
    given.add(port)
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

/** Throws, naming the first port that is taken. Waits a moment first: a stack that was just ended may be on its way out. */
export async function checkPorts(ports: Record<string, number>, patience = 2000): Promise<void> {
  const end = performance.now() + patience
  for (const [name, port] of Object.entries(ports)) {
    while (!((await isFree(port)) && (await isFree(port, '0.0.0.0')))) {
      if (performance.now() > end) {
        throw new Error(
          `Port ${port}, meant for ${name}, is taken by another program. Stop that one, ` +
            'or let free ports be chosen: npm start -- --ports 0',
        )
      }
      await sleep(100)
    }
  }
}
