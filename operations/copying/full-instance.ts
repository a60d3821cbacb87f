// What an import or a restore says of an instance that is marked full: both bring a new tenant to the instance that the registry
// names, which is the default one for a tenant that it does not know.

import type { FullInstance } from '../../plugins/distributed-tenant/registry/full-instances.js'

export const fullText = ({ name, markedBy }: Pick<FullInstance, 'name' | 'markedBy'>): string =>
  `the instance ${name}, where it would come to, is marked full by ${markedBy}: \`instances open ${name}\`, repeat this, and \`move\` it from there`
