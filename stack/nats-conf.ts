// Prints deploy/nats.conf: the accounts of events/permissions.ts in the server's own format, passwords from its environment; with
// --cluster deploy/nats-cluster.conf, the same for a server of a cluster.
// After a change of the rules: `npm run build && node dist/stack/nats-conf.js > deploy/nats.conf`, and
// `node dist/stack/nats-conf.js --cluster > deploy/nats-cluster.conf`; a test holds them equal.
// With services of your own: `distributed-tenant init --nats-conf <file>`, or `node dist/stack/nats-conf.js identity employee core billing`.
import { natsClusterConf, natsConf } from '../operations/init/nats-conf.js'
import { serviceNames } from './names.js'

const cluster = process.argv.includes('--cluster')
const services = process.argv.slice(2).filter(argument => argument !== '--cluster')
process.stdout.write((cluster ? natsClusterConf : natsConf)(services.length > 0 ? services : serviceNames))
