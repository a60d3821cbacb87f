// The names of columns that hold secrets, in any spelling: snake_case, camelCase, in one, as a plural. A column that is taken
// for one by mistake is named in the manifest; a password that is missed would be exported.

/** Anywhere in a name without its separators. */
const PARTS =
  /passw(or)?d|passwort|kennwort|passphrase|passcode|secret(?!ar|ion)|credential|token|totp|hotp|(private|priv|api|access|auth|signing|encryption|session|master|shared|ssh)keys?|securitystamp|(recovery|backup|verification|reset|access|auth)codes?/

/** A whole part of a name: within another part it means something else. */
const WORDS = new Set([
  'pwd',
  'pwds',
  'pass',
  'otp',
  'otps',
  'salt',
  'salts',
  'pin',
  'pins',
  'jwt',
  'jwts',
  'cvv',
  'cvc',
])

export function namesSecret(column: string): boolean {
  const words = column
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1_$2')
    .toLowerCase()
    .split(/[^\p{L}]+/u)
  return PARTS.test(words.join('')) || words.some(word => WORDS.has(word))
}
