// `bitwright firmware`: an exported firmware folder, run in the emulator and held against the runtime.
import type { Command } from 'commander'
import type { FirmwareMeasurement } from '../firmware/run.ts'
import { printJson, verb } from './verb.ts'

export function command(): Command {
  return verb('firmware', 'Run exported firmware in an emulator.').helpCommand(false).addCommand(runCommand())
}

function runCommand(): Command {
  return verb('run', 'Build it, run clips in QEMU, compare every logit with the runtime, count instructions and bytes.')
    .usage('DIR --machine NAME --clips LIST|FOLDER|FILE [options]')
    .argument('<DIR>', 'folder that `bitwright export --to firmware` made')
    .option('--machine <NAME>', 'cortex-m0, cortex-m4, cortex-m7, cortex-m33 or cortex-m55 (required)')
    .option(
      '--clips <PATH>',
      'a list (.txt for images) with one "path class" a line, a folder of WAV or image files, one such file, a CIFAR batch, or a file of pixels (required)',
    )
    .option('--data <DIR>', 'folder that the paths of a list are in (default: that of the list)')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  bitwright firmware run fw --machine cortex-m4 --clips test.txt --data speech_commands')
    .action(async (folder: string, options: Record<string, unknown>) => {
      const { z } = await import('zod')
      const fields = await import('./fields.ts')
      const { firmwareTargets } = await import('../export/firmware-targets.ts')
      const flags = fields.validate(
        z.object({
          machine: fields.choice(firmwareTargets),
          clips: fields.path('a list, a folder, or a file'),
          data: fields.path('the folder with the clips').optional(),
          json: fields.present(),
        }),
        options,
      )
      const { join } = await import('node:path')
      const { load } = await import('@bitwright/runtime')
      const { RunError } = await import('../errors.ts')
      const { readInputs } = await import('../firmware/clips.ts')
      const { runFirmware } = await import('../firmware/run.ts')
      const { createProgress } = await import('./progress.ts')
      const { readGivenFile } = await import('./given-file.ts')
      const path = join(folder, 'model.bw')
      const inputs = await readInputs(load(readGivenFile(path), path).integerModel, flags.clips, flags.data)
      const progress = createProgress(process.stderr, undefined, undefined, { evaluate: flags.machine })
      const stop = new AbortController()
      const onInterrupt = () => stop.abort()
      process.on('SIGINT', onInterrupt)
      const measured = await runFirmware({
        folder,
        target: flags.machine,
        inputs,
        onNotice: progress.say,
        onProgress: (done, total) => progress.onProgress({ stage: 'evaluate', done, total, text: 'answers' }),
        signal: stop.signal,
      })
        .catch((error: unknown) => {
          if (!stop.signal.aborted) throw error
        })
        .finally(() => {
          process.off('SIGINT', onInterrupt)
          progress.finish()
        })
      if (measured === undefined) {
        process.exitCode = 130
        return
      }
      if (flags.json) printJson(jsonOf(measured))
      else process.stdout.write(await textOf(measured))
      if (measured.difference !== undefined) throw new RunError(measured.difference)
      if (measured.mispredicted.length > 0)
        throw new RunError(`the linker gives other sizes than predicted to ${measured.mispredicted.join(', ')}; report this as a bug`)
    })
}

function jsonOf({ sizes: { symbols, ...sizes }, predicted, ...rest }: FirmwareMeasurement): unknown {
  const named = Object.keys({ ...predicted.flash, ...predicted.ram })
  return {
    equal: rest.difference === undefined,
    ...rest,
    predicted,
    sizes: { ...sizes, ...Object.fromEntries(named.map((name) => [name, symbols.get(name)])) },
  }
}

async function textOf(measured: FirmwareMeasurement): Promise<string> {
  const { count } = await import('../report/units.ts')
  const { textTable } = await import('./text-table.ts')
  const { target, clips, answers, counted, detections, difference, layers, frame, sizes, predicted, arenaBytes, stackBytes } = measured
  const heard = detections === undefined ? '' : ` and ${detections} detections`
  const head = difference === undefined ? `${target}: ${answers} answers to ${clips} clips${heard}, every logit as here\n\n` : ''
  const whole = (value: number) => Math.round(value).toLocaleString('en').replaceAll(',', ' ')
  const perMac = (instructions: number, macs: number) => (macs > 0 ? (instructions / macs).toFixed(2) : '-')
  const instructions = layers && [
    ['layer', 'op', 'MACs', 'instructions', 'per MAC'],
    ...(frame ? [[`front end (${frame.perAnswer} frames)`, 'features', '-', whole(frame.instructions * frame.perAnswer), '-']] : []),
    ...layers.map(({ name, op, macs, instructions: own }) => [name, op, macs > 0 ? whole(macs) : '-', whole(own), perMac(own, macs)]),
  ]
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
  const [all, macs] = layers ? [sum(layers.map((layer) => layer.instructions)), sum(layers.map((layer) => layer.macs))] : [0, 0]
  if (instructions) instructions.push(['all layers', '', whole(macs), whole(all), perMac(all, macs)])
  const bytes = (value: number) => whole(value)
  const data = [
    ['bytes', 'linked', 'predicted'],
    ['flash: code', bytes(sizes.codeBytes), '-'],
    ['flash: constants', bytes(sizes.constantBytes), '-'],
    ...Object.entries(predicted.flash).map(([name, value]) => [`  ${name}`, bytes(sizes.symbols.get(name) ?? 0), bytes(value)]),
    ['RAM: static memory', bytes(sizes.memoryBytes), '-'],
    ...Object.entries(predicted.ram).map(([name, value]) => [`  ${name}`, bytes(sizes.symbols.get(name) ?? 0), bytes(value)]),
    ...(predicted.input === 'stream' ? [] : [['    of it the arena', bytes(arenaBytes), bytes(arenaBytes)]]),
    ['RAM: stack of a run', bytes(stackBytes.run), '-'],
    ['RAM: stack of bw_init', bytes(stackBytes.init), '-'],
  ]
  const what = counted === 'clip' ? 'a whole clip' : 'a decision of the stream'
  const perAnswer = layers ? `\n${count(all + (frame ? frame.instructions * frame.perAnswer : 0))} instructions for ${what}\n` : ''
  return `${head}${instructions ? `${textTable(instructions)}\n${perAnswer}\n` : ''}${textTable(data)}\n`
}
