// What the journal's row of a move says of it.

import type { TransferTenant } from '../../copying/journal.js'
import type { OnlineState } from './link.js'

/** Of a move without a freeze. */
export const stateOf = (row: TransferTenant): OnlineState => row.online as unknown as OnlineState

/** The registry has the tenant at the target. */
export const isRelocated = ({ step }: Pick<TransferTenant, 'step'>): boolean =>
  ['relocated', 'following', 'returning', 'switched', 'dropped'].includes(step)

/** Of the way back: it was begun, and has not ended. */
export const isReturning = ({ step }: Pick<TransferTenant, 'step'>): boolean =>
  step === 'returning' || step === 'returned'
