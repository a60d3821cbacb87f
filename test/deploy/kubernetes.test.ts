// deploy/kubernetes without a cluster: both overlays are rendered by kubectl, each object is compiled against the types of
// the Kubernetes API, and what it names is held to the code.
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import { environmentSchema, secretVariables } from '../../plugins/distributed-tenant/config/environment-schema.js'
import { CLOSE_DEADLINE_MS, CUT_AFTER_MS } from '../../services/serve.js'
import { allowedPaths, type NetworkPolicy, type Pod } from './network-paths.js'

interface Container {
  image: string
  command?: string[]
  args?: string[]
  env?: { name: string; value: string }[]
  envFrom?: { configMapRef: { name: string } }[]
  ports?: { name: string; containerPort: number }[]
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean; subPath?: string }[]
  startupProbe?: Probe
  livenessProbe?: Probe
  readinessProbe?: Probe
  securityContext?: Record<string, unknown>
  resources?: { limits?: { memory?: string } }
}
interface Probe {
  httpGet?: { path: string; port: string }
  periodSeconds: number
  failureThreshold: number
}
interface PodTemplate {
  metadata: { labels: Record<string, string> }
  spec: {
    automountServiceAccountToken?: boolean
    enableServiceLinks?: boolean
    terminationGracePeriodSeconds?: number
    securityContext?: Record<string, unknown>
    topologySpreadConstraints?: { labelSelector: { matchLabels: Record<string, string> } }[]
    containers: Container[]
    volumes?: { name: string; secret?: { secretName: string; items?: { key: string; path: string }[] } }[]
  }
}
interface Kubernetes {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string }
  type?: string
  data?: Record<string, string>
  // biome-ignore lint/suspicious/noExplicitAny: each kind has its own; the compiler holds them to the API below.
  spec?: any
}

const overlays = ['development', 'production'] as const
const names = ['identity', 'employee', 'core']
const where = 'deploy/kubernetes'

/** @throws with kubectl's own words when it refuses the folder */
function render(overlay: string): Kubernetes[] {
  const text = execFileSync('kubectl', ['kustomize', join(where, 'overlays', overlay)], { encoding: 'utf8' })
  return parseAllDocuments(text).map(document => document.toJS() as Kubernetes)
}

/** The YAML blocks of a page that are objects of Kubernetes. */
const objectsOf = (page: string): Kubernetes[] =>
  [...readFileSync(page, 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)]
    .map(([, text = '']) => parse(text) as Kubernetes)
    .filter(({ kind }) => kind)

function podOf(object: Kubernetes): PodTemplate | undefined {
  const { kind, spec } = object
  if (kind === 'CronJob') return spec.jobTemplate.spec.template
  return ['Deployment', 'StatefulSet', 'Job'].includes(kind) ? spec.template : undefined
}

