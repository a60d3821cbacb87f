// Where the servers' programs are on this machine: PATH first, then the folders Debian puts them in.
// Finds, never installs. What is missing is named in one sentence together with what installs it.
import { execFileSync } from 'node:child_process'
import { accessSync, constants, readdirSync, realpathSync, statSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

export interface FoundServers {
  postgres: { version: string; bin: string }
  nats: string
  redis: string
  pgbouncer: string | undefined
}

const debianPostgres = '/usr/lib/postgresql'
const debianFolders = ['/usr/sbin', '/usr/bin', '/usr/local/sbin', '/usr/local/bin']

/** By where they were looked for: each server that is started asks, and asking PostgreSQL's version is a process. */
const found = new Map<string, FoundServers>()

export function findServers(env: NodeJS.ProcessEnv = process.env): FoundServers {
  const places = JSON.stringify([env.PATH, env.SERVER_FOLDERS])
  const known = found.get(places) ?? lookForServers(env)
  found.set(places, known)
  return known
}

function lookForServers(env: NodeJS.ProcessEnv): FoundServers {
  const postgres = findPostgres(env)
  const nats = findProgram('nats-server', env)
  const redis = findProgram('redis-server', env)
  if (postgres && nats && redis) return { postgres, nats, redis, pgbouncer: findProgram('pgbouncer', env) }

  const missing: string[] = []
  if (!postgres) missing.push('PostgreSQL (initdb and postgres; Debian package postgresql)')
  if (!nats) missing.push('nats-server (Debian package nats-server)')
  if (!redis) missing.push('redis-server (Debian package redis-server)')
  throw new Error(
    `Not found on this machine: ${missing.join(', ')}. ` +
      '`npm run setup` as root installs them on Debian, and `docker compose up` needs none of them.',
  )
}

export function findProgram(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  return findPrograms(name, env)[0]
}

/** All of that name, in the order in which they are looked for. */
export function findPrograms(name: string, env: NodeJS.ProcessEnv = process.env): string[] {
  const folders = new Set([...pathFolders(env), ...beyondPath(env, debianFolders)])
  return [...folders].map(folder => join(folder, name)).filter(isProgram)
}

function findPostgres(env: NodeJS.ProcessEnv): FoundServers['postgres'] | undefined {
  for (const folder of [...pathFolders(env), ...beyondPath(env, debianPostgresFolders())]) {
    const initdb = join(folder, 'initdb')
    if (!isProgram(initdb)) continue
    // PATH may hold a link to initdb alone: the server lies beside the program that the link means.
    const bin = dirname(realpathSync(initdb))
    if (!isProgram(join(bin, 'postgres'))) continue
    const version = /\d+(\.\d+)?/.exec(execFileSync(join(bin, 'postgres'), ['--version'], { encoding: 'utf8' }))
    return { bin, version: version?.[0] ?? 'unknown' }
  }
  return undefined
}

function debianPostgresFolders(): string[] {
  try {
    const versions = readdirSync(debianPostgres).sort((a, b) => Number(b) - Number(a))
    return versions.map(version => join(debianPostgres, version, 'bin'))
  } catch {
    return []
  }
}

/** SERVER_FOLDERS replaces the folders outside PATH: for servers in unusual places, and to pretend there are none. */
function beyondPath(env: NodeJS.ProcessEnv, usual: string[]): string[] {
  return env.SERVER_FOLDERS?.split(delimiter).filter(folder => folder !== '') ?? usual
}

function pathFolders(env: NodeJS.ProcessEnv): string[] {
  return (env.PATH ?? '').split(delimiter).filter(folder => folder !== '')
}

/** Whether it is a file that can be run. */
export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
