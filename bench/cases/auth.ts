// `auth`: the cost of a verified token against `@fastify/jwt` alone, the cost of a row of the audit log for every access,
// and the time to refuse an unknown tenant against one of another user.
import { tenantHeader } from '../arm.js'
import { type Arms, type BenchOptions, startArms } from '../arms.js'
import { HttpConnection } from '../http-connection.js'
import { request } from '../load.js'
import { type Case, type Config, compareNumbers } from '../report.js'
import { registerIdle } from './idle.js'
import { comparePairs, type Pair } from './paired.js'

const pairs: readonly Pair[] = [
  { name: 'token verified: ours vs @fastify/jwt with its cache', ours: 'tokens', rival: 'jwt with cache' },
  { name: 'token verified: ours vs @fastify/jwt as it comes', ours: 'tokens', rival: 'jwt alone' },
  { name: 'all audited: ours vs audit off', ours: 'audited', rival: 'audit off' },
]
/** Asked for the first time in each round. */
const IDS = 200

export async function benchAuth(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const arms = await startArms([], options)
  try {
    for (const kind of ['tokens', 'jwt with cache', 'jwt alone', 'audited']) await arms.start(kind)
    await arms.start('audit off', { kind: 'ours' })
    const tokens: Record<string, readonly string[]> = {}
    for (const name of ['tokens', 'jwt with cache', 'jwt alone']) tokens[name] = await tokensOf(arms, name)
    // Two groups, so that what is compared lies close together.
    const cases = [
      ...(await comparePairs(arms, pairs.slice(0, 2), options, tokens)),
      ...(await comparePairs(arms, pairs.slice(2), options, tokens)),
    ]
    const { missed } = await arms.arm('audited').ask<{ missed: number }>('audit')
    if (missed > 0) throw new Error(`${missed} accesses became no row: what was measured is not everything audited`)
    cases.push(...(await existence(arms, options)))
    return { config: await arms.config(), cases }
  } finally {
    await arms.stop()
  }
}

const tokensOf = (arms: Arms, name: string): Promise<string[]> =>
  Promise.all(arms.fleet.tenants.map(tenant => arms.arm(name).ask<string>('token', tenant)))

/**
 * A user with a good token of one tenant asks for others, one request at a time: for one that exists and one that does
 * not, each for the first time and again. `claim checked` is an application whose token only checks the header's tenant.
 */
async function existence(arms: Arms, options: BenchOptions): Promise<Case[]> {
  const ways = [
    { arm: 'tokens', unknown: 403, as: 'token names the tenant, 403' },
    { arm: 'claim checked', unknown: 404, as: 'token only checked, 404' },
  ] as const
  const name = (as: string, when: string) => `${as} for an unknown id, ${when}: ours vs 403 for a forbidden one`
  const whens = ['first asked', 'asked again'] as const
  if (!ways.some(({ as }) => whens.some(when => name(as, when).includes(options.only)))) return []
  await arms.start('claim checked')
  const count = options.quick ? 20 : IDS
  await registerIdle(arms, count * (options.rounds + 1))
  const cases: Case[] = []
  for (const { arm: kind, unknown, as } of ways) {
    const arm = arms.arm(kind)
    const token = await arm.ask<string>('token', arms.fleet.tenants[0])
    const connection = new HttpConnection(arm.port)
    const ask = (id: string, expected: number) =>
      new Promise<number>((resolve, reject) => {
        const sent = performance.now()
        connection.send(request('/read/1', tenantHeader, id, token), ({ status }) => {
          if (status === expected) resolve(performance.now() - sent)
          else reject(new Error(`${kind} answered ${status} for ${id} instead of ${expected}`))
        })
      })
    const times = whens.map(() => ({ unknown: [] as number[], forbidden: [] as number[] }))
    options.progress.begin(as, options.rounds + 1)
    for (let round = 0; round <= options.rounds; round++) {
      const ids = Array.from({ length: count }, (_, at) => round * count + at + 1)
      for (const taken of times) {
        const took = { unknown: [] as number[], forbidden: [] as number[] }
        // In turns, so that a disturbance slows both.
        for (const id of ids) {
          took.unknown.push(await ask(`none-${id}`, unknown))
          took.forbidden.push(await ask(`idle-${id}`, 403))
        }
        if (round === 0) continue
        taken.unknown.push(middle(took.unknown))
        taken.forbidden.push(middle(took.forbidden))
      }
      options.progress.step(`round ${round} of ${options.rounds}`)
    }
    connection.cut()
    for (const [at, when] of whens.entries()) {
      const { unknown: ours, forbidden } = times[at] as (typeof times)[number]
      const how = { better: 'lower', as: 'note', note: 'ms p50' } as const
      if (name(as, when).includes(options.only)) cases.push(compareNumbers(name(as, when), ours, forbidden, how))
    }
  }
  return cases
}

const middle = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] as number
