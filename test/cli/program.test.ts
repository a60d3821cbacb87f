import t from 'tap'
import { commandFiles } from '../../cli/program.js'

t.test('the names of a file of commands are those of its commands', async t => {
  for (const { names, load } of commandFiles) {
    const commands = await load()
    t.same(
      commands.map(command => command.name()),
      names,
    )
    t.same(
      commands.flatMap(command => command.aliases()),
      [],
      'an alias would have to be among the names',
    )
  }
})
