// A process of its own that tries without a pause to connect, as one tenant's role, to every other database of the
// given instances, and to those that are announced before they exist. It keeps each connection that it gets, and
// reports counts at the end.
import pg from 'pg'

export interface Door {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
}

export interface Attempts {
  readonly tries: number
  /** The number of databases, counted once each. */
  readonly databases: number
  readonly entered: readonly string[]
  /** The server's refusals, by code. */
  readonly refusals: Readonly<Record<string, number>>
}

/** Attempts under way at once on each instance. */
const SIDE_BY_SIDE = 3

const doors: Door[] = JSON.parse(process.argv[2] as string)
const refusals: Record<string, number> = {}
const entered: string[] = []
const seen = new Set<string>()
let announced: string[] = []
let tries = 0
let going = true

async function tryAt(door: Door, database: string): Promise<void> {
  if (database === door.user || entered.includes(`${door.port}/${database}`)) return
  const client = new pg.Client({ ...door, database, ssl: false })
  client.on('error', () => {})
  tries++
  try {
    await client.connect()
    entered.push(`${door.port}/${database}`)
  } catch (error) {
    const { code = (error as Error).message } = error as { code?: string }
    refusals[code] = (refusals[code] ?? 0) + 1
    // 3D000: the database does not exist.
    if (code !== '3D000') seen.add(`${door.port}/${database}`)
    await client.end().catch(() => {})
  }
}

async function besiege(door: Door): Promise<void> {
  const one = async (): Promise<void> => {
    // A database that it may enter shows the names of all.
    const inside = new pg.Client({ ...door, database: door.user, ssl: false })
    await inside.connect()
    while (going) {
      const { rows } = await inside.query<{ name: string }>('select datname as name from pg_database order by oid desc')
      const there = rows.map(row => row.name)
      // Those that are about to be created, and the newest, more often than the rest.
      const others = there.slice(8).filter(() => Math.random() < 4 / there.length)
      for (const name of [...announced, ...there.slice(0, 8), ...announced, ...others]) {
        if (going) await tryAt(door, name)
      }
    }
    await inside.end()
  }
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, one))
}

const all = Promise.all(doors.map(besiege))
all.catch(error => {
  process.stderr.write(`${error}\n`)
  process.exit(1)
})
process.on('message', (message: { announced?: string[]; stop?: true }) => {
  if (message.announced) announced = message.announced
  if (!message.stop) return
  going = false
  void all.then(() => {
    const attempts: Attempts = { tries, databases: seen.size, entered, refusals }
    process.send?.(attempts, () => process.exit())
  })
})
process.send?.('ready')
