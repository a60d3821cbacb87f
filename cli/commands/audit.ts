// The command `audit`: verifies the audit log, exports it as JSON lines, and prints the heads of closed months, to
// be kept where the database's owner cannot reach.

import { once } from 'node:events'
import { Command } from 'commander'
import { NoText, readTextFile } from '../../files/text-file.js'
import { readHeads, readRows, type Verdict, verify } from '../../operations/audit/verify-log.js'
import { fromEach, type OpenService, withServices } from '../../operations/open-services.js'
import { Drift, UsageError } from '../../operations/outcome.js'
import { isGenuine, type Seal, sign } from '../../plugins/audit/month-seals.js'
import { sealMonths } from '../../plugins/audit/store.js'
import { contextOf } from '../context.js'

export function auditCommand(): Command {
  const audit = new Command('audit').description('the audit log: verify, export, seal')
  audit
    .command('verify')
    .description('check for rows that were changed, removed or inserted; name the first of each chain')
    .option('--heads <file>', 'seals that you have kept elsewhere, one JSON document per line')
    .option('--months <n>', 'how many months beside the current one must be present (AUDIT_RETENTION_MONTHS)', months)
    .addHelpText('after', '\nExit code 0: it is intact. 3: it was changed.')
    .action(async (options: { heads?: string; months?: number }, command: Command) => {
      const { targets, output } = await contextOf(command)
      const seals = options.heads ? await readSeals(options.heads) : []
      await withServices(targets, async services => {
        const verdicts = await fromEach(services, ({ name, tenancy }) =>
          verify(
            tenancy.fleet.central,
            seals.filter(({ service }) => service === name).flatMap(({ heads }) => heads),
            options.months,
          ),
        )
        for (const [service, verdict] of verdicts) print(service, verdict, output.line)
        output.document({ services: Object.fromEntries(verdicts) })
        const broken = verdicts.filter(([, { flaws }]) => flaws.length > 0)
        if (broken.length > 0)
          throw new Drift(`The audit log of ${broken.map(([name]) => name).join(', ')} was changed.`)
      })
    })
  audit
    .command('export')
    .description('write every row as a line of JSON, ordered by chain')
    .action(async (_options: object, command: Command) => {
      const { targets } = await contextOf(command)
      await withServices(targets, async services => {
        for (const service of services) await exportRows(service)
      })
    })
  audit
    .command('seal')
    .description('print the last row of every chain for each closed month, signed with AUDIT_SECRET')
    .action(async (_options: object, command: Command) => {
      const { targets } = await contextOf(command)
      const secret = await auditSecret()
      await withServices(targets, async services => {
        for (const { name, tenancy } of services) {
          const { central } = tenancy.fleet
          await sealMonths(central, new Date())
          process.stdout.write(`${JSON.stringify(sign(name, await readHeads(central), secret))}\n`)
        }
      })
    })
  return audit
}

function print(service: string, { rows, chains, open, flaws }: Verdict, line: (text: string) => void): void {
  line(`${service}: ${rows} rows in ${chains} chains, ${open.length} of them open, ${flaws.length} flaws`)
  for (const { chain, seq, what } of flaws) line(`  ${chain}, row ${seq}: ${what}`)
}

function months(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new UsageError(`--months is \`${text}\`: give a number of months.`)
  return Number(text)
}

async function auditSecret(): Promise<string | undefined> {
  const { readEnvironment } = await import('../../plugins/distributed-tenant/config/environment.js')
  return readEnvironment().AUDIT_SECRET
}

/** @throws UsageError when a seal differs from the signed one */
async function readSeals(path: string): Promise<Seal[]> {
  const secret = await auditSecret()
  let seals: Seal[]
  try {
    seals = readTextFile(path)
      .split('\n')
      .filter(text => text.trim() !== '')
      .map(text => JSON.parse(text) as Seal)
  } catch (error) {
    if (error instanceof NoText) throw new UsageError(`${path} ${error.message}.`)
    throw new UsageError(`${path} cannot be read as lines of JSON: check the path and the text.`, { cause: error })
  }
  for (const seal of seals) {
    if (secret && !isGenuine(seal, secret))
      throw new UsageError(`A seal in ${path} was not signed with this AUDIT_SECRET.`)
  }
  return seals
}

async function exportRows({ name, tenancy }: OpenService): Promise<void> {
  for await (const row of readRows(tenancy.fleet.central)) {
    const line = JSON.stringify({ service: name, ...row, detail: JSON.parse(row.detail) })
    if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain')
  }
}
