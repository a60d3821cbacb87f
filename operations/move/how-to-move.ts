// The parts that a move needs beside its service: programs, journal, a folder, and the administrator where its login is given.
import { inherited } from '../child-environment.js'
import { createJournal } from '../copying/journal.js'
import { createPrograms } from '../copying/pg-programs.js'
import type { OperatorTenancy } from '../parts.js'
import { administratorLogin } from '../targets.js'
import { createAdministrator } from './online/administrator.js'

export interface WorkOptions {
  /** Of pg_dump and pg_restore, for a large database. */
  readonly jobs: number
  /** The folder of pg_dump and pg_restore. */
  readonly programs?: string
  /** For temporary copies. */
  readonly folder: string
}

export function howToMove({ move }: Pick<OperatorTenancy, 'move'>, options: WorkOptions, signal?: AbortSignal) {
  const login = administratorLogin()
  const admin = login && createAdministrator(move, login)
  const how = {
    programs: createPrograms({ folder: options.programs, environment: inherited() }),
    journal: createJournal(move.central),
    folder: options.folder,
    jobs: options.jobs,
    signal,
    admin,
  }
  return { how, close: async () => admin?.close() }
}
