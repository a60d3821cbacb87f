#!/usr/bin/env bash
# typebox 1.4.3: listing the errors of a text that is too long runs its `pattern` as well
#
# Version:   typebox 1.4.3 (npm), Node 20
# Guess:     a validator that has found `maxLength` broken does not run the schema's `pattern` on that text, neither when
#            it checks nor when it lists errors: the length is in the schema to bound the work of the pattern.
# Seen:      Check() stops at `maxLength`. Errors() goes on and runs the pattern on the whole text.
# Matters:   a service that answers 400 with the list of errors pays for its pattern on texts of any length. Our validators
#            list lengths first (events/validator.ts).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund typebox@1.4.3
cat > look.mjs <<'JS'
import Type from 'typebox'
import { Compile } from 'typebox/compile'

// Counts how often, and on texts of which length, the expression is run.
const lengths = []
const original = RegExp.prototype.test
RegExp.prototype.test = function (text) {
  if (this.source === '^[a-z]+$') lengths.push(text.length)
  return original.call(this, text)
}
const validator = Compile(Type.String({ maxLength: 5, pattern: '^[a-z]+$' }))
const text = 'a'.repeat(1000)
const checked = validator.Check(text)
const afterCheck = lengths.length
const errors = [...validator.Errors(text)]
console.log({ checked, patternRunsInCheck: afterCheck, patternRunsInErrors: lengths.slice(afterCheck), errors: errors.length })
const same = !checked && afterCheck === 0 && lengths.slice(afterCheck).includes(1000)
console.log(same ? 'as described' : 'CHANGED')
process.exit(same ? 0 : 1)
JS
node look.mjs
