#!/usr/bin/env bash
# nats-server 2.9.10 (and 2.15.1): a message that was purged cannot be published again, and the publish succeeds
#
# Version:   nats-server 2.9.10 (Debian 12; 2.15.1 is the same), @nats-io/jetstream 3.4.0, @nats-io/transport-node 3.4.0 (npm)
# Guess:     `Nats-Msg-Id` drops a repeat of a message that the stream holds. After a purge, or after the message was deleted, it is stored.
# Seen:      within the duplicate window the publish is acknowledged with the sequence of the message that is gone and `duplicate: true`. The stream
#            stays empty.
# Matters:   who publishes again what a purge removed, with the ids of the first time, has every acknowledgment and no message. The package's relay
#            gives such events new ids (plugins/distributed-tenant/provisioning/stream-loss.ts).
set -euo pipefail
folder=$(mktemp -d); server=0
trap 'if [ "$server" -ne 0 ]; then kill "$server" || true; wait "$server" || true; fi 2> /dev/null; rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
apt-get download nats-server=2.9.10-1+b3 > /dev/null 2>&1
dpkg-deb -x nats-server_*.deb root
npm init -y > /dev/null
npm install --silent --no-audit --no-fund @nats-io/jetstream@3.4.0 @nats-io/transport-node@3.4.0
root/usr/sbin/nats-server -a 127.0.0.1 -p -1 -js -sd "$folder/store" --ports_file_dir "$folder" > server.log 2>&1 &
server=$!
cat > look.mjs <<'JS'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'

let file
for (let waits = 0; !file && waits < 600; waits++) {
  file = readdirSync('.').find(name => name.endsWith('.ports'))
  if (!file) await sleep(100)
}
const connection = await connect({ servers: JSON.parse(readFileSync(file, 'utf8')).nats[0] })
const { streams } = await jetstreamManager(connection)
const client = jetstream(connection)
await streams.add({ name: 'JOBS', subjects: ['jobs'] })
const publish = async () => {
  const { seq, duplicate } = await client.publish('jobs', 'body', { msgID: 'job-1' })
  return `${seq} duplicate ${duplicate}`
}
const first = await publish()
await streams.purge('JOBS')
const again = await publish()
const { state } = await streams.info('JOBS')
console.log(`first: ${first}; after the purge: ${again}; messages: ${state.messages}`)
await connection.close()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'first: 1 duplicate false; after the purge: 1 duplicate true; messages: 0' ]
