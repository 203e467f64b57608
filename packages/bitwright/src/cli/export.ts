// `bitwright export`: the model of a run, or a .bw file, in another format.
import type { Command } from 'commander'
import type { FloatNetwork } from '../export/index.ts'
import { printJson, verb } from './verb.ts'

export function command(): Command {
  return verb('export', 'A model as ONNX or another format.')
    .usage('RUN|FILE.bw --to onnx|firmware|web|bw --out DIR [options]')
    .argument('<MODEL>', 'folder of a finished run, or a .bw file')
    .option(
      '--to <TARGET>',
      'onnx (quantized, opset 25), firmware (a C project for Cortex-M), web (a page that listens or looks) or bw (required)',
    )
    .option('--out <DIR>', 'folder for the files; those of the same name are replaced (required)')
    .option('--float', 'the network in float, as it was before quantization; of a run alone')
    .option('--front-end', 'MFCC or log-mel in the graph, so that audio goes in (default: features do); of ONNX alone')
    .option('--exact', "the core's very bits, in a form that no reader can fuse; of quantized ONNX alone")
    .option('--target <CPU>', 'processor that a plain make builds firmware for: cortex-m0, m4, m7, m33 or m55')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  bitwright export runs/first --to onnx --out exported')
    .action(async (subject: string, options: Record<string, unknown>) => {
      const { z } = await import('zod')
      const fields = await import('./fields.ts')
      const { exporters } = await import('../export/index.ts')
      const names = exporters.map(({ name }) => name)
      const flags = fields.validate(
        z.object({
          to: fields.choice(names),
          out: fields.path('a folder'),
          float: fields.present(),
          frontEnd: fields.present(),
          exact: fields.present(),
          target: fields.anyText().optional(),
          json: fields.present(),
        }),
        options,
      )
      const { existsSync, mkdirSync, statSync } = await import('node:fs')
      const { dirname, join } = await import('node:path')
      const { atomicWrite } = await import('../study/run-directory.ts')
      const { UsageError } = await import('../errors.ts')
      const exporter = exporters.find(({ name }) => name === flags.to)!
      if (existsSync(flags.out) && !statSync(flags.out).isDirectory())
        throw new UsageError(`--out ${flags.out}: is a file; give the path of a folder`)
      if (flags.float && !exporter.floatFiles) throw new UsageError(`--float: ${exporter.name} holds integer models alone; leave it away`)
      if (flags.exact && (flags.float || !exporter.hasExactForm))
        throw new UsageError('--exact: only quantized ONNX has such a form; leave it away')
      if (flags.frontEnd && !exporter.takesFrontEnd) throw new UsageError(`--front-end: ${exporter.name} has no use for it; leave it away`)
      if (flags.target !== undefined && !exporter.targets?.includes(flags.target)) {
        const remedy = exporter.targets ? `give one of ${exporter.targets.join(', ')}` : 'leave it away'
        throw new UsageError(`--target ${flags.target}: not one of ${exporter.name}; ${remedy}`)
      }
      const { frontEnd, exact, target } = flags
      const files = flags.float
        ? exporter.floatFiles!(await floatNetworkOf(subject), { frontEnd })
        : exporter.files(await modelOf(subject), { frontEnd, exact, ...(target !== undefined && { target }) })
      mkdirSync(flags.out, { recursive: true })
      const written = files.map(({ path, bytes }) => {
        const place = join(flags.out, path)
        mkdirSync(dirname(place), { recursive: true })
        atomicWrite(place, bytes)
        return { path: place, bytes: bytes.length }
      })
      if (flags.json) return printJson({ target: exporter.name, float: flags.float, files: written })
      process.stdout.write(written.map(({ path, bytes }) => `${path} (${bytes} bytes)\n`).join(''))
    })
}

/** The integer model of a run or file; of a run whose file this version refuses, made again. */
async function modelOf(subject: string) {
  const { existsSync, readFileSync, statSync } = await import('node:fs')
  const { join } = await import('node:path')
  const { BadModelError, encodeModel, load } = await import('@bitwright/runtime')
  const { parseDetectorSettings } = await import('../export/index.ts')
  const { finishedRunDirectory } = await import('../study/finished-run.ts')
  const { readGivenFile } = await import('./given-file.ts')
  const isFolder = statSync(subject, { throwIfNoEntry: false })?.isDirectory()
  const path = isFolder ? finishedRunDirectory(subject).model : subject
  let file: Uint8Array = readGivenFile(path)
  try {
    load(file, path)
  } catch (error) {
    if (!isFolder || !(error instanceof BadModelError)) throw error
    process.stderr.write(`${error.message}; it is made again from the run's checkpoint\n`)
    const { rebuildModel } = await import('../study/trained-run.ts')
    file = await rebuildModel(subject, {
      onEvent: () => {},
      onProgress: () => {},
      shouldStop: () => false,
      onNotice: (line) => process.stderr.write(`${line}\n`),
    })
  }
  const settings = join(subject, 'detector.json')
  const detector = isFolder && existsSync(settings) ? parseDetectorSettings(readFileSync(settings, 'utf8'), settings) : undefined
  const model = load(file, path).integerModel
  // laid out as this version does it, whichever wrote the file
  return { model, file: encodeModel(model), ...(detector && { detector }) }
}

/** The network of a finished run with the parameters it had before quantization. */
async function floatNetworkOf(run: string): Promise<FloatNetwork> {
  const { existsSync, readFileSync, statSync } = await import('node:fs')
  const { RunError, UsageError } = await import('../errors.ts')
  if (statSync(run, { throwIfNoEntry: false })?.isFile())
    throw new UsageError(`--float: ${run} has no float network in it; give the folder of a run`)
  const { existingRunDirectory } = await import('../study/run-directory.ts')
  const { readCheckpoint } = await import('../study/checkpoint.ts')
  const { parseNetwork, withoutBits } = await import('../network/index.ts')
  const graph: typeof import('../network/graph.ts') = await import('../network/graph.ts')
  const { Engine, openBackend } = await import('@bitwright/engine')
  const { createStore } = await import('../training/initialize.ts')
  const { floatNetwork } = await import('../export/index.ts')
  const { architecture, checkpoint } = existingRunDirectory(run)
  const parameters = existsSync(architecture) ? readCheckpoint(checkpoint)?.floatParameters : undefined
  if (!parameters) throw new RunError(`${run}: has no trained float network; finish it with the same command and --resume`)
  const network = withoutBits(parseNetwork(JSON.parse(readFileSync(architecture, 'utf8'))))
  graph.requireIntegerForm(network.frontEnd)
  const backend = await openBackend({ backend: 'wasm', threads: 1, onNotice: () => {} })
  try {
    const store = createStore(new Engine(backend), [network], 0)
    store.restore(parameters)
    return floatNetwork(network, store)
  } finally {
    backend.close()
  }
}
