// What the hunts have in common on the command line: whole numbers and flags as options, progress, the verdict, its one
// line of JSON, exit codes and signals. Exit code 0 nothing found, 1 a violation or a failure, 2 usage. Ctrl-C ends every
// process and folder of it.
import { parseArgs } from 'node:util'
import { processWatch } from '../stack/watch.js'
import { createProgress, type Progress } from './progress.js'

interface Syntax<Number extends string = string> {
  readonly help: string
  /** Whole numbers: what each is when it is not given, and the least it may be (default 1). */
  readonly numbers: Readonly<Record<Number, { readonly otherwise: number; readonly least?: number }>>
  readonly flags?: readonly string[]
}

export interface HuntCommand<Number extends string, Flag extends string, Verdict> extends Syntax<Number> {
  readonly name: string
  readonly flags?: readonly Flag[]
  run(values: Record<Number, number> & Record<Flag, boolean>, progress: Progress): Promise<Verdict>
  /** The verdict in lines for people. */
  lines(verdict: Verdict): readonly string[]
}

/** Runs the command of this process and ends it. */
export function huntCommand<
  Number extends string,
  Flag extends string,
  Verdict extends { violations: readonly string[] },
>(command: HuntCommand<Number, Flag, Verdict>): void {
  main(command).then(
    code => process.exit(code),
    error => {
      processWatch().endNow()
      process.stderr.write(`\n${error instanceof Error ? error.stack : error}\n`)
      process.exit(1)
    },
  )
}

async function main<Number extends string, Flag extends string, Verdict extends { violations: readonly string[] }>(
  command: HuntCommand<Number, Flag, Verdict>,
): Promise<number> {
  const given = readOptions(command)
  if (given.help) {
    process.stdout.write(command.help)
    return 0
  }
  const names = Object.keys(command.numbers) as Number[]
  const values = Object.fromEntries([
    ...names.map(name => [name, whole(command, name, given[name])]),
    ...(command.flags ?? []).map(flag => [flag, given[flag] === true]),
  ]) as Record<Number, number> & Record<Flag, boolean>
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      processWatch().endNow()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    })
  }
  const progress = createProgress()
  const verdict = await command.run(values, progress)
  progress.end()
  process.stdout.write(`${command.lines(verdict).join('\n')}\n`)
  if (given.json) process.stdout.write(`${JSON.stringify({ bench: command.name, ...verdict })}\n`)
  return verdict.violations.length === 0 ? 0 : 1
}

type Given = Record<string, string | boolean | undefined>

function readOptions({ help, numbers, flags = [] }: Syntax): Given {
  const options = {
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
    ...Object.fromEntries(flags.map(flag => [flag, { type: 'boolean' }])),
    ...Object.fromEntries(Object.keys(numbers).map(name => [name, { type: 'string' }])),
  } as const
  try {
    return parseArgs({ options }).values as Given
  } catch (error) {
    return usage(help, (error as Error).message)
  }
}

function whole({ help, numbers }: Syntax, name: string, value: string | boolean | undefined): number {
  const { otherwise, least = 1 } = numbers[name] as { otherwise: number; least?: number }
  if (value === undefined) return otherwise
  const number = Number(value)
  if (!Number.isInteger(number) || number < least) {
    usage(help, `--${name} is \`${value}\`: give a whole number from ${least} on.`)
  }
  return number
}

function usage(help: string, why: string): never {
  process.stderr.write(`${why}\n\n${help}`)
  process.exit(2)
}
