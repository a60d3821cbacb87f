#!/usr/bin/env bash
# @nats-io/obj 3.4.0: two puts of one name at once leave chunks that no later put or delete removes
#
# Version:   @nats-io/obj 3.4.0, @nats-io/jetstream 3.4.0, @nats-io/transport-node 3.4.0 (npm), nats-server 2.9.10 (Debian 12)
# Guess:     the later put replaces the earlier one, with its chunks, as it does when they come one after the other.
# Seen:      the object is one of the two, and the stream holds the chunks of both: each put looks up what it replaces before it sends its own. A
#            third put replaces one of them, and after `delete` the stream still has the other's three chunks beside the mark of the deletion.
# Matters:   a bucket whose objects are written by several replicas grows by what no object names, until it is at its limit. Let one process write
#            a name, or put under a new name and then delete the old one.
set -euo pipefail
folder=$(mktemp -d); server=0
trap 'if [ "$server" -ne 0 ]; then kill "$server" || true; wait "$server" || true; fi 2> /dev/null; rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
apt-get download nats-server=2.9.10-1+b3 > /dev/null 2>&1
dpkg-deb -x nats-server_*.deb root
npm init -y > /dev/null
npm install --silent --no-audit --no-fund @nats-io/obj@3.4.0 @nats-io/jetstream@3.4.0 @nats-io/transport-node@3.4.0
root/usr/sbin/nats-server -a 127.0.0.1 -p -1 -js -sd "$folder/store" --ports_file_dir "$folder" > server.log 2>&1 &
server=$!
cat > look.mjs <<'JS'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import { Objm } from '@nats-io/obj'
import { connect } from '@nats-io/transport-node'

let file
for (let waits = 0; !file && waits < 600; waits++) {
  file = readdirSync('.').find(name => name.endsWith('.ports'))
  if (!file) await sleep(100)
}
const connection = await connect({ servers: JSON.parse(readFileSync(file, 'utf8')).nats[0] })
const { streams } = await jetstreamManager(connection)
const body = new Uint8Array(300_000)
for (const name of ['one after the other', 'at once']) {
  const bucket = name.replaceAll(' ', '-')
  const store = await new Objm(connection).create(bucket)
  const put = () => store.putBlob({ name: 'logo' }, body)
  if (name === 'at once') await Promise.all([put(), put()])
  else { await put(); await put() }
  const count = async () => (await streams.info(`OBJ_${bucket}`)).state.messages
  const seen = [`${await count()} messages, ${(await store.list()).length} object`]
  await put()
  seen.push(`after a third put ${await count()}`)
  await store.delete('logo')
  seen.push(`after delete ${await count()}, ${(await store.list()).length} object`)
  console.log(`${name}: ${seen.join('; ')}`)
}
await connection.close()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'one after the other: 4 messages, 1 object; after a third put 4; after delete 1, 0 object
at once: 7 messages, 1 object; after a third put 7; after delete 4, 0 object' ]
