// compose.yaml and the Dockerfile are not run here. What can go wrong without being run is held to the code: names of
// variables, hosts, secrets and files, and the configuration NATS gets.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { connectEvents, ensureTenantStream, readStreamState } from '../../events/index.js'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import { environmentSchema, secretVariables } from '../../plugins/distributed-tenant/config/environment-schema.js'
import { findServers } from '../../stack/servers/find.js'
import { freePort } from '../../stack/servers/ports.js'
import { startProcess } from '../../stack/servers/server-process.js'

interface Container {
  image: string
  build?: { dockerfile: string }
  restart?: string
  command?: string[]
  environment?: Record<string, unknown>
  secrets?: string[]
  volumes?: string[]
  ports?: string[]
  healthcheck?: { test: string[] }
  depends_on?: Record<string, { condition: string }>
}

const compose = parse(readFileSync('compose.yaml', 'utf8'), { merge: true }) as {
  services: Record<string, Container>
  volumes: Record<string, unknown>
  secrets: Record<string, { file: string }>
}
const containers = Object.entries(compose.services)
const ours = containers.filter(([, { build }]) => build)
const [inits, services] = [
  ours.filter(([name]) => name.endsWith('-init')),
  ours.filter(([name]) => !name.endsWith('-init')),
]
const databases = containers.filter(([, { image }]) => image.startsWith('postgres:'))

const secretFiles = [...secretVariables, 'INIT_PASSWORD'].map(name => `${name}_FILE`)
const known = new Set([...Object.keys(environmentSchema.properties), ...secretFiles, 'INIT_SUPERUSER'])

/** ./secrets as deploy/secrets.sh makes it, elsewhere. */
function makeSecrets(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'compose-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'deploy'))
  for (const name of ['secrets.sh', 'nats.conf']) cpSync(join('deploy', name), join(folder, 'deploy', name))
  execFileSync('sh', [join(folder, 'deploy/secrets.sh')])
  return folder
}

const natsUrl = (folder: string, user: string): URL =>
  new URL(readFileSync(join(folder, `secrets/nats_${user}_url.txt`), 'utf8').trim())

t.test('there are three services, each with an instance of its own and an init', async t => {
  const names = services.map(([name]) => name)
  t.same(names, ['identity', 'employee', 'core'])
  t.same(
    inits.map(([name]) => name),
    names.map(name => `${name}-init`),
  )
  t.same(
    databases.map(([name]) => name),
    names.map(name => `${name}-db`),
  )
  for (const name of names) {
    for (const one of [name, `${name}-init`]) {
      t.match(compose.services[one]?.environment, { SERVICE_NAME: `${name}-service`, DB_HOST: `${name}-db` }, one)
    }
  }
})

t.test('every variable of ours is one the code knows', async t => {
  for (const [name, { environment = {} }] of ours) {
    t.same(
      Object.keys(environment).filter(variable => !known.has(variable)),
      [],
      name,
    )
  }
  for (const [name, { environment = {} }] of databases)
    t.same(Object.keys(environment), ['POSTGRES_PASSWORD_FILE'], name)
})

t.test('every value of ours is one the code takes', async t => {
  const folder = makeSecrets(t)
  for (const [name, { environment = {} }] of ours) {
    const source = Object.fromEntries(
      Object.entries(environment).map(([key, value]) => {
        const text = String(value)
        return [
          key,
          text.replace(/^\/run\/secrets\/(.*)$/, (_, secret) => join(folder, compose.secrets[secret]?.file ?? '')),
        ]
      }),
    )
    t.doesNotThrow(() => readEnvironment(source), name)
  }
})

t.test('every host is a container here', async t => {
  const folder = makeSecrets(t)
  for (const user of ['operator', ...services.map(([name]) => name)]) {
    const nats = natsUrl(folder, user)
    t.equal(nats.username, user)
    t.ok(nats.hostname in compose.services, nats.hostname)
  }
  for (const [name, { environment = {} }] of ours) {
    for (const [variable, value] of Object.entries(environment)) {
      const host = variable.endsWith('_HOST')
        ? value
        : variable.endsWith('_URL')
          ? new URL(String(value)).hostname
          : null
      if (host !== null) t.ok(String(host) in compose.services, `${name}: ${variable}`)
    }
  }
})

t.test('whatever stays up has a health check', async t => {
  for (const [name, { healthcheck, restart }] of containers) {
    if (restart === 'no') continue
    t.equal(healthcheck?.test[0], 'CMD', name)
    t.ok(
      healthcheck?.test.every(part => typeof part === 'string'),
      name,
    )
  }
})

