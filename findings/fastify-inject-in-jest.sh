#!/usr/bin/env bash
# jest 30.5.2 on Node 20 and 22: `inject` of fastify 5.12.8 fails, also in a CommonJS project
#
# Version:   jest 30.5.2, fastify 5.12.8 with light-my-request 6.8.1 and cookie 2.0.2 (npm), Node 20.20.2
# Guess:     `inject` works in Jest, as it did with every Fastify 5 whose dependencies are CommonJS.
# Seen:      "Must use import to load ES Module: …/cookie/dist/index.js": light-my-request requires cookie 2, which has ES modules alone. Node
#            20.19 and later load it; Jest has its own `require`, which does so from Node 24.9 on. With `"overrides": { "cookie": "^1.0.2" }` it works.
# Matters:   tests of a service with this plugin in Jest. docs/testing.md names the override.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund jest@30.5.2 fastify@5.12.8 2> /dev/null
cat > inject.test.js <<'JS'
const Fastify = require('fastify')
test('inject', async () => {
  const app = Fastify()
  app.get('/', async () => 'served')
  expect((await app.inject('/')).payload).toBe('served')
  await app.close()
})
JS
first=$(npx jest 2>&1) && as_is=passed || as_is=failed
grep -m 1 'Must use import' <<< "$first" || true
npm pkg set 'overrides.cookie=^1.0.2' && rm -rf node_modules package-lock.json
npm install --silent --no-audit --no-fund 2> /dev/null
npx jest > /dev/null 2>&1 && overridden=passed || overridden=failed
node=$(node -p 'const [major, minor] = process.versions.node.split("."); major > 24 || (major == 24 && minor >= 9) ? "new" : "old"')
echo "as it is: $as_is; with cookie 1: $overridden; Node: $node"
if [ "$overridden" = passed ] && { [ "$node" = new ] || { [ "$as_is" = failed ] && grep -q 'Must use import to load ES Module: .*cookie' <<< "$first"; }; }; then
  echo 'as described'
else
  echo CHANGED; exit 1
fi
