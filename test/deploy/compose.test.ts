// compose.yaml and the Dockerfile without containers: names of variables, hosts, secrets and files are compared with
// the code, and programs are started with the file's values, against servers of this machine.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
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
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { connectEvents, ensureTenantStream, readStreamState } from '../../events/index.js'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import { environmentSchema, secretVariables } from '../../plugins/distributed-tenant/config/environment-schema.js'
import { findServers } from '../../stack/servers/find.js'
import { freePort } from '../../stack/servers/ports.js'
import { startProcess } from '../../stack/servers/server-process.js'
import { startServers } from '../../stack/servers/start.js'
import { until } from '../until.js'

interface Mount {
  type: string
  source?: string
  target: string
}

interface Container {
  image: string
  build?: { dockerfile: string }
  restart?: string
  command?: string[]
  environment?: Record<string, unknown>
  secrets?: string[]
  volumes?: (string | Mount)[]
  ports?: string[]
  networks?: string[]
  profiles?: string[]
  entrypoint?: string[]
  pull_policy?: string
  security_opt?: string[]
  env_file?: string[]
  healthcheck?: { test: string[] }
  depends_on?: Record<string, { condition: string }>
}

const compose = parse(readFileSync('compose.yaml', 'utf8'), { merge: true }) as {
  services: Record<string, Container>
  volumes: Record<string, unknown>
  secrets: Record<string, { file: string }>
  networks: Record<string, { internal?: boolean }>
}
const containers = Object.entries(compose.services)
const ours = containers.filter(([, { image }]) => image.startsWith('fastify-distributed-tenant:'))
const [inits, services] = [
  ours.filter(([name]) => name.endsWith('-init')),
  ours.filter(([name]) => !name.endsWith('-init') && name !== 'operator'),
]
const databases = containers.filter(([, { image }]) => image.startsWith('postgres:'))

const secretFiles = [...secretVariables, 'INIT_PASSWORD'].map(name => `${name}_FILE`)
/** The variables that the operator's command reads for each service. */
const ofService = ['DB_HOST', 'DB_PASSWORD_FILE', 'TENANT_ROLE_SECRET_FILE', 'NATS_URL_FILE', 'URL']
const known = new Set([
  ...Object.keys(environmentSchema.properties),
  ...secretFiles,
  'INIT_SUPERUSER',
  'TMPDIR',
  ...services.flatMap(([name]) => ofService.map(variable => `${name.toUpperCase()}_${variable}`)),
])

/** ./secrets as deploy/secrets.sh makes it, in another folder. */
function makeSecrets(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'compose-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'deploy'))
  for (const name of ['secrets.sh', 'nats.conf']) cpSync(join('deploy', name), join(folder, 'deploy', name))
  execFileSync('sh', [join(folder, 'deploy/secrets.sh')])
  return folder
}

