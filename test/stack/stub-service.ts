// Stands in for a service in tests of the stack: answers /api/health/ready and shows its environment's names. STUB
// sets its fault: `exit` ends at once with code 3, `deaf` never becomes ready, `stubborn` ends on SIGKILL alone.
import { createServer } from 'node:http'

if (process.env.STUB === 'exit') {
  process.stderr.write('the stub fails on request\n')
  process.exit(3)
}

const server = createServer((request, response) => {
  if (request.url === '/die') process.exit(7)
  const ready = request.url === '/api/health/ready' && process.env.STUB !== 'deaf'
  response.writeHead(ready ? 200 : 503).end(process.env.SERVICE_NAME)
})
server.listen(Number(process.env.PORT), '127.0.0.1')
if (process.env.STUB === 'deaf') process.stdout.write(`deaf: ${process.env.SERVICE_NAME}\n`)
process.on('SIGTERM', () => process.env.STUB !== 'stubborn' && process.exit(0))
