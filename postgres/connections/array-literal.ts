// PostgreSQL's text form of arrays, read and written: `{1,NULL,{"a \"b\""}}`, and `[0:1]={1,2}` where the first element is not
// number one. Pure; linear in the length of the text. Not by `postgres-array`, which knows no other delimiter than the comma
// and searches all that follows for a backslash at each quoted element.

/** Every array type separates by a comma but `box[]`. */
const BOX_ARRAY = 1020

export const delimiterOf = (arrayType: number): string => (arrayType === BOX_ARRAY ? ';' : ',')

/**
 * Reads an array; where its dimensions begin is left out. An unquoted NULL is null, whatever the element type.
 * @param parse of one element's text; without it the text stays
 */
export function readArray(text: string, delimiter: string, parse?: (text: string) => unknown): unknown[] {
  let at = text[0] === '[' ? text.indexOf('=') + 1 : 0
  if (text[at] === '{') at++
  const convert = (element: string): unknown => (parse ? parse(element) : element)

  function quoted(): unknown {
    let element = ''
    for (at++; text[at] !== '"'; at++) {
      if (text[at] === '\\') at++
      element += text[at] ?? ''
      if (at >= text.length) break
    }
    at++
    return convert(element)
  }

  function bare(): unknown {
    const start = at
    while (at < text.length && text[at] !== delimiter && text[at] !== '}') at++
    const element = text.slice(start, at)
    return element === 'NULL' ? null : convert(element)
  }

  function list(): unknown[] {
    const elements: unknown[] = []
    while (at < text.length && text[at] !== '}') {
      if (text[at] === delimiter) at++
      if (text[at] === '{') {
        at++
        elements.push(list())
      } else {
        elements.push(text[at] === '"' ? quoted() : bare())
      }
    }
    at++
    return elements
  }

  return list()
}

/**
 * Writes an array; any other value stays as it is, for text that is a literal already.
 * @throws TypeError for an undefined element
 */
export function writeArray(value: unknown, delimiter: string, serialize?: (element: unknown) => unknown): unknown {
  if (!Array.isArray(value)) return value
  const elements = value.map(element => {
    if (element === undefined) throw new TypeError('an array holds an undefined element: use null')
    if (element === null) return 'NULL'
    if (Array.isArray(element)) return writeArray(element, delimiter, serialize)
    const plain = isTyped(element) ? element.value : element
    const text = String(serialize ? serialize(plain) : plain)
    return `"${text.replace(/[\\"]/g, '\\$&')}"`
  })
  return `{${elements.join(delimiter)}}`
}

/** A parameter of the driver's carries its value beside its type. */
const isTyped = (element: unknown): element is { value: unknown } =>
  typeof element === 'object' && element !== null && 'type' in element && 'value' in element