t.test('the health check of a service is a program, and says no when nobody answers', async t => {
  for (const [name, { healthcheck, environment }] of services) {
    const [, , ...args] = healthcheck?.test ?? []
    const env = { ...process.env, NODE_OPTIONS: '', PORT: String(await freePort()) }
    const { status, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8' })
    t.same([status, stderr], [1, ''], name)
    t.ok(environment?.PORT, `${name} says on which port`)
  }
})

t.test('whoever waits for another says for what', async t => {
  const conditions = (name: string) =>
    Object.entries(compose.services[name]?.depends_on ?? {}).map(([other, { condition }]) => `${other} ${condition}`)
  for (const [name] of services) {
    t.same(conditions(name), [
      `${name}-init service_completed_successfully`,
      'nats service_healthy',
      'redis service_healthy',
    ])
    t.same(conditions(`${name}-init`), [`${name}-db service_healthy`])
  }
  for (const other of containers.flatMap(([, { depends_on = {} }]) => Object.keys(depends_on))) {
    t.ok(other in compose.services, other)
  }
})

t.test('no secret stands in the file: each comes as a file of its own', async t => {
  for (const [name, { environment = {}, secrets = [] }] of containers) {
    for (const [variable, value] of Object.entries(environment)) {
      const secret = /PASSWORD|TOKEN|SECRET|NATS_URL/.test(variable)
      if (secret) t.match(variable, /_FILE$/, `${name}: ${variable}`)
      t.notMatch(String(value), /:\/\/[^/]*@/, `${name}: ${variable} holds no password`)
      const [, wanted] = /^\/run\/secrets\/(.*)$/.exec(String(value)) ?? []
      if (wanted !== undefined) t.ok(secrets.includes(wanted), `${name} is given ${wanted}`)
    }
    for (const secret of secrets) t.ok(secret in compose.secrets, `${name}: ${secret}`)
  }
})

t.test('a superuser’s password reaches its instance and its init, and no service', async t => {
  for (const [name, { secrets = [] }] of containers.filter(([, { secrets = [] }]) =>
    secrets.some(one => /superuser/.test(one)),
  )) {
    t.match(name, /-(db|init)$/)
    t.same(
      secrets.filter(secret => !secret.startsWith(name.replace(/-.*/, ''))),
      [],
      name,
    )
  }
})

t.test('deploy/secrets.sh makes every file of compose.yaml, and keeps what is there', async t => {
  const folder = makeSecrets(t)
  const read = () =>
    Object.entries(compose.secrets).map(([name, { file }]) => [name, readFileSync(join(folder, file), 'utf8')])
  const first = read()
  const values = first.filter(([name]) => !name?.startsWith('nats')).map(([, value]) => value)
  t.equal(new Set(values).size, values.length, 'no two are the same')
  for (const value of values) t.match(value, /^(k1:)?[0-9a-f]{48}\n$/)
  execFileSync('sh', [join(folder, 'deploy/secrets.sh')])
  t.same(read(), first)
  t.equal(statSync(join(folder, 'secrets')).mode & 0o777, 0o700, 'the folder is its owner’s alone')
})

t.test('each service has a NATS user of its own', async t => {
  for (const [name, { environment = {}, secrets = [] }] of services) {
    t.equal(environment.NATS_URL_FILE, `/run/secrets/nats_${name}_url`)
    t.same(
      secrets.filter(secret => secret.startsWith('nats')),
      [`nats_${name}_url`],
    )
  }
})

/** NATS with compose.yaml's command, over the configuration in `folder`. */
async function natsOf(t: Test, folder: string): Promise<{ port: number; at: (user: string) => string }> {
  const port = await freePort()
  const { command = [] } = compose.services.nats as Container
  const args = command.map(part => (part === '/data' ? join(folder, 'data') : part === '8222' ? '0' : part))
  const config = join(folder, 'secrets/nats_conf.txt')
  const server = await startProcess({
    name: 'NATS',
    kind: 'nats',
    command: findServers().nats,
    args: [
      ...args.map(part => (part === '/run/secrets/nats_conf' ? config : part)),
      '-a',
      '127.0.0.1',
      '-p',
      String(port),
    ],
    folder,
    log: join(folder, 'nats.log'),
    port,
    signals: [['SIGTERM', 3000]],
    ready: async () =>
      existsSync(join(folder, 'nats.log')) && /Server is ready/.test(readFileSync(join(folder, 'nats.log'), 'utf8')),
  })
  t.teardown(() => server.stop())
  const at = (user: string) =>
    readFileSync(join(folder, `secrets/nats_${user}_url.txt`), 'utf8')
      .trim()
      .replace(/[^@]*$/, `127.0.0.1:${port}`)
  return { port, at }
}

t.test('NATS takes the command and the configuration, and lets in who has a URL', async t => {
  const folder = makeSecrets(t)
  const { at } = await natsOf(t, folder)
  const as = async (user: string) => {
    const connection = connectEvents({ url: at(user), name: user })
    t.teardown(() => connection.close())
    t.ok(await connection.ready(5000), user)
    return connection
  }
  t.match(await ensureTenantStream(await as('identity')), { action: 'created' })
  for (const name of ['employee', 'core']) t.match(await readStreamState(await as(name)), { messages: 0 })
  await as('operator')
})

t.test('a NATS password of one’s own may hold any character', async t => {
  const folder = makeSecrets(t)
  const own = {
    operator: 'a|b&c\\1$2a',
    identity: '%22quoted%22%5c%2f%40%c3%a4',
    employee: '12345678',
    core: `%7c";}'`,
  }
  for (const [user, password] of Object.entries(own)) {
    writeFileSync(join(folder, `secrets/nats_${user}_url.txt`), `nats://${user}:${password}@nats:4222\n`)
  }
  execFileSync('sh', [join(folder, 'deploy/secrets.sh')])
  const { at } = await natsOf(t, folder)
  for (const user of Object.keys(own)) {
    const connection = connectEvents({ url: at(user), name: user })
    t.teardown(() => connection.close())
    t.ok(await connection.ready(5000), user)
  }
})

t.test('deploy/secrets.sh refuses what is no URL of that user, and changes nothing', async t => {
  const folder = makeSecrets(t)
  const config = () => readFileSync(join(folder, 'secrets/nats_conf.txt'), 'utf8')
  const before = config()
  for (const bad of [
    'core',
    'nats://core@nats:4222',
    'nats://identity:x@nats:4222',
    'nats://core:a b@nats:4222',
    'nats://core:a#b@nats:4222',
    'nats://core:@nats:4222',
  ]) {
    writeFileSync(join(folder, 'secrets/nats_core_url.txt'), `${bad}\n`)
    const { status, stderr } = spawnSync('sh', [join(folder, 'deploy/secrets.sh')], { encoding: 'utf8' })
    t.equal(status, 1, bad)
    t.match(stderr, /^secrets\/nats_core_url\.txt must hold nats:\/\/core:<password>@/, bad)
    t.equal(config(), before, bad)
  }
})

t.test('no program of deploy/secrets.sh has a secret among its arguments', async t => {
  const folder = makeSecrets(t)
  // Programs in front of those of the machine, each of which notes its arguments.
  const bin = join(folder, 'bin')
  const log = join(folder, 'arguments')
  mkdirSync(bin)
  for (const name of ['sed', 'tr', 'od', 'cat', 'grep', 'chmod', 'mkdir', 'dirname', 'mv', 'printf', 'awk']) {
    const real = ['/usr/bin', '/bin'].map(place => join(place, name)).find(path => existsSync(path))
    if (!real) continue
    writeFileSync(
      join(bin, name),
      `#!/bin/sh\nfor one; do printf '%s\\n' "$one"; done >> '${log}'\nexec ${real} "$@"\n`,
    )
    chmodSync(join(bin, name), 0o755)
  }
  rmSync(join(folder, 'secrets'), { recursive: true })
  execFileSync('sh', [join(folder, 'deploy/secrets.sh')], { env: { PATH: `${bin}:${process.env.PATH}` } })
  const noted = readFileSync(log, 'utf8')
  t.match(noted, /nats_core_url/, 'arguments were noted')
  for (const { file } of Object.values(compose.secrets)) {
    for (const [secret] of readFileSync(join(folder, file), 'utf8').matchAll(/[0-9a-f]{48}/g)) {
      t.notOk(noted.includes(secret), file)
    }
  }
})

t.test('images are pinned to a minor version at least', async t => {
  const froms = [...readFileSync('deploy/Dockerfile', 'utf8').matchAll(/^FROM (\S+)/gm)].map(([, image]) => image ?? '')
  for (const image of [...containers.map(([, { image }]) => image), ...froms]) t.match(image, /:\d+\.\d+/)
})

t.test('each PostgreSQL has a volume of its own, and NATS has one', async t => {
  const mounts = containers.flatMap(([, { volumes = [] }]) => volumes)
  t.equal(mounts.length, databases.length + 1)
  for (const [name, { volumes = [] }] of databases) t.match(volumes, [/^[a-z-]+:\/var\/lib\/postgresql\/data$/], name)
  t.same(mounts.map(mount => mount.split(':')[0]).sort(), Object.keys(compose.volumes).sort())
})

t.test('the programs a container starts are built', async t => {
  for (const [name, { command = [] }] of inits) t.ok(existsSync(command[1] ?? ''), `${name}: ${command.join(' ')}`)
  for (const [name] of services) t.ok(existsSync(`dist/services/${name}/main.js`), name)
})

t.test('the image copies what exists, holds no secret, and runs as nobody special', async t => {
  const lines = readFileSync('deploy/Dockerfile', 'utf8').split('\n')
  const copied = lines.filter(line => /^COPY (?!--from)/.test(line)).flatMap(line => line.split(' ').slice(1, -1))
  const allowed = readFileSync('.dockerignore', 'utf8')
    .split('\n')
    .filter(line => line.startsWith('!'))
  t.ok(copied.length > 5)
  for (const path of copied) t.ok(existsSync(path), path)
  t.same(copied.map(path => `!${path}`).sort(), allowed.sort())
  t.same(
    lines.filter(line => /^(ARG|ENV)\b/.test(line)),
    [],
  )
  t.match(
    lines.filter(line => line.startsWith('USER')),
    ['USER node'],
  )
})
