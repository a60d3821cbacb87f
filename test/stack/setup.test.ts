import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const setup = fileURLToPath(new URL('../../../stack/setup.mjs', import.meta.url))

t.test('without servers and without root, setup prints the command to run and changes nothing', async t => {
  const env = { PATH: '/nonexistent', SERVER_FOLDERS: '', SETUP_WITHOUT_ROOT: '1' }
  const { status, stderr } = spawnSync(process.execPath, [setup], { env, encoding: 'utf8' })
  t.equal(status, 1)
  t.match(stderr, /not on this machine: initdb, nats-server, redis-server/)
  t.match(stderr, /docker compose up/)
})
