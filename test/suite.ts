// Runs the test files it is given, two at a time and the longest first, so that at the end no lane waits for the other. tap
// judges what they say. They run as by `node <file>`, without the loaders for mocks and coverage that `tap run` puts into
// each: we use neither, and every module of ours and of others goes through them. Output and exit code are tap's.
import t from 'tap'

/** From the longest on, by what they take on two cores; a file that is not here comes after these, by its name. */
const longest = [
  'faults/crash-points',
  'cli/import-hybrid',
  'cli/commands',
  'stack/main',
  'bench/leak-hunt',
  'services/identity/killed',
  'bench/shutdown-hunt',
  'services/lifecycle/feed',
  'attacks/secrets',
  'faults/nats-wiped',
  'plugins/distributed-tenant/provisioning/retry',
  'walk',
  'plugins/distributed-tenant/provisioning/stream-loss',
  'services/production',
  'cli/migrate-kills',
  'events/recovery',
  'plugins/distributed-tenant/connections/budget',
]

/** Seconds a file may take before it is ended: a guard of the runner, which promises nothing. */
const GUARD_S = 900

const place = (file: string): number => {
  const at = longest.findIndex(name => file.endsWith(`test/${name}.test.js`))
  return at < 0 ? longest.length : at
}

const files = process.argv.slice(2).sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1))

t.setTimeout(0)
t.jobs = 2
t.plan(files.length)
for (const file of files) {
  // tap's spawn puts its loader into NODE_OPTIONS, so `env` takes it out again.
  const command = ['-u', 'NODE_OPTIONS', process.execPath, '--enable-source-maps', file]
  const env = { ...process.env, TAP_TIMEOUT: String(GUARD_S) }
  void t.spawn('env', command, { buffered: true, timeout: GUARD_S * 1000, env }, file)
}
