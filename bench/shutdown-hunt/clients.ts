// The clients that are attached when the signal comes. Those that ask remember which of their requests were answered
// whole; those that only hold a connection do just that.
import { Agent, get, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'

export interface Clients {
  /** Numbers of requests whose answer came whole. */
  readonly answered: ReadonlySet<string>
  /** Answers that broke off in the middle. */
  readonly broken: readonly string[]
  /** Statuses of the answers, with how many. */
  readonly statuses: Readonly<Record<string, number>>
  /** Streams that ended as streams do, rather than being cut. */
  readonly endedStreams: number
  stop(): void
}

const KEEP_ALIVE_CLIENTS = 12
export const tenants = ['acme', 'globex', 'initech']

/** `stubborn`: also those whose request never ends. */
export function attachClients(port: number, label: string, stubborn: boolean): Clients {
  const agent = new Agent({ keepAlive: true, maxSockets: KEEP_ALIVE_CLIENTS + 8 })
  const answered = new Set<string>()
  const broken: string[] = []
  const statuses: Record<string, number> = {}
  const held: Socket[] = []
  let endedStreams = 0
  let next = 0
  let over = false

  function ask(kind: string, whole: (response: IncomingMessage) => void = () => {}): Promise<void> {
    const id = `${label}-${next++}`
    const headers = { 'hrms-client-id': tenants[next % tenants.length] as string }
    return new Promise(resolve => {
      const request = get({ agent, port, host: '127.0.0.1', path: `/${kind}/${id}`, headers }, response => {
        statuses[String(response.statusCode)] = (statuses[String(response.statusCode)] ?? 0) + 1
        response.resume()
        response.once('end', () => {
          if (response.complete) {
            answered.add(id)
            whole(response)
          }
        })
        response.once('close', () => {
          if (!response.complete) broken.push(`${kind}/${id}`)
          resolve()
        })
      })
      // Refused, or cut before the service had it: what it did have is in its log.
      request.once('error', () => resolve())
    })
  }

  async function keepAsking(kind: string): Promise<void> {
    while (!over) {
      await ask(kind)
      // Once it listens no more there is nothing to ask.
      await new Promise(resolve => setTimeout(resolve, 1))
    }
  }

  function hold(text: string): void {
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    socket.on('error', () => {})
    held.push(socket)
  }

  for (let client = 0; client < KEEP_ALIVE_CLIENTS; client++) void keepAsking('quick')
  for (let client = 0; client < 3; client++) void keepAsking('slow')
  void ask('stream', () => endedStreams++)
  void ask('stream', () => endedStreams++)
  if (stubborn) hold('GET /endless/held HTTP/1.1\r\nhost: x\r\n\r\n')
  hold('GET /quick/held HTTP/1.1\r\nhost: x\r\nx-half: ')
  if (stubborn) {
    hold(
      'POST /body/held HTTP/1.1\r\nhost: x\r\nhrms-client-id: acme\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{',
    )
  }
  hold('')
  hold('GET /api/health/live HTTP/1.1\r\nhost: x\r\n\r\n')

  return {
    answered,
    broken,
    statuses,
    get endedStreams() {
      return endedStreams
    },
    stop() {
      over = true
      agent.destroy()
      for (const socket of held) socket.destroy()
    },
  }
}
