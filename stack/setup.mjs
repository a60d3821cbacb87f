// `npm run setup`: makes a fresh machine ready for npm start and npm test. Runs before node_modules exists, so: plain
// JavaScript, node's own modules only. Prints each step, is safe to repeat, and ends with the cure when it cannot go on.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, chmodSync, constants, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const needed = { initdb: 'postgresql', 'nats-server': 'nats-server', 'redis-server': 'redis-server' }
// For tests: a pooler to stand behind, and certificates that are expired or another server's.
// Chromium: the console's tests and screenshots.
const useful = { pgbouncer: 'pgbouncer', openssl: 'openssl', chromium: 'chromium' }
const given = ['IDENTITY_DB_HOST', 'EMPLOYEE_DB_HOST', 'CORE_DB_HOST', 'NATS_URL', 'REDIS_URL']
const policyFile = '/usr/sbin/policy-rc.d'

checkNode()
provideServers()
installPackages()
run('Building the test runner with our set of plugins (see .taprc)', 'npx', ['tap', 'build'])
run('Compiling', 'npm', ['run', 'build', '--silent'])
say('Ready: `npm start` brings everything up, `npm test` runs the tests.')

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  stop(`Node ${process.versions.node} is too old: install Node 20.19 or later, then run \`npm run setup\` again.`)
}

function provideServers() {
  if (given.every(name => process.env[name])) {
    say(`Servers: given by the environment (${given.join(', ')}); none is installed.`)
    return
  }
  const missing = Object.keys(needed).filter(name => !find(name))
  const missed = Object.keys(useful).filter(name => !find(name))
  if (missing.length === 0 && missed.length === 0)
    return say('Servers: PostgreSQL, nats-server, redis-server are here.')

  const packages = Object.values({ ...needed, ...useful }).join(' ')
  const canInstall = isRoot() && find('apt-get')
  if (!canInstall && missing.length === 0) {
    return say(
      `Servers: PostgreSQL, nats-server, redis-server are here; ${missed.join(', ')}, which some tests need, not: those will fail or be skipped.`,
    )
  }
  if (!canInstall) {
    const how = find('apt-get')
      ? `run as root: apt-get update && apt-get install -y --no-install-recommends ${packages}`
      : 'install PostgreSQL, nats-server and redis-server with the package manager of this system'
    stop(
      `These servers are not on this machine: ${missing.join(', ')}. To get them, ${how}; ` +
        `or use \`docker compose up\`; or set ${given.join(', ')} to servers that run elsewhere.`,
    )
  }
  install([...missing, ...missed].map(name => ({ ...needed, ...useful })[name]))
  const still = Object.keys(needed).filter(name => !find(name))
  if (still.length > 0) stop(`apt-get has ended, but ${still.join(', ')} is still not found. Install it by hand.`)
}

function install(packages) {
  say(`Servers: installing ${packages.join(', ')} with apt-get.`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  // Debian starts a service it installs. The stack's own run on ports and folders of their own, so this file prevents that; a
  // file that is there already is the owner's decision and stays. Services that run now are not touched.
  const ownPolicy = !existsSync(policyFile)
  if (ownPolicy) {
    writeFileSync(policyFile, '#!/bin/sh\nexit 101\n')
    chmodSync(policyFile, 0o755)
  }
  try {
    attempt('apt-get', ['update', '-q'], env)
    const all = ['install', '-y', '-q', '--no-install-recommends']
    if (attempt('apt-get', [...all, ...packages], env) === 0) return keepFromBooting(packages)
    const required = packages.filter(name => Object.values(needed).includes(name))
    if (required.length === 0)
      return say(`${packages.join(', ')} could not be installed: the tests that need it will fail or be skipped.`)
    if (required.length < packages.length && attempt('apt-get', [...all, ...required], env) === 0) {
      return keepFromBooting(required)
    }
  } finally {
    if (ownPolicy) rmSync(policyFile, { force: true })
  }
  stop(
    `apt-get could not install ${packages.join(', ')}: its reason stands above. ` +
      'Correct that and run `npm run setup` again, or use `docker compose up`.',
  )
}

/** The same for the next boot: a package's name is its service's, and these were not here a moment ago. */
function keepFromBooting(packages) {
  if (find('systemctl')) attempt('systemctl', ['--quiet', 'disable', ...packages], process.env)
}

/** Minutes on a slow line: skipped while the packages are those of this lock file, for this Node and system. */
function installPackages() {
  const lock = readFileSync(join(root, 'package-lock.json'))
  const wanted = createHash('sha256')
    .update(lock)
    .update(`${process.version} ${process.platform} ${process.arch}`)
    .digest('hex')
  // `npm ci` begins by removing node_modules, and with it this file: one that is there is of an installation that was finished.
  const marker = join(root, 'node_modules', '.setup')
  if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted) {
    return say('Packages: those of package-lock.json are here. To install them anew: npm ci')
  }
  run('Installing the packages of package-lock.json', 'npm', ['ci'])
  writeFileSync(marker, wanted)
}

function run(what, command, args) {
  say(`${what}: ${command} ${args.join(' ')}`)
  const code = attempt(command, args, process.env)
  if (code !== 0) stop(`\`${command} ${args.join(' ')}\` failed (${code}): correct the error above and run it again.`)
}

function attempt(command, args, env) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env })
  return error ? error.message : status
}

// The variable lets a test on a root machine see what others see.
function isRoot() {
  return process.getuid?.() === 0 && !process.env.SETUP_WITHOUT_ROOT
}

function find(name) {
  // SERVER_FOLDERS as in servers/find.ts.
  const beyondPath = process.env.SERVER_FOLDERS ?? debianFolders()
  const folders = `${process.env.PATH}${delimiter}${beyondPath}`.split(delimiter)
  return folders.some(folder => {
    if (folder === '') return false
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function debianFolders() {
  const postgres = '/usr/lib/postgresql'
  const versions = existsSync(postgres) ? readdirSync(postgres) : []
  return ['/usr/sbin', '/usr/bin', ...versions.map(version => join(postgres, version, 'bin'))].join(delimiter)
}

function say(line) {
  process.stdout.write(`${line}\n`)
}

function stop(line) {
  process.stderr.write(`${line}\n`)
  process.exit(1)
}