/** Secrets as deploy/kubernetes/secrets.sh prints them, made in another folder. */
function printedSecrets(t: Test): { folder: string; secrets: Kubernetes[] } {
  const folder = mkdtempSync(join(tmpdir(), 'kubernetes-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync('deploy', join(folder, 'deploy'), { recursive: true })
  const text = execFileSync('sh', [join(folder, where, 'secrets.sh')], { encoding: 'utf8' })
  return { folder, secrets: parseAllDocuments(text).map(document => document.toJS() as Kubernetes) }
}

/** Compiles each object as `{…} satisfies I<Kind>`. @returns what the compiler says */
function compile(t: Test, objects: Kubernetes[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'kubernetes-types-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'))
  const packageOf = (apiVersion: string) =>
    apiVersion.startsWith('monitoring.coreos.com/')
      ? '@kubernetes-models/prometheus-operator'
      : apiVersion.startsWith('postgresql.cnpg.io/')
        ? '@kubernetes-models/cloudnative-pg'
        : 'kubernetes-models'
  objects.forEach((object, at) => {
    const { apiVersion, kind, metadata } = object
    writeFileSync(
      join(folder, `${String(at).padStart(3, '0')}-${kind}-${metadata.name}.ts`),
      `import type { I${kind} } from '${packageOf(apiVersion)}/${apiVersion}/${kind}'\nexport default ${JSON.stringify(object, null, 1)} satisfies I${kind}\n`,
    )
  })
  const compilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    module: 'preserve',
    moduleResolution: 'bundler',
    types: [],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
  const { stdout, status } = spawnSync(process.execPath, [resolve('node_modules/typescript/bin/tsc'), '-p', folder], {
    encoding: 'utf8',
  })
  return status === 0 ? '' : stdout
}

const missing = spawnSync('kubectl', ['version', '--client']).error !== undefined
const skip = missing && 'kubectl is not installed, so deploy/kubernetes was not rendered'

t.test('deploy/kubernetes', { skip }, async t => {
  const rendered = Object.fromEntries(overlays.map(overlay => [overlay, render(overlay)])) as Record<
    (typeof overlays)[number],
    Kubernetes[]
  >
  const everywhere = overlays.flatMap(overlay => rendered[overlay].map(object => ({ overlay, object })))
  const title = ({ kind, metadata }: Kubernetes, overlay: string) => `${overlay}: ${kind} ${metadata.name}`
  const find = (overlay: (typeof overlays)[number], kind: string, name: string) => {
    const object = rendered[overlay].find(one => one.kind === kind && one.metadata.name === name)
    if (!object) throw new Error(`${overlay} has no ${kind} ${name}`)
    return object
  }
  /** The variables of a container: its ConfigMap, then its own. */
  const environmentOf = (overlay: (typeof overlays)[number], { envFrom = [], env = [] }: Container) => ({
    ...Object.assign({}, ...envFrom.map(({ configMapRef }) => find(overlay, 'ConfigMap', configMapRef.name).data)),
    ...Object.fromEntries(env.map(({ name, value }) => [name, value])),
  })
  const documented = objectsOf('docs/kubernetes.md')
  const { folder, secrets } = printedSecrets(t)

  t.test('every object compiles against the Kubernetes API, and a misspelt field does not', async t => {
    t.ok(documented.length >= 3, 'the page has objects')
    const objects = [...everywhere.map(({ object }) => object), ...documented]
    const misspelt = structuredClone(find('production', 'Deployment', 'core-service'))
    misspelt.spec.template.spec.containers[0].readinesProbe = {}
    t.equal(compile(t, objects), '')
    t.match(compile(t, [misspelt]), /readinesProbe/)
  })

  t.test('each service has its objects in both overlays', async t => {
    for (const overlay of overlays) {
      for (const name of names) {
        for (const [kind, suffix] of [
          ['Deployment', 'service'],
          ['Service', 'service'],
          ['PodDisruptionBudget', 'service'],
          ['Job', 'init'],
        ] as const) {
          t.ok(find(overlay, kind, `${name}-${suffix}`), `${overlay}: ${kind} ${name}-${suffix}`)
        }
      }
      for (const [kind, name] of [
        ['Deployment', 'operator'],
        ['Job', 'migrate'],
        ['CronJob', 'backup'],
      ] as const)
        t.ok(find(overlay, kind, name))
    }
    for (const { overlay, object } of everywhere)
      t.equal(object.metadata.namespace, overlay === 'production' ? 'hrms' : 'hrms-development', title(object, overlay))
  })

  t.test('selectors select the pods of one service and no Job', async t => {
    for (const overlay of overlays) {
      for (const name of names) {
        const wanted = { 'app.kubernetes.io/component': 'service', 'app.kubernetes.io/name': name }
        const deployment = find(overlay, 'Deployment', `${name}-service`)
        t.same(deployment.spec.selector.matchLabels, wanted)
        t.same(find(overlay, 'Service', `${name}-service`).spec.selector, wanted)
        t.same(find(overlay, 'PodDisruptionBudget', `${name}-service`).spec.selector.matchLabels, wanted)
        for (const { labelSelector } of podOf(deployment)?.spec.topologySpreadConstraints ?? [])
          t.same(labelSelector.matchLabels, wanted)
        t.equal(podOf(deployment)?.spec.topologySpreadConstraints?.length, 2, 'spread over nodes and zones')
      }
    }
  })

  t.test('every variable is known to the code, and every value is accepted', async t => {
    const known = new Set([
      ...Object.keys(environmentSchema.properties),
      ...secretVariables.map(name => `${name}_FILE`),
      'INIT_PASSWORD_FILE',
      'TMPDIR',
      ...names.flatMap(name =>
        ['DB_HOST', 'DB_PASSWORD_FILE', 'TENANT_ROLE_SECRET_FILE', 'NATS_URL_FILE', 'URL'].map(
          variable => `${name.toUpperCase()}_${variable}`,
        ),
      ),
    ])
    for (const { overlay, object } of everywhere) {
      const pod = podOf(object)
      if (!pod?.metadata.labels['app.kubernetes.io/part-of']) continue
      const [container] = pod.spec.containers as [Container]
      const environment = environmentOf(overlay, container)
      t.same(
        Object.keys(environment).filter(variable => !known.has(variable)),
        [],
        title(object, overlay),
      )
      // Files at the places of this machine; certificates are the cluster's.
      const there = Object.fromEntries(
        Object.entries(environment)
          .filter(([variable]) => variable !== 'DB_SSLROOTCERT' && variable !== 'DB_SSLMODE')
          .map(([variable, value]) => [variable, mountedFile(t, folder, secrets, pod, container, String(value))]),
      )
      t.doesNotThrow(() => readEnvironment(there), title(object, overlay))
    }
  })

  t.test('each file that a variable names is a key of a Secret that is mounted as a whole folder', async t => {
    for (const { overlay, object } of everywhere) {
      const pod = podOf(object)
      for (const container of pod?.spec.containers ?? []) {
        for (const { subPath, readOnly, mountPath } of container.volumeMounts ?? []) {
          t.equal(subPath, undefined, 'a file mounted by subPath is never renewed')
          if (mountPath.startsWith('/run/')) t.equal(readOnly, true, `${title(object, overlay)} ${mountPath}`)
        }
        for (const [variable, value] of Object.entries(environmentOf(overlay, container))) {
          const text = String(value)
          if (/PASSWORD|TOKEN|SECRET|NATS_URL/.test(variable)) t.match(variable, /_FILE$/, title(object, overlay))
          t.notMatch(text, /:\/\/[^/]*@/, `${variable} holds no password`)
          if (text.startsWith('/run/secrets/'))
            t.ok(secretOf(pod as PodTemplate, container, secrets, text), `${title(object, overlay)}: ${text}`)
        }
      }
    }
  })

  t.test('the secrets are of the shape the objects want, and no program has one among its arguments', async t => {
    for (const { metadata, type, data } of secrets) {
      for (const [key, value] of Object.entries(data ?? {})) {
        const text = Buffer.from(value, 'base64').toString()
        t.ok(text, `${metadata.name} ${key}`)
        if (key !== 'nats.conf') t.notMatch(text, /\s/, `${metadata.name} ${key} is one line`)
      }
      if (metadata.name.endsWith('-superuser')) t.equal(type, 'kubernetes.io/basic-auth')
    }
    const again = execFileSync('sh', [join(folder, where, 'secrets.sh')], { encoding: 'utf8' })
    t.same(
      parseAllDocuments(again).map(document => document.toJS()),
      secrets,
      'a second call prints the same',
    )
    const trace = spawnSync('sh', ['-x', join(folder, where, 'secrets.sh')], { encoding: 'utf8' }).stderr
    t.match(trace, /head -n 1 secrets\/identity_db_password\.txt/)
    const [password = ''] = readFileSync(join(folder, 'secrets/identity_db_password.txt'), 'utf8').split('\n')
    t.notMatch(trace, new RegExp(password))
  })

  t.test('hosts are objects of the overlay, or of the page', async t => {
    for (const overlay of overlays) {
      const services = rendered[overlay].filter(({ kind }) => kind === 'Service').map(({ metadata }) => metadata.name)
      const elsewhere = overlay === 'production' ? [...names.map(name => `${name}-db-rw`), 'redis', 'nats'] : []
      for (const object of rendered[overlay]) {
        for (const [variable, value] of Object.entries(
          podOf(object)?.spec.containers.map(container => environmentOf(overlay, container))[0] ?? {},
        )) {
          const host = variable.endsWith('_HOST')
            ? String(value)
            : variable.endsWith('_URL')
              ? new URL(String(value)).hostname
              : null
          if (host) t.ok([...services, ...elsewhere].includes(host), `${title(object, overlay)}: ${variable}=${host}`)
        }
      }
    }
    const cluster = documented.find(({ kind }) => kind === 'Cluster')
    t.match(cluster, { metadata: { name: 'identity-db' } })
  })

  t.test('the console reaches every service, with the token that they have', async t => {
    const tokenOf = (name: string) =>
      secrets.find(({ metadata }) => metadata.name === `${name}-secrets`)?.data?.operator_token
    for (const overlay of overlays) {
      for (const name of names) {
        const { containers } = (podOf(find(overlay, 'Deployment', `${name}-service`)) as PodTemplate).spec
        const environment = environmentOf(overlay, containers[0] as Container)
        t.equal(environment.OPERATOR_TOKEN_FILE, '/run/secrets/service/operator_token', `${overlay}: ${name}`)
        if (name !== 'identity') continue
        for (const one of String(environment.CONSOLE_SERVICES).split(',')) {
          const [service, url = ''] = one.split('=')
          t.equal(url, `http://${service}-service`)
          t.ok(find(overlay, 'Service', new URL(url).hostname))
        }
      }
    }
    t.equal(new Set(names.map(tokenOf)).size, 1)
    t.match(Buffer.from(tokenOf('core') ?? '', 'base64').toString(), /^administer:[0-9a-f]{48}$/)
  })

  t.test('probes ask what they mean, and outlast a start and an end', async t => {
    for (const overlay of overlays) {
      for (const name of names) {
        const pod = podOf(find(overlay, 'Deployment', `${name}-service`)) as PodTemplate
        const [container] = pod.spec.containers as [Container]
        const { startupProbe, livenessProbe, readinessProbe, ports } = container
        t.equal(startupProbe?.httpGet?.path, '/api/health/live')
        t.equal(livenessProbe?.httpGet?.path, '/api/health/live')
        t.equal(readinessProbe?.httpGet?.path, '/api/health/ready')
        const environment = environmentOf(overlay, container)
        t.same(ports, [{ name: 'http', containerPort: Number(environment.PORT) }])
        for (const probe of [startupProbe, livenessProbe, readinessProbe]) t.equal(probe?.httpGet?.port, 'http')
        // At the start a service waits up to 60 s for its database.
        t.ok((startupProbe?.periodSeconds ?? 0) * (startupProbe?.failureThreshold ?? 0) > 60)
        t.ok((pod.spec.terminationGracePeriodSeconds ?? 0) * 1000 > CLOSE_DEADLINE_MS)
        const notice = Number(environment.SHUTDOWN_NOTICE) * 1000
        t.ok(notice > 0 && notice < CUT_AFTER_MS, 'requests have time after the notice')
      }
    }
  })

  t.test('the connection law holds with the pod that a rollout adds', async t => {
    const RESERVED = 3
    const BESIDE = 14
    t.match(readFileSync('docs/connection-budget.md', 'utf8'), `(budget + ${BESIDE}) × replicas`)
    for (const overlay of overlays) {
      for (const name of names) {
        const { spec } = find(overlay, 'Deployment', `${name}-service`)
        const environment = environmentOf(overlay, spec.template.spec.containers[0])
        const pods = spec.replicas + spec.strategy.rollingUpdate.maxSurge
        t.equal(spec.strategy.rollingUpdate.maxUnavailable, 0)
        t.equal(Number(environment.SERVICE_REPLICAS), pods, `${overlay}: ${name}`)
        const budget = Number(
          environment.DISTRIBUTED_MAX_CONNECTIONS ?? readEnvironment({}).DISTRIBUTED_MAX_CONNECTIONS,
        )
        const allowed =
          overlay === 'production'
            ? documented.find(({ kind }) => kind === 'Cluster')?.spec.postgresql.parameters.max_connections
            : /max_connections=(\d+)/.exec(
                find(overlay, 'StatefulSet', `${name}-db`).spec.template.spec.containers[0].args.join(' '),
              )?.[1]
        t.ok((budget + BESIDE) * pods <= Number(allowed) - RESERVED, `${overlay}: ${name} of ${allowed}`)
      }
    }
  })

  t.test('no container has more rights than it needs', async t => {
    for (const { overlay, object } of everywhere) {
      const pod = podOf(object)
      if (!pod) continue
      t.match(
        pod.spec,
        {
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
        },
        title(object, overlay),
      )
      for (const { securityContext, resources } of pod.spec.containers) {
        t.same(
          securityContext,
          { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
          title(object, overlay),
        )
        t.ok(resources?.limits?.memory, `${title(object, overlay)} has a limit of memory`)
      }
    }
    const owners = everywhere.filter(({ object }) =>
      podOf(object)?.spec.volumes?.some(({ secret }) => secret?.secretName.endsWith('-superuser')),
    )
    t.same(
      [...new Set(owners.map(({ object }) => object.metadata.name))].sort(),
      ['core-db', 'core-init', 'employee-db', 'employee-init', 'identity-db', 'identity-init'],
      'a superuser’s password reaches its instance and its init alone',
    )
  })

  t.test('the network has the paths of the architecture and no other', async t => {
    const policies = rendered.development.filter(({ kind }) => kind === 'NetworkPolicy') as unknown as NetworkPolicy[]
    const pods: Pod[] = rendered.development.flatMap(object => {
      const pod = podOf(object)
      if (!pod) return []
      const ports = pod.spec.containers.flatMap(({ ports = [] }) => ports)
      return [{ name: object.metadata.name, labels: pod.metadata.labels, ports }]
    })
    const outside: Pod[] = ['ingress-nginx', 'monitoring', 'kube-system', 'default'].map(namespace => ({
      name: namespace,
      namespace,
      labels: namespace === 'kube-system' ? { 'k8s-app': 'kube-dns' } : {},
      ports: namespace === 'kube-system' ? [{ name: 'dns', containerPort: 53 }] : [],
    }))
    const operators = ['operator', 'migrate', 'backup']
    const services = names.map(name => `${name}-service`)
    const expected = [
      ...names.flatMap(name => [`${name}-service`, `${name}-init`].map(from => `${from} -> ${name}-db:5432`)),
      ...services.flatMap(from => [`${from} -> nats:4222`, `${from} -> redis:6379`]),
      ...['employee-service', 'core-service'].flatMap(other => [
        `${other} -> identity-service:8080`,
        // The console.
        `identity-service -> ${other}:8080`,
      ]),
      ...operators.flatMap(from => [
        ...services.map(to => `${from} -> ${to}:8080`),
        ...names.map(name => `${from} -> ${name}-db:5432`),
        `${from} -> nats:4222`,
        `${from} -> redis:6379`,
      ]),
      ...['ingress-nginx', 'monitoring'].flatMap(from => services.map(to => `${from} -> ${to}:8080`)),
      ...pods.map(({ name }) => `${name} -> kube-system:53`),
    ]
    t.same(allowedPaths(policies, pods, outside), expected.sort())
  })

  t.test('Prometheus scrapes the services with their token, by the rules of deploy/alerts.yml', async t => {
    const { selector, podMetricsEndpoints } = find('production', 'PodMonitor', 'services').spec
    const { labels } = (podOf(find('production', 'Deployment', 'core-service')) as PodTemplate).metadata
    t.match(labels, selector.matchLabels)
    const [{ path, port, authorization }] = podMetricsEndpoints
    t.same([path, port], ['/metrics', 'http'])
    const { name, key } = authorization.credentials
    t.ok(secrets.find(({ metadata }) => metadata.name === name)?.data?.[key])
    const rule = find('production', 'PrometheusRule', 'fastify-distributed-tenant').spec
    t.same(rule, parse(readFileSync('deploy/alerts.yml', 'utf8')))
  })

  t.test('the commands are the image’s own', async t => {
    const dockerfile = readFileSync('deploy/Dockerfile', 'utf8')
    const helps = new Map<string, string>()
    const helpOf = (name: string): string => {
      const help = helps.get(name) ?? execFileSync(process.execPath, ['dist/cli/main.js', name, '--help']).toString()
      helps.set(name, help)
      return help
    }
    t.match(dockerfile, 'WORKDIR /app')
    for (const { overlay, object } of everywhere) {
      for (const { image, command } of podOf(object)?.spec.containers ?? []) {
        if (!/fastify-distributed-tenant:0\.1$/.test(image) || !command) continue
        const text = command.join(' ')
        if (text === 'sleep infinity') continue
        t.match(text, /node (\/app\/)?dist\/cli\/main\.js (init|migrate|backup)\b/, title(object, overlay))
        const [, ...args] = /main\.js (.*)$/.exec(text) as RegExpExecArray
        const words = (args[0] ?? '').split(' ').filter(word => /^(init|migrate|backup|--[\w-]+)$/.test(word))
        for (const option of words.slice(1)) t.match(helpOf(words[0] ?? ''), option, text)
      }
    }
  })
})

/** The Secret that holds the file `path` of a container. */
function secretOf(
  pod: PodTemplate,
  { volumeMounts = [] }: Container,
  secrets: Kubernetes[],
  path: string,
): string | undefined {
  const mount = volumeMounts.find(({ mountPath }) => path.startsWith(`${mountPath}/`))
  const volume = pod.spec.volumes?.find(({ name }) => name === mount?.name)?.secret
  const key = path.slice((mount?.mountPath.length ?? 0) + 1)
  return secrets.find(({ metadata }) => metadata.name === volume?.secretName)?.data?.[key]
}

/** A value as it is, or the place of a copy of the mounted file. */
function mountedFile(
  t: Test,
  folder: string,
  secrets: Kubernetes[],
  pod: PodTemplate,
  container: Container,
  value: string,
): string {
  if (!value.startsWith('/run/secrets/')) return value
  const content = secretOf(pod, container, secrets, value)
  if (!content) t.fail(`no Secret holds ${value}`)
  const path = join(folder, value)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, Buffer.from(content ?? '', 'base64'))
  return path
}
