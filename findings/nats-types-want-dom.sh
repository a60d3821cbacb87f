#!/usr/bin/env bash
# nats 2.29.3: its types compile only with the browser's library of types
#
# Version:   nats 2.29.3, @types/node 20.19.43 (22.20.7 and 24.19.4 are the same), typescript 5.9.3 (npm)
# Guess:     a client for Node compiles with the types of Node alone, `skipLibCheck: false` included.
# Seen:      two errors TS2749: its declarations use TextEncoder and TextDecoder as types, which @types/node declares as values alone. With `dom`
#            in `lib` they compile.
# Matters:   a library whose declarations import those of nats makes its users' builds fail. The package's own types name none of nats
#            (events/stream-settings.ts, held by test/package/package.test.ts).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund nats@2.29.3 @types/node@20.19.43 typescript@5.9.3
cat > main.ts <<'TS'
import { connect } from 'nats'
export const connection = connect({ servers: 'nats://127.0.0.1:4222' })
TS
compile() { npx tsc --noEmit --strict --target es2022 --module nodenext --types node --skipLibCheck false --lib "$1" main.ts; }
node_alone=$(compile es2023 || true)
with_dom=$(compile es2023,dom || true)
printf 'es2023:\n%s\nes2023,dom:\n%s\n' "$node_alone" "$with_dom"
if [ "$(grep -c 'encoders.d.ts.*TS2749' <<< "$node_alone")" = 2 ] && [ -z "$with_dom" ]; then echo 'as described'; else echo CHANGED; exit 1; fi
