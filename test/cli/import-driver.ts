// A program that goes on with one run of an import, or takes it back, and does nothing else: what the command does once it
// has its plan, small enough to be killed at every step. Arguments: the file of --config, services, the source's URL,
// `resume` or `rollback`, the run.
import { tmpdir } from 'node:os'
import { identityApi } from '../../cli/identity.js'
import { programsOf } from '../../cli/import-plan.js'
import { servicesOf } from '../../cli/import-run.js'
import { registrarOf } from '../../cli/registrar.js'
import { withServices } from '../../cli/services.js'
import { sourceAddress } from '../../cli/source-address.js'
import { readTargets } from '../../cli/targets.js'
import { rollBackImport, runImport } from '../../plugins/distributed-tenant/transfer/import.js'
import { createInstance } from '../../plugins/distributed-tenant/transfer/instance.js'

const [config, names = '', url, how, id = ''] = process.argv.slice(2)
const all = readTargets({ config })
const targets = { ...all, services: all.services.filter(({ name }) => names.split(',').includes(name)) }
await withServices(targets, async services => {
  const source = createInstance(sourceAddress(url))
  const programs = await programsOf({})
  const work = how === 'rollback' ? rollBackImport : runImport
  const outcomes = await work({
    id,
    registrar: registrarOf(identityApi(targets), id),
    parallel: 2,
    services: servicesOf(services, id, { source, programs, folder: tmpdir(), jobs: 2 }),
  })
  process.stdout.write(JSON.stringify(outcomes))
})
