// The command `nats-remove`: removes a NATS server that is gone for good from its cluster, so that a stream with its only copy there
// is made again.
import { Command } from 'commander'
import { UsageError } from '../../operations/outcome.js'
import { readAuthorities } from '../../plugins/distributed-tenant/config/ca-certificates.js'
import { readEnvironment, readSecret } from '../../plugins/distributed-tenant/config/environment.js'
import { confirm } from '../confirm.js'
import { contextOf } from '../context.js'

const about = `
NATS does not say whether a server will come back, and removes none by itself. A stream of one copy is on one server: removed, NATS
makes that stream again on another one, empty, and identity and the services publish into it what they have kept. Streams of other
applications with their only copy there are emptied as well. A server that answers within 10 s is refused.
A cluster whose other servers were started anew since then knows its peer id alone, which the list of --dry-run has.
NATS_SYSTEM_URL has the other servers with a user of the system account (or NATS_SYSTEM_URL_FILE), for this command alone. Start another in
its place under a new name, with an empty folder: docs/clusters.md.`

export function natsRemoveCommand(): Command {
  return new Command('nats-remove')
    .description('remove a NATS server that is gone for good from its cluster')
    .argument('<server>', 'its server_name, as `doctor` and the log name it, or its peer id')
    .option('--yes', 'do not ask')
    .option('--dry-run', 'show what would be done and do nothing')
    .addHelpText('after', about)
    .action(async (server: string, options: { yes?: boolean; dryRun?: boolean }, command: Command) => {
      const { targets, output } = await contextOf(command)
      const url = readSecret('NATS_SYSTEM_URL')
      if (url === undefined) {
        throw new UsageError(
          'NATS_SYSTEM_URL is missing: the servers of the cluster with a user of its system account, like nats://system:…@nats-2:4222.',
        )
      }
      const ca = readAuthorities('NATS_CA_FILE', readEnvironment().NATS_CA_FILE, url)
      const { awaitStream, checkRemoval, remove, STREAM, withNats } = await import(
        '../../operations/nats-cluster/remove-server.js'
      )
      await withNats({ url, ca, name: 'system' }, async connection => {
        const { members, found } = await checkRemoval(connection, server)
        output.table(
          ['server', 'peer id', 'state'],
          members.map(({ name, peer, leads, answers }) => [
            name,
            peer,
            leads ? 'leads the cluster' : answers ? 'answers' : 'does not answer',
          ]),
        )
        if (options.dryRun) {
          output.line(`${server} would be removed; each stream with its only copy there would be made again, empty.`)
          output.document({ server, members, removed: false, stream: null })
          return
        }
        await confirm(
          `This removes ${server} for good, and empties each stream with its only copy there, those of other applications too`,
          server,
          options.yes,
        )
        await remove(connection, found)
        output.line(`${server} is removed.`)
        const service = targets.services.find(({ nats }) => nats !== null)
        if (!service?.nats) {
          output.line('No service has a NATS_URL here: look at the stream with `doctor`.')
          output.document({ server, members, removed: true, stream: null })
          return
        }
        const { nats, name } = service
        const at = { url: nats, ca: readAuthorities('NATS_CA_FILE', readEnvironment().NATS_CA_FILE, nats), name }
        const stream = await withNats(at, awaitStream)
        if (!stream) throw new Error(`There is no stream ${STREAM} yet: identity makes it. Is it running?`)
        output.line(
          `The stream ${STREAM} is on ${stream.leader ?? 'no server yet'} with ${stream.messages} messages; identity and the services publish what they have kept.`,
        )
        output.document({ server, members, removed: true, stream })
      })
    })
}
