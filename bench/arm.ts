// The contract between an arm of a benchmark (one server under test) and the process it runs in: its configuration,
// and its answers over IPC. Every arm has the same routes.
import type { FastifyInstance } from 'fastify'

/** A login and where to connect with it. */
export interface Login {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
}

export interface ArmConfig {
  readonly login: Login
  readonly service: string
  readonly tenants: readonly string[]
  /** Connections to tenant databases. */
  readonly budget: number
  /** Further options of the plugin, and of a rival that reads them. */
  readonly options?: Readonly<Record<string, unknown>>
}

export interface Arm {
  readonly app: FastifyInstance
  readonly answers?: Readonly<Record<string, (argument: unknown) => unknown>>
}

export type MakeArm = (config: ArmConfig) => Promise<Arm> | Arm

export const databaseOf = (tenant: string, service: string): string => `tenant_${tenant}_${service}`

export const tenantHeader = 'hrms-client-id'

/** What a process has used so far. */
export interface Usage {
  readonly cpuMicros: number
  readonly rss: number
  readonly heap: number
}
