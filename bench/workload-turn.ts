// One arm's turn at a workload: the same in every case, so that their figures compare.
import { type Arms, CONNECTIONS } from './arms.js'
import { type Turn, turn } from './rounds.js'
import { requests, type Workload } from './workload.js'

/** @param tokens one for each of the fleet's tenants, where the arm wants one */
export function workloadTurn(
  arms: Arms,
  name: string,
  workload: Workload,
  seconds: number,
  tokens?: readonly string[],
): (round: number) => Promise<Turn> {
  return round =>
    turn({
      arm: arms.arm(name),
      connections: CONNECTIONS,
      seconds,
      leadIn: Math.min(0.4, seconds / 2),
      nextRequest: requests(workload, arms.fleet.tenants, 1 + round, tokens),
    })
}
