// The report of a benchmark: the table on the terminal and, when asked for, the one line of JSON that tools read.
// Invariant: a case's ratio is ours over the rival's, of the same round.
import { cpus } from 'node:os'
import type { Turn } from './rounds.js'
import { interval, median, ratios, type Spread, spread } from './statistics.js'

export interface Case {
  readonly name: string
  /** Null where the case is no rate. */
  readonly rps: number | null
  /** Milliseconds. */
  readonly p50: number | null
  readonly p99: number | null
  /** Milliseconds, where each single one counts. */
  readonly longest?: number
  readonly failed: number
  readonly ratio: Spread
  readonly better: 'higher' | 'lower'
  readonly rival?: Omit<Case, 'name' | 'ratio' | 'better' | 'rival' | 'cpu'>
  /** CPU microseconds of the service process per request; the ratio is rival over ours, so that more is better. */
  readonly cpu?: { ours: number; rival: number; ratio: Spread; low: number; high: number }
  /** Replies that were no success, by status. */
  readonly statuses?: Record<string, number>
  /** The unit of what is compared, where it is neither a rate nor a latency. */
  readonly note?: string
}

export type Config = Record<string, string | number | boolean>

export function compareTurns(name: string, ours: readonly Turn[], rival: readonly Turn[]): Case {
  const rates = (turns: readonly Turn[]) => turns.map(turn => turn.rps)
  const cpu = (turns: readonly Turn[]) => turns.map(turn => turn.cpuPerRequest)
  const saved = ratios(cpu(rival), cpu(ours))
  return {
    name,
    ...figures(ours),
    ratio: spread(ratios(rates(ours), rates(rival))),
    better: 'higher',
    rival: figures(rival),
    statuses: failures(rival),
    ...(saved.every(Number.isFinite)
      ? { cpu: { ours: median(cpu(ours)), rival: median(cpu(rival)), ratio: spread(saved), ...interval(saved) } }
      : {}),
  }
}

/** For targets near 1: the ratio is that of the CPU per request, ours over the rival's, so that less is better. */
export function compareCpu(name: string, ours: readonly Turn[], rival: readonly Turn[]): Case {
  const cpu = (turns: readonly Turn[]) => turns.map(turn => turn.cpuPerRequest)
  const used = ratios(cpu(ours), cpu(rival))
  const { low, high } = interval(used)
  return {
    ...compareTurns(name, ours, rival),
    ratio: spread(used),
    better: 'lower',
    note: `of CPU, 95 %: ${low.toFixed(3)}-${high.toFixed(3)}`,
  }
}

function figures(turns: readonly Turn[]): { rps: number; p50: number; p99: number; failed: number } {
  const of = (key: 'rps' | 'p50' | 'p99') => median(turns.map(turn => turn[key]))
  const failed = turns.reduce((sum, turn) => sum + turn.failed, 0)
  return { rps: of('rps'), p50: of('p50'), p99: of('p99'), failed }
}

function failures(turns: readonly Turn[]): Record<string, number> {
  const found: Record<string, number> = {}
  for (const turn of turns) {
    for (const [status, count] of Object.entries(turn.statuses)) {
      if (!status.startsWith('2')) found[status] = (found[status] ?? 0) + count
    }
  }
  return found
}

/** For what is one number a round: latencies, rates of opens, bytes. */
export function compareNumbers(
  name: string,
  ours: readonly number[],
  rival: readonly number[],
  how: { better: 'higher' | 'lower'; as: 'rps' | 'p50' | 'note'; note?: string; p99?: number; failed?: number },
): Case {
  const value = (numbers: readonly number[]) => ({
    rps: how.as === 'rps' ? median(numbers) : null,
    p50: how.as === 'p50' ? median(numbers) : null,
    p99: null,
    failed: 0,
  })
  const units = `${round(median(ours))} / ${round(median(rival))} ${how.note ?? ''}`.trim()
  return {
    name,
    ...value(ours),
    p99: how.p99 ?? null,
    failed: how.failed ?? 0,
    ratio: spread(ratios(ours, rival)),
    better: how.better,
    rival: value(rival),
    ...(how.as === 'note' ? { note: units } : {}),
  }
}

export function printReport(bench: string, config: Config, cases: readonly Case[], json: boolean): void {
  const lines = [`\n${bench}, ${new Date().toISOString().slice(0, 10)}`]
  for (const [key, value] of Object.entries(config)) lines.push(`  ${key.padEnd(15)} ${value}`)
  lines.push('', ...table(cases.map(rowOf)))
  process.stdout.write(`${lines.join('\n')}\n`)
  if (json) process.stdout.write(`${JSON.stringify({ bench, config, cases })}\n`)
}

export const machine = (): Config => ({
  node: process.version,
  cpus: cpus().length,
  cpu: cpus()[0]?.model ?? 'unknown',
})

const headings = ['case', 'ratio (min-max)', 'rps', 'p50 ms', 'p99 ms', 'failed', 'rival', 'cpu us, gain [95 %]']

function rowOf(one: Case): string[] {
  const { ratio, rival, cpu } = one
  const rate = (side: Omit<Case, 'name' | 'ratio' | 'better'>) => (side.rps === null ? '' : `${round(side.rps)} rps`)
  const latency = rival?.p50 ? `p50 ${round(rival.p50)}` : ''
  const longest = one.longest === undefined ? '' : `ours at most ${round(one.longest)}`
  const bad = Object.entries(one.statuses ?? {}).map(
    ([status, count]) => `${count}x ${status === '0' ? 'lost' : status}`,
  )
  return [
    one.name,
    `${round(ratio.median)} (${round(ratio.min)}-${round(ratio.max)})`,
    one.rps === null ? '' : round(one.rps),
    one.p50 === null ? '' : round(one.p50),
    one.p99 === null ? '' : round(one.p99),
    String(one.failed),
    one.note ??
      [rival ? rate(rival) : '', latency, longest, bad.length > 0 ? `failed ${bad.join(' ')}` : '']
        .filter(Boolean)
        .join(', '),
    cpu
      ? `${round(cpu.ours)} / ${round(cpu.rival)}, ${round(cpu.ratio.median)} [${round(cpu.low)}-${round(cpu.high)}]`
      : '',
  ]
}

function table(rows: string[][]): string[] {
  const all = [headings, ...rows]
  const widths = headings.map((_, column) => Math.max(...all.map(row => (row[column] ?? '').length)))
  return all.map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join('  ')
      .trimEnd(),
  )
}

function round(value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (Math.abs(value) >= 100) return value.toFixed(0)
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}
