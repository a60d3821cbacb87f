// The shared server of the old kind that imports are tested against: one instance with `tenant_{id}_{service}`
// databases, a central table of tenants, and names of objects that break a shell or careless quoting.
import postgres from 'postgres'
import type { Test } from 'tap'
import { type PostgresServer, startPostgres } from '../../stack/servers/postgres.js'

export interface OldServer {
  readonly server: PostgresServer
  readonly url: string
  readonly password: string
  readonly host: string
  readonly port: number
  readonly user: string
  /** As superuser, ended with the test. */
  look(database: string): postgres.Sql
  /** Makes `tenant_{id}_{service}` and fills it by these statements. */
  database(name: string, ...statements: string[]): Promise<void>
  /** Whether every role may connect to it and write. */
  isOpen(name: string): Promise<boolean>
}

/** @param bin the folder of its programs, when it is of another version than this machine's */
export async function oldServer(t: Pick<Test, 'teardown'>, bin?: string): Promise<OldServer> {
  const server = await startPostgres({ name: 'old', bin })
  const looks: postgres.Sql[] = []
  t.teardown(async () => {
    for (const sql of looks) await sql.end({ timeout: 1 })
    await server.stop()
  })
  const { host, port, user, password } = server
  const look = (database: string): postgres.Sql => {
    const sql = postgres({ host, port, user, password, database, max: 1, onnotice() {}, idle_timeout: 1 })
    looks.push(sql)
    return sql
  }
  const central = look('postgres')
  await central`create table tenants (id text primary key, name text not null, domain text, is_active boolean not null default true)`
  return {
    server,
    url: `postgres://${user}@${host}:${port}/postgres`,
    password,
    host,
    port,
    user,
    look,
    async database(name, ...statements) {
      await central`create database ${central(name)} template template0`
      const sql = look(name)
      for (const statement of statements) await sql.unsafe(statement)
      await sql.end()
    },
    async isOpen(name) {
      const sql = look(name)
      const [row] = await sql<{ open: boolean }[]>`
        select current_setting('default_transaction_read_only') = 'off' and exists (
          select from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
          where datname = current_database() and grantee = 0 and privilege_type = 'CONNECT') as open`
      await sql.end()
      return row?.open === true
    },
  }
}

const pieces = [
  `"`,
  `'`,
  '\n',
  '$(touch /tmp/owned)',
  '`id`',
  '\\',
  '%s',
  ';--',
  'ü',
  '漢',
  ' ',
  '$1',
  '=',
  '\t',
  '.',
  '{}',
  '|',
  '&&',
]

/** So many distinct names, each with a character that must be quoted. */
export const awkwardNames = (count: number): string[] =>
  Array.from({ length: count }, (_, at) => {
    const a = pieces[at % pieces.length]
    const b = pieces[Math.floor(at / pieces.length) % pieces.length]
    return `${a}x${b}${at}`
  })

export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`
