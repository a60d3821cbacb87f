// A PostgreSQL data folder, made by initdb or copied from a template that initdb made before: a copy takes a tenth of
// initdb's processor time. As root both run as the user `postgres`, because PostgreSQL refuses to run as root.
// Invariant: a template is never started, so every copy begins as initdb left it. Copies share its password.
import { execFileSync, spawn } from 'node:child_process'
import { chownSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { processWatch, type Watch } from '../watch.js'
import { findServers } from './find.js'
import { randomPassword } from './folder.js'
import { logTail } from './server-process.js'

export type Owner = { uid: number; gid: number }

export interface Cluster {
  data: string
  log: string
  owner: Owner | undefined
  watch: Watch
}

export interface Template {
  data: string
  /** The programs that made it: those of another version cannot use it. */
  bin: string
  password: string
}

/** The variable that names a template's folder for the processes of a test run. */
const VARIABLE = 'POSTGRES_TEMPLATE'

/** Makes a template in `folder`, of this machine's PostgreSQL and not safe against power loss. @returns its name */
export async function makeTemplate(folder: string): Promise<Record<string, string>> {
  const password = randomPassword()
  const template = join(folder, 'postgres-template')
  const { bin } = findServers().postgres
  await initialise({
    data: template,
    log: `${template}.log`,
    owner: serverOwner(),
    watch: processWatch(),
    bin,
    password,
    durable: false,
  })
  writeFileSync(passwordOf(template), password, { mode: 0o600 })
  writeFileSync(binOf(template), bin)
  return { [VARIABLE]: template }
}

const passwordOf = (template: string) => `${template}.password`
const binOf = (template: string) => `${template}.bin`

export function readTemplate(env: NodeJS.ProcessEnv = process.env): Template | null {
  const data = env[VARIABLE]
  if (!data) return null
  return { data, bin: readFileSync(binOf(data), 'utf8'), password: readFileSync(passwordOf(data), 'utf8') }
}

export async function copyCluster(template: Template, cluster: Cluster): Promise<void> {
  const { data, owner } = cluster
  mkdirSync(data, { mode: 0o700 })
  if (owner) chownSync(data, owner.uid, owner.gid)
  await run('cp', ['-R', `${template.data}/.`, data], cluster)
}

export async function initialise(how: Cluster & { bin: string; password: string; durable: boolean }): Promise<void> {
  const { bin, data, owner } = how
  const passwordFile = `${data}.password`
  mkdirSync(data, { mode: 0o700 })
  writeFileSync(passwordFile, `${how.password}\n`, { mode: 0o600 })
  if (owner) for (const path of [data, passwordFile]) chownSync(path, owner.uid, owner.gid)
  try {
    const args = ['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`]
    args.push('-E', 'UTF8', '--locale=C', ...(how.durable ? [] : ['--no-sync']))
    await run(join(bin, 'initdb'), args, how)
  } finally {
    rmSync(passwordFile, { force: true })
  }
}

/** Runs a program as the server's user, its output in the log. @throws with the end of the log when it fails */
async function run(command: string, args: string[], { log, owner, watch }: Cluster): Promise<void> {
  const output = openSync(log, 'a', 0o600)
  const child = spawn(command, args, {
    cwd: '/',
    detached: true,
    stdio: ['ignore', output, output],
    env: { PATH: process.env.PATH },
    ...owner,
  })
  closeSync(output)
  if (child.pid) watch.group(child.pid, 'postgres')
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
  if (child.pid) watch.gone(child.pid)
  if (code !== 0)
    throw new Error(`${basename(command)} failed with exit code ${code}. The end of its log:\n${logTail(log)}`)
}

let known: Owner | undefined

/** Which user PostgreSQL runs as; undefined for the one that runs this. */
export function serverOwner(): Owner | undefined {
  if (process.getuid?.() !== 0) return undefined
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: 'pipe' }))
  try {
    known ??= { uid: id('-u'), gid: id('-g') }
    return known
  } catch {
    throw new Error(
      'PostgreSQL does not run as root and this machine has no user `postgres` to run it as. ' +
        'Install the package postgresql, which makes that user, or run this as another user.',
    )
  }
}
