// The process of one arm: builds the one that the parent names, serves it on a free port, answers questions over IPC.
// Being a process of its own is what makes its CPU and memory measurable. It ends with its parent.
import type { Arm, ArmConfig, MakeArm, Usage } from './arm.js'
import { orms, ownPoolOf } from './orms/names.js'

const arms: Readonly<Record<string, () => Promise<{ make: MakeArm }>>> = {
  ours: () => import('./ours.js'),
  observed: () => import('./observed.js'),
  audited: () => import('./audited.js'),
  'from redis': () => import('./from-redis.js'),
  tokens: () => import('./tokens.js'),
  'claim checked': () => import('./tokens.js').then(({ makeChecked: make }) => ({ make })),
  'hard-coded': () => import('./baselines/hard-coded.js'),
  'jwt alone': () => import('./baselines/jwt.js'),
  'jwt with cache': () => import('./baselines/jwt.js').then(({ makeWithCache: make }) => ({ make })),
  single: () => import('./baselines/single.js'),
  'map-postgres': () => import('./baselines/map-postgres.js'),
  'map-pg': () => import('./baselines/map-pg.js'),
  lru: () => import('./baselines/lru.js'),
  pgbouncer: () => import('./baselines/pgbouncer.js'),
  bare: () => import('./baselines/bare.js'),
  'no plugin': () => import('./baselines/no-plugin.js'),
  operator: () => import('./operator/process.js'),
  importer: () => import('./import/importer.js'),
  hunted: () => import('./leak-hunt/routes.js'),
  'hunted by drizzle': () => import('./leak-hunt/orm-routes.js').then(({ makeByDrizzle: make }) => ({ make })),
  'hunted by kysely': () => import('./leak-hunt/orm-routes.js').then(({ makeByKysely: make }) => ({ make })),
  'hunted by pg': () => import('./leak-hunt/orm-routes.js').then(({ makeByPg: make }) => ({ make })),
  'hunted by mikro-orm': () => import('./leak-hunt/of-process-routes.js'),
  ...Object.fromEntries(
    orms.flatMap(orm => [
      [orm, () => import('./orms/arms.js').then(({ ofTenants }) => ({ make: ofTenants(orm) }))],
      [ownPoolOf(orm), () => import('./orms/arms.js').then(({ onOwnPool }) => ({ make: onOwnPool(orm) }))],
    ]),
  ),
  'prisma, a client per tenant': () => import('./orms/prisma-per-tenant.js'),
}

interface Question {
  readonly number: number
  readonly name: string
  readonly argument?: unknown
}

let arm: Arm | undefined

async function start({ arm: name, config }: { arm: string; config: ArmConfig }): Promise<number> {
  const load = arms[name]
  if (!load) throw new Error(`no arm is called ${name}: ${Object.keys(arms).join(', ')}`)
  arm = await (await load()).make(config)
  await arm.app.listen({ port: 0, host: '127.0.0.1' })
  return (arm.app.server.address() as { port: number }).port
}

function usage(): Usage {
  const { user, system } = process.cpuUsage()
  const { rss, heapUsed } = process.memoryUsage()
  return { cpuMicros: user + system, rss, heap: heapUsed }
}

/** Needs --expose-gc. */
function heapAfterCollection(): number {
  for (let run = 0; run < 4; run++) (globalThis as unknown as { gc(): void }).gc()
  return process.memoryUsage().heapUsed
}

const answers: Record<string, (argument: unknown) => unknown> = {
  start: argument => start(argument as Parameters<typeof start>[0]),
  usage,
  heap: heapAfterCollection,
}

process.on('message', async ({ number, name, argument }: Question) => {
  try {
    const answer = answers[name] ?? arm?.answers?.[name]
    if (!answer) throw new Error(`this arm cannot answer ${name}`)
    process.send?.({ number, value: await answer(argument) })
  } catch (error) {
    process.send?.({ number, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
})
process.on('disconnect', () => process.exit(0))
