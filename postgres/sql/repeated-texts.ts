// The texts of `sql.unsafe` that come again, as an ORM's do: each has one template, by which its verdicts and its fast answers are
// known, as those of a tagged template are. Invariant: bounded, however many texts there are.
import { LRUCache } from 'lru-cache'

export interface TextTemplate {
  readonly strings: readonly string[]
  /** It has come often enough to be worth a prepared statement, of which a session takes only so many (see connection.ts). */
  readonly repeated: boolean
}

/** A text with values written into it does not come a third time. */
const REPEATED = 3
/** A longer text is a template anew each time: the texts remembered stay below 4 MB. */
const LONGEST_REMEMBERED = 4_096

export function createTextTemplates(max = 1_000): (text: string) => TextTemplate {
  const known = new LRUCache<string, { strings: readonly string[]; count: number; repeated: boolean }>({ max })
  return text => {
    let template = known.get(text)
    if (!template) {
      template = { strings: [text], count: 0, repeated: false }
      if (text.length <= LONGEST_REMEMBERED) known.set(text, template)
    }
    template.repeated ||= ++template.count >= REPEATED
    return template
  }
}
