// A process of the startup bench: the command line with these arguments, up to its first training step; says so on stdout and ends.
import { main } from '../packages/bitwright/src/cli/main.ts'
import { Trainer } from '../packages/bitwright/src/training/trainer.ts'

const { epoch } = Trainer.prototype
Trainer.prototype.epoch = function (index) {
  return epoch.call(this, index, () => {
    process.stdout.write('first step\n', () => process.exit(0))
    return false
  })
}
process.exitCode = await main(process.argv.slice(2))
