// What the testing entry costs a test: a start with a server of its own, a fresh tenant, its removal and the end. A program:
// `node dist/bench/test-tenancy.js [tenants]`; prints medians in milliseconds with the spread of the middle 80 %.
import { startTestTenancy } from '../testing/index.js'

const count = Number(process.argv[2] ?? 50)
const WARM_UP = 5

async function timed(work: () => Promise<unknown>): Promise<number> {
  const at = performance.now()
  await work()
  return performance.now() - at
}

function shown(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b)
  const at = (share: number) => (sorted[Math.floor(share * (sorted.length - 1))] as number).toFixed(1)
  return `${at(0.5)} ms (${at(0.1)}-${at(0.9)}, ${sorted.length} times)`
}

const began = performance.now()
const tenancy = await startTestTenancy({ service: 'bench', migrations: 'bench/migrations/tenant' })
const startMs = performance.now() - began
for (let made = 0; made < WARM_UP; made++) await tenancy.createTenant()
const created: number[] = []
const removed: number[] = []
for (let made = 0; made < count; made++) {
  let remove = async (): Promise<void> => {}
  created.push(
    await timed(async () => {
      const tenant = await tenancy.createTenant()
      remove = tenant.remove
    }),
  )
  removed.push(await timed(remove))
}
const closeMs = await timed(tenancy.close)
process.stdout.write(
  `start ${startMs.toFixed(0)} ms\ncreateTenant ${shown(created)}\nremove ${shown(removed)}\nclose ${closeMs.toFixed(0)} ms\n`,
)
