#!/usr/bin/env bash
# fastify 5.8.3: it reports its version as 5.8.2, and refuses plugins that ask for 5.8.3
#
# Version:   fastify 5.8.3, fastify-plugin 6.0.1 (npm)
# Guess:     `app.version` is the version of the package, so that a plugin made with `fastify: '>=5.8.3'` is accepted by 5.8.3.
# Seen:      `app.version` is 5.8.2, and the plugin is refused with FST_ERR_PLUGIN_VERSION_MISMATCH; npm calls the peer dependency `^5.8.3`
#            fulfilled. 5.8.4 reports 5.8.4.
# Matters:   5.8.3 is the first release in which `request.host` is not taken from a client that is no trusted proxy, so a plugin has a reason to ask
#            for it. This one asks for 5.8.4.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund fastify@5.8.3 fastify-next@npm:fastify@5.8.4 fastify-plugin@6.0.1 2> /dev/null
cat > look.cjs <<'JS'
const fp = require('fastify-plugin')
async function look(name) {
  const app = require(name)()
  const plugin = fp(async () => {}, { name: 'asks', fastify: '>=5.8.3' })
  const code = await app.register(plugin).then(() => 'accepted', error => error.code)
  return { installed: require(`${name}/package.json`).version, reported: app.version, plugin: code }
}
async function main() {
  const [old, next] = [await look('fastify'), await look('fastify-next')]
  console.log(old, next)
  const same =
    old.reported === '5.8.2' && old.plugin === 'FST_ERR_PLUGIN_VERSION_MISMATCH' &&
    next.reported === '5.8.4' && next.plugin === 'accepted'
  console.log(same ? 'as described' : 'CHANGED')
  process.exit(same ? 0 : 1)
}
main()
JS
node look.cjs
