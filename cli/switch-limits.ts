// The options of commands that move tenants: how long the switch of one may take, and what it waits for.
import type { Command } from 'commander'
import type { SwitchLimits } from '../operations/move/online/link.js'
import { wholeNumber } from './context.js'

export interface SwitchLimitOptions {
  /** Milliseconds. */
  readonly transactionLimit: number
  /** Milliseconds. */
  readonly holdLimit: number
  /** Seconds. */
  readonly quietWait: number
}

export const withSwitchLimits = (command: Command): Command =>
  command
    .option('--transaction-limit <ms>', 'what a transaction may still take at the switch', wholeNumber(1), 1_000)
    .option(
      '--hold-limit <ms>',
      'what the switch may take in all; past it, it is tried again later',
      wholeNumber(1),
      1_800,
    )
    .option('--quiet-wait <seconds>', 'how long the switch waits for longer transactions to end', wholeNumber(0), 30)

export const switchLimitsOf = ({ transactionLimit, holdLimit, quietWait }: SwitchLimitOptions): SwitchLimits => ({
  transactionMs: transactionLimit,
  holdMs: holdLimit,
  quietMs: quietWait * 1_000,
})
