// Text of others as a terminal may show it: names, errors of servers and output of programs hold what a terminal would act
// on, or what is there and not seen. Each such character is written out as its number, so that it can be seen and named.

/** Controls, what turns the direction of letters, what has no width, and halves of letters. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu

const written = (character: string): string =>
  `<U+${(character.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0')}>`

/** A cell. */
export const printable = (text: string): string => text.replace(UNSEEN, written)

/** A line: its tabs stay. */
export const printableLine = (text: string): string => text.replace(UNSEEN, one => (one === '\t' ? one : written(one)))

/** A text of lines: their ends stay too. */
export const printableLines = (text: string): string => text.split(/\r?\n/).map(printableLine).join('\n')
