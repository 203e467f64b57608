// `bitwright hardware`: the targets that networks are priced on, and the making of their tables.
import type { Command } from 'commander'
import { printJson, verb } from './verb.ts'

export function command(): Command {
  return verb('hardware', 'Targets: what is known of them, prices on them, and measuring them.')
    .helpCommand(false)
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(priceCommand())
    .addCommand(calibrateCommand())
    .addCommand(measureCommand())
}

function listCommand(): Command {
  return verb('list', 'The targets by name, and what each tells.')
    .option('--json', 'print one JSON document')
    .action(async (options: { json?: boolean }) => {
      const { listTargets, listText } = await import('./hardware-text.ts')
      const targets = listTargets()
      if (options.json) printJson(targets)
      else process.stdout.write(listText(targets))
    })
}

function showCommand(): Command {
  return verb('show', 'What is known of a target: constants, or kinds of layers with their errors.')
    .usage('TARGET [--json]')
    .argument('<TARGET>', 'a name of `hardware list`, or a .json file')
    .option('--json', 'print it as a hardware file, to start an own one from')
    .action(async (target: string, options: { json?: boolean }) => {
      const { parseTarget, readHardware } = await import('../hardware/targets.ts')
      const { hardwareDocument, showText } = await import('./hardware-text.ts')
      const hardware = readHardware(parseTarget(target).name)
      if (options.json) printJson(hardwareDocument(hardware))
      else process.stdout.write(showText(hardware))
    })
}

function priceCommand(): Command {
  return verb('price', 'What a network takes on a target, layer by layer.')
    .usage('NETWORK --target NAME[@CLOCK] [--json]')
    .argument('<NETWORK>', 'a .bw file, an architecture.json, or a built-in network')
    .option('--target <NAME[@CLOCK]>', 'such as cortex-m4@80MHz, bit-fusion, measured, or a .json file (required)')
    .option('--json', 'print one JSON document')
    .action(async (network: string, options: Record<string, unknown>) => {
      const { z } = await import('zod')
      const fields = await import('./fields.ts')
      const flags = fields.validate(z.object({ target: fields.path('such as cortex-m4@80MHz'), json: fields.present() }), options)
      const { describeSubject } = await import('./model-description.ts')
      const { priceText } = await import('./hardware-text.ts')
      const { targetTime } = await import('../hardware/targets.ts')
      const description = describeSubject(network, targetTime(flags.target))
      if (flags.json) printJson(description)
      else process.stdout.write(priceText(description))
    })
}

function calibrateCommand(): Command {
  return verb('calibrate', 'Fill the table of a target: from the emulator, or from what a board printed.')
    .usage('--target NAME [--log FILE] [--out FILE] [options]')
    .option('--target <NAME>', 'cortex-m0plus, cortex-m4, cortex-m7, cortex-m33, cortex-m55, measured; with --log any name (required)')
    .option('--log <FILE>', 'what a board printed (docs/hardware.md), instead of the emulator')
    .option('--out <FILE>', 'the table; gone on with where it was interrupted (default: NAME.json)')
    .option('--networks <N>', 'designed networks to count', '320')
    .option('--seed <N>', 'another seed, other networks', '1')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  bitwright hardware calibrate --target cortex-m4 --log board.txt --out my-board.json')
    .action(async (options: Record<string, unknown>) => {
      const { z } = await import('zod')
      const fields = await import('./fields.ts')
      const flags = fields.validate(
        z.object({
          target: fields.path('the name of a target, such as cortex-m4'),
          log: fields.path("the board's log").optional(),
          out: fields.path('the file to write').optional(),
          networks: fields.integer(16, 10_000),
          seed: fields.integer(0, Number.MAX_SAFE_INTEGER),
          json: fields.present(),
        }),
        options,
      )
      const { runCalibration } = await import('./calibrate.ts')
      await runCalibration({ ...flags, out: flags.out ?? `${flags.target}.json` })
    })
}

function measureCommand(): Command {
  return verb('measure', 'Time this machine, for `--target measured`.')
    .option('--networks <N>', 'designed networks to time', '300')
    .option('--seed <N>', 'another seed, other networks', '1')
    .option('--json', 'print one JSON document')
    .action(async (options: Record<string, unknown>) => {
      const { z } = await import('zod')
      const fields = await import('./fields.ts')
      const flags = fields.validate(
        z.object({ networks: fields.integer(16, 10_000), seed: fields.integer(0, Number.MAX_SAFE_INTEGER), json: fields.present() }),
        options,
      )
      const { runCalibration } = await import('./calibrate.ts')
      const { measuredPath } = await import('../hardware/targets.ts')
      await runCalibration({ ...flags, target: 'measured', out: measuredPath() })
    })
}
