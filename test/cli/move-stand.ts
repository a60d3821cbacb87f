// Shared by tests of moves: employee on two instances, an application that serves it meanwhile, and the command as a
// process of its own, to be killed at any step.
import { type ChildProcess, execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import type postgres from 'postgres'
import type { Test } from 'tap'
import { codeOf, type Several, severalInstances } from '../plugins/distributed-tenant/placement/several.js'
import { notes, roleSecret } from '../rig.js'
import { type HeldCommand, heldAt } from './held-command.js'
import { type Outcome, operatorCommands } from './operator-commands.js'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const crash = fileURLToPath(new URL('../faults/crash.js', import.meta.url))

/** The password of the administrator, the same on both instances, as for `init`. */
const ADMINISTRATORS = 'a-password-of-the-administrators'

export interface MoveStand extends Omit<Several, 'app'> {
  readonly app: FastifyInstance
  readonly folder: string
  /** The address of employee's central database. */
  readonly central: postgres.Sql
  /** `distributed-tenant …` in a process, by the addresses of `at` where it names any; killed at the step `fault`. */
  command(args: readonly string[], fault?: string, at?: Addresses, env?: Record<string, string>): Promise<Outcome>
  /** The same, to be signalled while it runs. */
  begin(args: readonly string[]): { readonly child: ChildProcess; readonly outcome: Promise<Outcome> }
  killedAt(step: string, ...args: string[]): Promise<void>
  /** The same, standing still at the step until the test lets it go on. */
  heldAt(step: string, ...args: string[]): Promise<HeldCommand>
  /** The newest run. */
  last(): Promise<string>
  place(id: string): Promise<{ instance: string; moving: string | null } | undefined>
  /** Writes a note as the tenant. @returns null, or the code of the refusal */
  write(id: string, body: string): Promise<unknown>
  count(id: string): Promise<number | undefined>
}

export interface Addresses {
  /** Ports of a proxy to an instance. */
  readonly main?: number
  readonly b?: number
}

/**
 * @param bin of the programs of `b`. @param names of the instances beside `main`, see `severalInstances`
 * @param identity where the command asks whether a tenant is deleted
 */
export async function moveStand(
  t: Test,
  bin?: string,
  names: readonly string[] = ['b'],
  identity?: { readonly url: string; readonly token: string; readonly database: object },
): Promise<MoveStand> {
  const { app: build, ...several } = await severalInstances(t, bin, names)
  const { database, look, instances } = several
  const folder = mkdtempSync(join(tmpdir(), 'move-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const app = await build('employee', { instances })
  const central = look('employee', 'employee_central')
  const { host, port, user, password, database: name } = database('employee')
  const configOf = ({ main = port, b = instances.b?.port }: Addresses): string => {
    const path = join(folder, `config-${main}-${b}.json`)
    const employee = {
      database: { host, port: main, user, password, name },
      migrations: { tenant: notes },
      instances: names.map(at => `${at}=${instances[at]?.host}:${at === 'b' ? b : instances[at]?.port}`).join(','),
    }
    const services = { employee, ...(identity && { identity: { url: identity.url, database: identity.database } }) }
    const serviceToken = identity?.token
    writeFileSync(path, JSON.stringify({ services, serviceToken, tenantRoleSecret: roleSecret }))
    return path
  }
  for (const at of ['employee', ...names]) {
    await look(at).unsafe(`create role administrator superuser login password '${ADMINISTRATORS}'`)
  }
  const administrator = { INIT_SUPERUSER: 'administrator', INIT_PASSWORD: ADMINISTRATORS }
  const { run, alone } = operatorCommands(t, folder)
  const command: MoveStand['command'] = (args, fault, at = {}, env = {}) => {
    const all = ['--config', configOf(at), ...args]
    return fault
      ? alone(all, { ...administrator, FAULT: `transfer.${fault}` }, { node: ['--import', crash] })
      : run(all, { ...administrator, ...env })
  }

  return {
    ...several,
    app,
    folder,
    central,
    command,
    begin(args) {
      const all = [program, '--config', configOf({}), ...args]
      const env = { PATH: process.env.PATH ?? '', ...administrator }
      let done = (_: Outcome): void => {}
      const outcome = new Promise<Outcome>(resolve => {
        done = resolve
      })
      const child = execFile(process.execPath, all, { cwd: folder, env }, (error, out, err) =>
        done({ code: error ? (error.code ?? (error.signal as string)) : 0, out, err }),
      )
      t.teardown(() => child.kill('SIGKILL'))
      return { child, outcome }
    },
    async killedAt(step, ...args) {
      const { code, out, err } = await command(['move', ...args, '--yes'], step)
      if (code !== 'SIGKILL') throw new Error(`not killed at ${step}: ${out}${err}`)
    },
    heldAt: (step, ...args) =>
      heldAt(`transfer.${step}`, folder, (env, node) =>
        alone(['--config', configOf({}), 'move', ...args, '--yes'], { ...administrator, ...env }, { node }),
      ),
    async last() {
      const [run] = await central<{ id: string }[]>`select id from transfers order by started_at desc limit 1`
      return run?.id ?? ''
    },
    async place(id) {
      const [row] = await central<{ instance: string; moving: string | null }[]>`
        select instance, moving from tenants where id = ${id}`
      return row
    },
    write: (id, body) => codeOf(app.tenants.run(id, ({ sql }) => sql`insert into notes (body) values (${body})`)),
    count: id =>
      app.tenants.run(id, async ({ sql }) => (await sql<{ n: number }[]>`select count(*)::int as n from notes`)[0]?.n),
  }
}
