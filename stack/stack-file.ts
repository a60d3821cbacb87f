// .stack/stack.json: where everything is, for tools and for the next terminal. It appears by rename when all is ready,
// readable by its owner only, and goes when the stack goes; the watchdog removes it when the launcher cannot.
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PerService } from './names.js'
import { processWatch } from './watch.js'

export interface DatabaseAddress {
  host: string
  port: number
  user: string
  password: string
  name: string
}

export interface StackInfo {
  services: PerService<{ url: string; database: DatabaseAddress; migrations?: { tenant: string } }>
  /** `url` is the operator's, who may ask for tenants and nothing else. */
  nats: { url: string; services: PerService<string> }
  redis: { url: string }
  adminToken: string
  /** The services' shared secrets: the operator's command works with the same. */
  serviceToken: string
  /** Signs an operator in at the console, and calls the operator API. */
  operatorToken: string
  tenantRoleSecret: string
}

const fileName = 'stack.json'

export function writeStackFile(folder: string, info: StackInfo): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  chmodSync(folder, 0o700)
  const path = join(folder, fileName)
  const unfinished = `${path}.${process.pid}`
  processWatch().file(unfinished)
  processWatch().file(path)
  writeFileSync(unfinished, `${JSON.stringify(info, null, 2)}\n`, { mode: 0o600 })
  renameSync(unfinished, path)
  processWatch().forget(unfinished)
}

export function readStackFile(folder: string): StackInfo | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, fileName), 'utf8')) as StackInfo
  } catch {
    return undefined
  }
}

export function removeStackFile(folder: string): void {
  const path = join(folder, fileName)
  rmSync(path, { force: true })
  processWatch().forget(path)
}
