// What tests read of the environment: the address of their PostgreSQL, and where programs are.
import { delimiter } from 'node:path'

export interface TestEnvironment {
  /** TEST_DATABASE_URL; null when it is unset or empty. */
  readonly url: string | null
  /** The folders of PATH. */
  readonly path: readonly string[]
}

export function readTestEnvironment(): TestEnvironment {
  const { TEST_DATABASE_URL, PATH = '' } = process.env
  return { url: TEST_DATABASE_URL || null, path: PATH.split(delimiter).filter(folder => folder !== '') }
}

/** For a child: without what a test runner adds for processes of its own (loaders, coverage, an inspector). */
export function childEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _options, NODE_V8_COVERAGE: _coverage, ...rest } = process.env
  return rest
}
