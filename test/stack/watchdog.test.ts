import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { descendants, waitGone } from '../../stack/processes.js'

const owner = fileURLToPath(new URL('./owner.js', import.meta.url))

t.test('an owner ended with SIGKILL leaves no process and no folder, and no watchdog', async t => {
  const child = spawn(process.execPath, [owner], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  const { pids, dir } = JSON.parse(line) as { pids: number[]; dir: string }
  // The servers, their backends, and the watchdog itself.
  const everyone = descendants(child.pid as number)
  for (const pid of pids) t.ok(everyone.includes(pid))
  t.ok(everyone.length > pids.length)
  child.kill('SIGKILL')
  t.ok(await waitGone(everyone, 60_000), 'all processes are gone')
  for (let wait = 0; existsSync(dir) && wait < 50; wait++) await sleep(20)
  t.notOk(existsSync(dir))
})
