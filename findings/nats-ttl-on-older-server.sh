#!/usr/bin/env bash
# @nats-io/jetstream 3.4.0 on nats-server 2.9: a stream with allow_msg_ttl is made, and keeps every message
#
# Version:   @nats-io/jetstream 3.4.0, @nats-io/transport-node 3.x (npm), nats-server 2.9.10 (Debian 12)
# Guess:     the client refuses a setting that its server does not know, as it does `metadata` and `subject_transform` (both: "requires server 2.10.0").
# Seen:      `allow_msg_ttl: true` is accepted, the stream that is returned lacks it, and a message with `ttl: '1s'` is acknowledged and still
#            there after three seconds. Nothing reports that the setting had no effect.
# Matters:   messages that should have expired are delivered, and the stream grows. The package uses no TTL of messages; it compares the stream
#            that the server returns with the one it asked for (events/stream-settings.ts).
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
const streams = (await jetstreamManager(connection)).streams
const refused = await streams.add({ name: 'OTHER', subjects: ['other'], metadata: { a: 'b' } }).then(() => 'made', error => error.message)
const { config } = await streams.add({ name: 'JOBS', subjects: ['jobs'], allow_msg_ttl: true })
await jetstream(connection).publish('jobs', 'body', { ttl: '1s' })
await sleep(3_000)
const { state } = await streams.info('JOBS')
console.log(`server ${connection.info.version}; metadata: ${refused}; allow_msg_ttl returned: ${config.allow_msg_ttl}; messages after 3 s: ${state.messages}`)
await connection.close()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = "server 2.9.10; metadata: stream 'metadata' requires server 2.10.0; allow_msg_ttl returned: undefined; messages after 3 s: 1" ]
