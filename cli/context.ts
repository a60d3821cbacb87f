// The context of every command: its targets, its output, and the options all of them share. Large modules
// are loaded when a command runs: its help and a wrong call cost the start of Node.js and little more.
import { type Command, InvalidArgumentError } from 'commander'
import { bytesOf } from '../operations/copying/byte-sizes.js'
import type { Targets } from '../operations/targets.js'
import { createOutput, type Output } from './output.js'

export interface GlobalOptions {
  readonly config?: string
  readonly service?: string
  readonly json?: boolean
  readonly quiet?: boolean
  readonly direct?: boolean
}

export interface Context {
  readonly targets: Targets
  readonly output: Output
  /** Services are not asked where the command can open their databases. */
  readonly direct: boolean
  readonly quiet: boolean
  /** Whether progress may be shown. */
  readonly showProgress: boolean
}

export const withGlobalOptions = (command: Command): Command =>
  command
    .option('--config <file>', 'where the services are: a JSON file shaped like .stack/stack.json')
    .option('--service <name>', 'only this service; default all that are known')
    .option('--direct', 'open databases also where the operator API of a service answers')
    .option('--json', 'print one JSON document')
    .option('--quiet', 'print nothing but errors')

/** @throws UsageError when no services are configured */
export async function contextOf(command: Command): Promise<Context> {
  const { config, service, json, quiet, direct } = command.optsWithGlobals<GlobalOptions>()
  const { readTargets } = await import('../operations/targets.js')
  const { misspeltVariables } = await import('../plugins/distributed-tenant/config/environment.js')
  const targets = readTargets({ config, service })
  for (const sentence of quiet ? [] : misspeltVariables()) process.stderr.write(`${sentence}\n`)
  return {
    targets,
    output: createOutput({ json, quiet }),
    direct: direct ?? false,
    quiet: quiet ?? false,
    showProgress: !json && !quiet,
  }
}

/** A whole number of a command line. @throws InvalidArgumentError */
export function wholeNumber(least: number): (text: string) => number {
  return text => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < least) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} on.`)
    }
    return value
  }
}

/** A size of a command line, in bytes. @throws InvalidArgumentError */
export function size(text: string): number {
  const bytes = bytesOf(text)
  if (bytes === null) throw new InvalidArgumentError('It must be a size like 50GB.')
  return bytes
}

/** `a,b` and a repeated option both give both. */
export const collect = (text: string, before: readonly string[] = []): string[] => [
  ...before,
  ...text.split(',').filter(part => part !== ''),
]
