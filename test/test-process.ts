// The processes of `npm test`: one of its own for a file, or one that runs file after file, as the start of a process with
// the modules of a test takes more of a core than most tests do. Reads their TAP into results, and ends a process that is stuck.
// Invariant: a process that ends early fails the file it is in and no other; the next file gets a new process.
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Parser } from 'tap-parser'
import { FileResult, inSource } from './file-result.js'
import type { ProcessorTime } from './processor-time.js'
import type { Report } from './report.js'

/** Seconds a file may take before it is ended: a guard of the runner, which promises nothing. */
export const GUARD_S = 2_400
/** From the guard's SIGTERM, at which tap reports the running test, to SIGKILL. */
const LAST_WORDS_MS = 10_000

const host = fileURLToPath(new URL('./test-host.js', import.meta.url))

export interface RunContext {
  readonly env: NodeJS.ProcessEnv
  /** The TAP is printed as it is. */
  readonly raw: boolean
  readonly report: Report
  /** The processes that run now. */
  readonly running: Set<ChildProcess>
  readonly time: ProcessorTime
}

export interface FileEnd {
  readonly ok: boolean
  /** Its TAP, with `raw`. */
  readonly lines: readonly string[]
}

/** A file while it runs. */
class OpenFile {
  readonly #context: RunContext
  readonly #parser = new Parser()
  readonly #lines: string[] = []
  readonly #guard: NodeJS.Timeout
  readonly result: FileResult
  late = false

  constructor(name: string, context: RunContext, child: ChildProcess) {
    this.#context = context
    this.result = new FileResult(name, this.#parser)
    context.report.begin(this.result)
    this.#guard = setTimeout(() => {
      this.late = true
      endStuck(child)
    }, GUARD_S * 1000)
  }

  write(line: string): void {
    this.#parser.write(`${line}\n`)
    if (this.#context.raw) this.#lines.push(line)
  }

  /** @param how the process ended, unless it ended well or goes on; @param processorSeconds null where they are not known */
  end(how: string | null, processorSeconds: number | null): FileEnd {
    clearTimeout(this.#guard)
    this.#parser.end()
    this.#context.report.end(this.result, how, processorSeconds)
    return { ok: this.result.failed === 0, lines: this.#lines }
  }
}

/**
 * As `node <file>` does, without the loaders for mocks and coverage that `tap run` puts into each process: no test uses
 * them, and they take half as much processor time again.
 *
 * @param name of the file in the repository
 */
export async function runAlone(file: string, name: string, context: RunContext): Promise<FileEnd> {
  const { child, output, ended } = begin([file], context)
  const open = new OpenFile(name, context, child)
  output.on('line', line => open.write(line))
  readErrors(child, context, () => open)
  const { how, processorSeconds } = await ended
  return open.end(how !== null && open.late ? `${how} after the guard's ${GUARD_S} s` : how, processorSeconds)
}

/** A process of `test-host.ts`. */
export class SharedProcess {
  readonly #context: RunContext
  readonly #child: ChildProcess
  readonly #ended: Promise<ProcessEnd>
  /** Processor seconds of the files before. */
  #spent = 0
  #open: OpenFile | null = null
  #finish: (end: FileEnd) => void = () => {}
  #alive = true

  constructor(context: RunContext) {
    this.#context = context
    const { child, output, ended } = begin([host], context)
    this.#child = child
    this.#ended = ended
    child.stdin?.on('error', () => {})
    output.on('line', line => this.#read(line))
    readErrors(child, context, () => this.#open)
    void ended.then(({ how, processorSeconds }) => {
      this.#alive = false
      const late = this.#open?.late ? ` after the guard's ${GUARD_S} s` : ''
      this.#close(`${how ?? 'ended by exit code 0'}${late}`, processorSeconds)
    })
  }

  /** False when it has ended. */
  get alive(): boolean {
    return this.#alive
  }

  /** @param name of the file in the repository */
  run(file: string, name: string): Promise<FileEnd> {
    this.#open = new OpenFile(name, this.#context, this.#child)
    this.#child.stdin?.write(`${file}\n`)
    return new Promise(resolve => {
      this.#finish = resolve
    })
  }

  /** @returns how it ended, unless well */
  async end(): Promise<string | null> {
    this.#child.stdin?.end()
    const guard = setTimeout(() => endStuck(this.#child), GUARD_S * 1000)
    const { how } = await this.#ended
    clearTimeout(guard)
    return how
  }

  /** A file is a subtest of the host: its own TAP is indented. */
  #read(line: string): void {
    if (line.startsWith('    ')) this.#open?.write(line.slice(4))
    else if (/^(not )?ok \d/.test(line)) this.#close(null, this.#context.time.of(this.#child))
  }

  /** @param all processor seconds of the process, from its start */
  #close(how: string | null, all: number | null): void {
    const open = this.#open
    this.#open = null
    const before = this.#spent
    this.#spent = all ?? before
    if (open) this.#finish(open.end(how, all === null ? null : all - before))
  }
}

function begin(args: readonly string[], { env, raw, running, time }: RunContext) {
  const child = spawn(process.execPath, [...(raw ? ['--enable-source-maps'] : []), ...args], {
    env,
    stdio: [args[0] === host ? 'pipe' : 'ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  const output = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> })
  return { child, output, ended: endOf(child, output, running, time) }
}

interface ProcessEnd {
  /** How it ended, unless well. */
  readonly how: string | null
  readonly processorSeconds: number | null
}

/** Resolves when all of its output is read. */
async function endOf(
  child: ChildProcess,
  output: Interface,
  running: Set<ChildProcess>,
  time: ProcessorTime,
): Promise<ProcessEnd> {
  const read = new Promise(resolve => output.once('close', resolve))
  let processorSeconds: number | null = null
  child.once('exit', () => {
    processorSeconds = time.ofEnded()
  })
  const how = await new Promise<string | null>(resolve => {
    child.once('error', error => resolve(`could not be started: ${error.message}`))
    child.once('close', (code, signal) => resolve(code === 0 ? null : `ended by ${signal ?? `exit code ${code}`}`))
  })
  await read
  running.delete(child)
  return { how, processorSeconds }
}

function readErrors(child: ChildProcess, { raw }: RunContext, open: () => OpenFile | null): void {
  createInterface({ input: child.stderr as NonNullable<typeof child.stderr> }).on('line', line => {
    open()?.result.extra.push(inSource(line))
    if (raw) process.stderr.write(`${line}\n`)
  })
}

function endStuck(child: ChildProcess): void {
  child.kill('SIGTERM')
  setTimeout(() => child.kill('SIGKILL'), LAST_WORDS_MS).unref()
}
