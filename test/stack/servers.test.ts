import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { alive } from '../../stack/processes.js'
import { findProgram, findServers } from '../../stack/servers/find.js'
import { freePort, isFree } from '../../stack/servers/ports.js'
import { type PostgresServer, startPostgres } from '../../stack/servers/postgres.js'
import { startRedis } from '../../stack/servers/redis.js'
import { startServers } from '../../stack/servers/start.js'

function ask(server: PostgresServer, query: string, password = server.password): string {
  const env = { PATH: process.env.PATH, PGPASSWORD: password }
  const psql = findProgram('psql', { PATH: `${findServers().postgres.bin}:${process.env.PATH}` }) ?? 'psql'
  const args = ['-h', server.host, '-p', String(server.port), '-U', server.user, '-tAc', query]
  return execFileSync(psql, args, { env, encoding: 'utf8', stdio: 'pipe' }).trim()
}

t.test('all servers start and stop, leaving no process, port or folder', async t => {
  const servers = await startServers({ services: ['identity', 'employee', 'core'] })
  const { postgres, nats, redis, dir } = servers
  const all = [...Object.values(postgres), nats, redis]
  for (const server of all) t.ok(alive(server.pid))
  await servers.stop()
  await servers.stop()
  for (const server of all) {
    t.notOk(alive(server.pid))
    t.ok(await isFree(server.port))
  }
  t.notOk(existsSync(dir))
})

t.test('PostgreSQL takes the right password and no other', async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  t.equal(ask(server, 'show password_encryption'), 'scram-sha-256')
  t.throws(() => ask(server, 'select 1', 'wrong'), /password authentication failed/)
  const rules = readFileSync(join(server.dir, 'pg_hba.conf'), 'utf8').split('\n')
  for (const rule of rules.filter(line => /^(local|host)/.test(line))) t.match(rule, /scram-sha-256$/)
})

t.test('no password stands in a command line', async t => {
  const servers = await startServers({ services: ['core'] })
  t.teardown(() => servers.stop())
  const { core } = servers.postgres
  const secrets = [core.password, servers.nats.password, servers.redis.password]
  for (const { pid } of [core, servers.nats, servers.redis]) {
    const line = execFileSync('ps', ['-ww', '-o', 'args=', '-p', String(pid)], { encoding: 'utf8' })
    for (const secret of secrets) t.notOk(line.includes(secret))
  }
})

t.test('a killed PostgreSQL restarts on the same port with its committed rows', async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const { port, pid } = server
  ask(server, 'create table kept as select 42 as answer')
  await server.kill()
  t.ok(await isFree(port))
  await server.restart()
  t.equal(server.port, port)
  t.not(server.pid, pid)
  t.equal(ask(server, 'select answer from kept'), '42')
})

t.test('a frozen server can be thawed, and stopped without thawing', async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  server.freeze()
  const state = execFileSync('ps', ['-o', 'stat=', '-p', String(server.pid)], { encoding: 'utf8' })
  t.match(state, /^T/)
  server.thaw()
  t.equal(ask(server, 'select 1'), '1')
  server.freeze()
  await server.stop()
  t.notOk(alive(server.pid))
})

t.test('a demanded port in use is an error that names it', async t => {
  const first = await startRedis({ port: await freePort() })
  t.teardown(() => first.stop())
  await t.rejects(startRedis({ port: first.port }), { message: new RegExp(`port ${first.port}`) })
})

t.test('missing servers are named with the command that installs them', async t => {
  const nothing = { PATH: '', SERVER_FOLDERS: '' }
  t.throws(() => findServers(nothing), /initdb.*nats-server.*redis-server.*npm run setup.*docker compose up/)
})