/** The place in `folder` of a file of a container; other values unchanged. */
const fileOf = (folder: string, value: string): string =>
  value
    .replace(/^\/run\/secrets\/(.*)$/, (_, secret) => join(folder, compose.secrets[secret]?.file ?? ''))
    .replace(/^\/run\/admin\//, join(folder, 'secrets/admin/'))

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

t.test('every variable of the product is known to the code', async t => {
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

t.test('every value of the product is accepted by the code', async t => {
  const folder = makeSecrets(t)
  for (const [name, { environment = {} }] of ours) {
    const source = Object.fromEntries(
      Object.entries(environment).map(([key, value]) => {
        const text = String(value)
        return [key, fileOf(folder, text)]
      }),
    )
    t.doesNotThrow(() => readEnvironment(source), name)
  }
})

t.test('every host is a container of this file', async t => {
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

t.test('every long-running container has a health check', async t => {
  for (const [name, { healthcheck, restart }] of containers) {
    if (restart !== 'unless-stopped') continue
    t.equal(healthcheck?.test[0], 'CMD', name)
    t.ok(
      healthcheck?.test.every(part => typeof part === 'string'),
      name,
    )
  }
})

/** A health check as the container runs it. */
function check(container: Container | undefined, port: number): Promise<number | null> {
  const [, program = '', ...args] = (container?.healthcheck?.test ?? []).map(part => part.replaceAll('$$', '$'))
  const child = spawn(program, args, { env: { PATH: process.env.PATH, PORT: String(port) }, stdio: 'ignore' })
  return once(child, 'exit').then(([code]) => code)
}

t.test('the health check of a service accepts 200 alone', async t => {
  const asked: string[] = []
  let status = 200
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.writeHead(status).end('{}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const silent = await freePort()
  for (const [name, container] of services) {
    t.notMatch(container.healthcheck?.test.join(' '), /node/, 'starts no Node.js')
    for (const [answer, code] of [
      [200, 0],
      [503, 1],
      [404, 1],
    ] as const) {
      status = answer
      t.equal(await check(container, port), code, `${name}: ${answer}`)
    }
    t.not(await check(container, silent), 0, `${name}: no server listens`)
    t.ok(container.environment?.PORT, `${name} has its port`)
  }
  t.same([...new Set(asked)], ['GET /api/health/ready'])
})

t.test('the image is built once and never pulled', async t => {
  t.same(
    ours.filter(([, { build }]) => build).map(([name]) => name),
    ['identity'],
  )
  t.equal(new Set(ours.map(([, { image }]) => image)).size, 1)
  for (const [name, { pull_policy }] of ours) t.equal(pull_policy, 'never', name)
})

t.test('no container gains privileges, and an init that fails is tried again', async t => {
  for (const [name, { security_opt }] of containers) t.same(security_opt, ['no-new-privileges:true'], name)
  for (const [name, { restart }] of inits) t.equal(restart, 'on-failure', name)
})

t.test('databases are without TLS, each in a network that only its own programs and the operator share', async t => {
  for (const [name, { networks = [] }] of databases) {
    t.equal(networks.length, 1, name)
    const [network = ''] = networks
    t.match(compose.networks[network], { internal: true }, network)
    const inside = containers.filter(([, one]) => one.networks?.includes(network)).map(([other]) => other)
    const service = name.replace('-db', '')
    t.same(inside.sort(), [service, `${service}-init`, name, 'operator'].sort(), network)
  }
  for (const [name, { environment }] of ours) t.equal(environment?.DB_SSLMODE, 'disable', name)
})

t.test('without the secrets compose names deploy/secrets.sh', async t => {
  const folder = makeSecrets(t)
  for (const [name, { env_file = [] }] of ours) {
    t.match(env_file, [/made-by-deploy-secrets\.sh$/], name)
    t.equal(readFileSync(join(folder, env_file[0] ?? ''), 'utf8'), '', 'and it holds nothing')
  }
})

t.test('identity and the operator get the admin token as a folder, so that a replaced file is read', async t => {
  const folder = makeSecrets(t)
  for (const name of ['identity', 'operator']) {
    const { environment, volumes = [] } = compose.services[name] as Container
    t.equal(environment?.ADMIN_TOKEN_FILE, '/run/admin/token.txt', name)
    t.match(volumes[0], { type: 'bind', source: './secrets/admin', target: '/run/admin', read_only: true }, name)
  }
  const token = () => readFileSync(join(folder, 'secrets/admin/token.txt'), 'utf8')
  t.match(token(), /^[0-9a-f]{48}\n$/)
  writeFileSync(join(folder, 'secrets/admin_token.txt'), 'the-token-of-an-older-release\n')
  execFileSync('sh', [join(folder, 'deploy/secrets.sh')])
  t.equal(token(), 'the-token-of-an-older-release\n', 'the token of the older place is kept')
  t.notOk(existsSync(join(folder, 'secrets/admin_token.txt')))
})

t.test(
  'the services start in production with the file’s values, and the operator’s command finds no fault',
  async t => {
    const folder = makeSecrets(t)
    const names = services.map(([name]) => name)
    const servers = await startServers({ services: names })
    t.teardown(() => servers.stop())
    const nats = await natsOf(t, folder)
    for (const name of names) {
      writeFileSync(join(folder, `secrets/nats_${name}_url.txt`), nats.at(name))
      writeFileSync(join(folder, `secrets/${name}_db_superuser.txt`), servers.postgres[name]?.password ?? '')
    }
    const ports = Object.fromEntries(await Promise.all(names.map(async name => [name, await freePort()])))
    /** The container's own variables, with places of this machine in them. */
    const environmentOf = (name: string): NodeJS.ProcessEnv => {
      const given: NodeJS.ProcessEnv = { PATH: process.env.PATH }
      for (const [variable, value] of Object.entries(compose.services[name]?.environment ?? {})) {
        const text = String(value)
        const [, database] = /^(\w+)-db$/.exec(text) ?? []
        const [, service] = /^http:\/\/(\w+):/.exec(text) ?? []
        if (database) {
          given[variable] = '127.0.0.1'
          given[variable.replace('HOST', 'PORT')] = String(servers.postgres[database]?.port)
        } else if (service) given[variable] = `http://127.0.0.1:${ports[service]}`
        else if (variable === 'CONSOLE_SERVICES')
          given[variable] = text.replace(/http:\/\/(\w+):\d+/g, (_, other) => `http://127.0.0.1:${ports[other]}`)
        else if (variable === 'TMPDIR') given[variable] = folder
        else if (variable === 'PORT') given[variable] = String(ports[name])
        else if (variable === 'REDIS_URL') given[variable] = servers.redis.url
        else given[variable] = fileOf(folder, text.replace(`\${NODE_ENV:-development}`, 'production'))
      }
      return given
    }
    for (const name of names) {
      const env = { ...environmentOf(`${name}-init`), INIT_SUPERUSER: servers.postgres[name]?.user }
      const [, ...args] = compose.services[`${name}-init`]?.command ?? []
      execFileSync(process.execPath, args, { env, stdio: 'pipe' })
    }
    const healthy: Promise<unknown>[] = []
    for (const name of names) {
      const env = environmentOf(name)
      t.equal(env.NODE_ENV, 'production')
      const child = spawn(process.execPath, [`dist/services/${name}/main.js`], {
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let log = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        log = (log + text).slice(-4000)
      })
      const ended = once(child, 'exit')
      t.teardown(() => {
        child.kill()
        return ended
      })
      healthy.push(
        until(`${name} is healthy`, async () => {
          if (child.exitCode !== null) throw new Error(`${name} has ended: ${log}`)
          // As often as the containers' own check: each time is a program.
          return (await check(compose.services[name], ports[name] ?? 0)) === 0 || (await sleep(500))
        }).catch(error => Promise.reject(new Error(`${(error as Error).message}\n${log}`))),
      )
    }
    await Promise.all(healthy)
    const operator = compose.services.operator as Container
    const command = async (...args: string[]): Promise<{ code: number; out: string }> => {
      const [, program = ''] = operator.entrypoint ?? []
      const child = spawn(process.execPath, [program.replace('/app/', ''), ...args], { env: environmentOf('operator') })
      let out = ''
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          out += text
        })
      }
      const [code] = await once(child, 'close')
      return { code, out }
    }
    t.match(await command('create', 'Acme', '--id', 'acme', '--wait', '180'), { code: 0 })
    let found = { code: -1, out: '' }
    // Spares are created during the check.
    await until('doctor finds nothing', async () => {
      found = await command('doctor', '--deep')
      return found.code === 0
    }).catch(() => t.equal(found.code, 0, found.out))
    t.match(await command('status'), { code: 0, out: /acme/ })
    await consoleShows(
      t,
      `http://127.0.0.1:${ports.identity}`,
      readFileSync(join(folder, 'secrets/operator_token.txt'), 'utf8'),
    )
    t.match(await command('verify', 'acme'), { code: 0 })
    t.match(await command('backup', 'acme', '--to', join(folder, 'acme.tar')), { code: 0 })
    const sql = 'select current_database()'
    const ran = await command('run', '--', 'psql', '-Atc', sql)
    t.equal(ran.code, 0, ran.out)
    for (const name of names) t.match(ran.out, `tenant_acme_${name}`)
  },
)

/** Signs in with the token of the file, as an operator does, and sees every service. */
async function consoleShows(t: Test, identity: string, file: string): Promise<void> {
  const [, token = ''] = /^administer:(\S+)\n$/.exec(file) ?? []
  const answer = await fetch(`${identity}/console/api/session`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: '{"name":"Ada"}',
  })
  t.match(await answer.json(), { name: 'Ada', role: 'administer', services: ['identity', 'employee', 'core'] })
  const cookie = String(answer.headers.getSetCookie()[0]).split(';')[0] as string
  const overview = await (await fetch(`${identity}/console/api/overview`, { headers: { cookie } })).json()
  for (const name of ['identity', 'employee', 'core'])
    t.match(overview, { [name]: { overview: { service: name } } }, name)
}

t.test('the console reaches every service under its name and port', async t => {
  const given = String(compose.services.identity?.environment?.CONSOLE_SERVICES)
  t.same(
    given.split(','),
    ['employee', 'core'].map(name => `${name}=http://${name}:${compose.services[name]?.environment?.PORT}`),
  )
  const { operator } = compose.services
  for (const [name, { environment } = {}] of [...services, ['operator', operator] as const])
    t.equal(environment?.OPERATOR_TOKEN_FILE, '/run/secrets/operator_token', name)
})

t.test('a container that waits for another names the condition', async t => {
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
      if (wanted !== undefined) t.ok(secrets.includes(wanted), `${name} gets ${wanted}`)
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

t.test('deploy/secrets.sh makes every file of compose.yaml, and keeps existing ones', async t => {
  const folder = makeSecrets(t)
  const read = () =>
    Object.entries(compose.secrets).map(([name, { file }]) => [name, readFileSync(join(folder, file), 'utf8')])
  const first = read()
  const values = first.filter(([name]) => !name?.startsWith('nats')).map(([, value]) => value)
  t.equal(new Set(values).size, values.length, 'no two are the same')
  for (const value of values) t.match(value, /^(k1:|administer:)?[0-9a-f]{48}\n$/)
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

t.test('NATS accepts the command and the configuration, and the user of each URL', async t => {
  const folder = makeSecrets(t)
  const { at } = await natsOf(t, folder)
  const as = async (user: string) => {
    const connection = connectEvents({ url: at(user), name: user })
    t.teardown(() => connection.close())
    t.ok(await connection.ready(60_000), user)
    return connection
  }
  t.match(await ensureTenantStream(await as('identity')), { action: 'created' })
  for (const name of ['employee', 'core']) t.match(await readStreamState(await as(name)), { messages: 0 })
  await as('operator')
})

t.test('a NATS password may hold any character', async t => {
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
    t.ok(await connection.ready(60_000), user)
  }
})

t.test('deploy/secrets.sh refuses a URL of another user, and changes nothing', async t => {
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
  // Programs in front of those of the machine, each of which records its arguments.
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
  t.match(noted, /nats_core_url/, 'arguments were recorded')
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

t.test('each PostgreSQL has a volume of its own, NATS and the operator have one, and Redis keeps none', async t => {
  const mounts = containers.flatMap(([, { volumes = [] }]) => volumes).filter(one => typeof one === 'string')
  t.equal(mounts.length, databases.length + 2)
  for (const [name, { volumes = [] }] of databases) t.match(volumes, [/^[a-z-]+:\/var\/lib\/postgresql\/data$/], name)
  t.same(mounts.map(mount => mount.split(':')[0]).sort(), Object.keys(compose.volumes).sort())
  t.match(compose.services.redis?.volumes, [{ type: 'tmpfs', target: '/data' }])
})

t.test('the programs a container starts are built', async t => {
  for (const [name, { command = [] }] of inits) t.ok(existsSync(command[1] ?? ''), `${name}: ${command.join(' ')}`)
  for (const [name] of services) t.ok(existsSync(`dist/services/${name}/main.js`), name)
})

t.test('the image copies existing files, holds no secret, and runs as an unprivileged user', async t => {
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
  const dockerfile = lines.join('\n')
  t.match(dockerfile, /^RUN npm run build && rm dist\/\.tsbuildinfo /m)
  // Programs of the servers' own version: an older pg_dump refuses them.
  const [, installed] = /postgresql-client-(\d+)/.exec(dockerfile) ?? []
  for (const [name, { image }] of databases) t.match(image, new RegExp(`^postgres:${installed}\\.`), name)
})
