#!/usr/bin/env bash
# fastify 5.12.8: a package that it depends on names Node 22 and later, while Fastify 5 supports Node 20
#
# Version:   fastify 5.12.8 (npm), with light-my-request 6.8.1 and cookie 2.0.2 as npm resolves them
# Guess:     every dependency of Fastify 5 names Node 20, the oldest one that Fastify 5 supports.
# Seen:      cookie 2.0.2, which light-my-request depends on, has engines.node >=22. On Node 20 npm warns EBADENGINE, and with
#            `engine-strict=true` it installs nothing.
# Matters:   a service on Node 20 whose project sets engine-strict cannot install any Fastify plugin, ours included. docs/troubleshooting.md
#            names the cure: an override of cookie.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --package-lock-only --no-audit --no-fund fastify@5.12.8 2> /dev/null
node -e "
  const { packages } = require('./package-lock.json')
  const found = Object.entries(packages)
    .filter(([path, { engines }]) => path && /^>= ?2[1-9]/.test(engines?.node ?? ''))
    .map(([path, { version, engines }]) => path + ' ' + version + ' ' + engines.node)
  console.log(found)
  const same = found.length === 1 && /cookie 2\.\d+\.\d+ >=22/.test(found[0])
  console.log(same ? 'as described' : 'CHANGED')
  process.exit(same ? 0 : 1)
"
