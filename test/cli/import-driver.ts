// A program that resumes one run of an import, or undoes it, and does nothing else: the work of the command after
// its plan, small enough to be killed at every step. Arguments: the file of --config, services, the source's URL,
// `resume` or `rollback`, the run.
import { tmpdir } from 'node:os'
import { sourceAddress } from '../../cli/source-address.js'
import { createInstance } from '../../operations/copying/external-instance.js'
import { identityApi } from '../../operations/identity-api.js'
import { registrarOf } from '../../operations/import/identity-registrar.js'
import { rollBackImport, runImport } from '../../operations/import/import.js'
import { programsOf } from '../../operations/import/options.js'
import { servicesOf } from '../../operations/import/run.js'
import { withServices } from '../../operations/open-services.js'
import { readTargets } from '../../operations/targets.js'

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
