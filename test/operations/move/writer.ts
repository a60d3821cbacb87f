// A service as a process of its own, which writes to the tenant `acme` and prints each write that was acknowledged: to be killed.
import Fastify from 'fastify'
import { distributedTenant } from '../../../plugins/distributed-tenant/index.js'
import { notes, roleSecret } from '../../rig.js'

const { database, instances } = JSON.parse(process.env.WRITER ?? '{}')
const app = Fastify()
await app.register(distributedTenant, {
  ...{ service: 'employee', database, instances, nats: null, redis: null, identity: null, trustedGateway: true },
  ...{ roleSecret, spares: 0, acquireTimeout: 20_000, migrations: { tenant: notes } },
})
await app.ready()
for (let n = 1; ; n++) {
  await app.tenants.run('acme', ({ sql }) => sql`insert into plain (body) values (${`child ${n}`})`)
  process.stdout.write(`accepted ${n}\n`)
}
