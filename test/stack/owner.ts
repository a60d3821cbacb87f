// Starts servers for a test that ends this process with SIGKILL: prints their ids, then waits.
import { startServers } from '../../stack/servers/start.js'

const { postgres, nats, redis, dir } = await startServers({ services: ['identity', 'core'] })
const pids = [...Object.values(postgres), nats, redis].map(server => server.pid)
process.stdout.write(`${JSON.stringify({ pids, dir })}\n`)
setInterval(() => {}, 60_000)
