#!/usr/bin/env bash
# @nats-io/jetstream 3.4.0 on nats-server 2.9: consumers.add changes a durable consumer that exists
#
# Version:   @nats-io/jetstream 3.4.0, @nats-io/transport-node 3.4.0 (npm), nats-server 2.9.10 (Debian 12)
# Guess:     `consumers.add` creates: with the name of a consumer that has other settings it fails ("consumer already exists"), as nats-server 2.15 answers.
# Seen:      the client sends its request with `action: create`, which nats-server learned in 2.10. A 2.9 server ignores it and takes the request as
#            an update: the deployed consumer has the new `max_deliver`, and both calls succeed.
# Matters:   a second service that is started with the name of the first one changes its deliveries without an error. The package reads a
#            consumer before it makes one (events/durable.ts).
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
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'

let file
for (let waits = 0; !file && waits < 600; waits++) {
  file = readdirSync('.').find(name => name.endsWith('.ports'))
  if (!file) await sleep(100)
}
const connection = await connect({ servers: JSON.parse(readFileSync(file, 'utf8')).nats[0] })
const { streams, consumers } = await jetstreamManager(connection)
await streams.add({ name: 'JOBS', subjects: ['jobs'] })
const settings = { durable_name: 'worker', ack_policy: 'explicit' }
await consumers.add('JOBS', { ...settings, max_deliver: 3 })
const second = await consumers.add('JOBS', { ...settings, max_deliver: 9 }).then(() => 'added', error => error.message)
const { config } = await consumers.info('JOBS', 'worker')
console.log(`server ${connection.info.version}; second add: ${second}; max_deliver: ${config.max_deliver}`)
await connection.close()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'server 2.9.10; second add: added; max_deliver: 9' ]
