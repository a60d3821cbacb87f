// Drains that the service carries out itself, as the operator API sees them. Their work runs programs of PostgreSQL and is not the
// plugin's: a service that has it passes it in, and without it a drain is the command's.
import { createError } from '@fastify/error'
import type { OperatorAccess } from '../distributed-tenant/index.js'

export const CountOfDrainChanged = createError(
  'COUNT_CHANGED',
  'It would move %s tenants by now and not %s: look at the plan again, then repeat it.',
  409,
)
export const DrainIsDone = createError(
  'RUN_REFUSED',
  'This drain has tried every tenant: begin another one of its instance for those that are left.',
  409,
)

export interface DrainPlan {
  readonly instance: string
  /**
   * `online`: tenants are served while they are moved, for which the service has the administrator's login. `frozen`: the writers of each are
   * refused while it is copied.
   */
  readonly way: 'online' | 'frozen'
  /** That would be moved. */
  readonly tenants: number
  /** Of their databases. */
  readonly bytes: number
  /** By instance, where they would go. */
  readonly to: Readonly<Record<string, number>>
  /** Those that stay, and why; the first of them. */
  readonly stays: readonly { readonly id: string; readonly why: string }[]
  readonly staying: number
  /** A drain of this instance that was stopped or interrupted, and goes on. */
  readonly unfinished: string | null
}

export interface BegunDrain {
  readonly id: string
  readonly tenants: number
}

export interface EndedDrain {
  readonly run: string
  readonly moved: number
  readonly notMoved: number
  readonly stopped: boolean
}

export interface Drains {
  /** Changes nothing. @throws TRANSFER_REFUSED without such an instance, or another to go to */
  plan(instance: string): Promise<DrainPlan>
  /**
   * Marks the instance full and begins, or goes on with the unfinished one. Resolves when it is in the journal.
   * @param count of tenants that were shown; null: however many there are
   * @throws COUNT_CHANGED, TRANSFER_REFUSED also while another move of the service runs
   */
  start(instance: string, count: number | null, by: string): Promise<BegunDrain>
  /** @returns null for a run that is no drain. @throws as `start`, and RUN_REFUSED for one that is done */
  resume(run: string, by: string): Promise<BegunDrain | null>
  /** After the tenant under way, wherever it runs. @returns null for a run that is no drain, false for one that does not go on */
  stop(run: string): Promise<boolean | null>
  /** Interrupts a drain of this process and waits for the tenant under way. */
  close(deadlineMs: number): Promise<void>
}

export type MakeDrains = (access: OperatorAccess, onEnd: (result: EndedDrain | null, error: unknown) => void) => Drains
