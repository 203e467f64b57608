// Exact instruction counts of a network on every processor, kept in firmware/instructions.json, so that a change of the core that costs or
// saves instructions shows. `npm run count:firmware` writes the file anew; commit it with what changed.
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type IntegerLayer, type IntegerModel, scaleExponentOf } from '@bitwright/runtime'
import { type Draw, randomFilters, seededDraw } from '@bitwright/runtime/testing'
import { firmwareFolder } from '../../export/firmware.ts'
import { type FirmwareTarget, firmwareTargets } from '../../export/firmware-targets.ts'
import { lowerSkeleton } from '../../hardware/index.ts'
import { builtinNetwork } from '../../network/index.ts'
import { type FirmwareMeasurement, runFirmware } from '../run.ts'
import { exportedFolder } from './folder.ts'

export interface CountedProcessor {
  /** Instructions of a layer, or of a frame of the front end: mean of the runs. */
  readonly instructions: Readonly<Record<string, number>>
  readonly codeBytes: number
  readonly stackBytes: number
}

/** Widths of all weights alike, at which a whole clip is counted. */
export const clipWidths = [8, 4, 2] as const

export interface CountedFile {
  /** Other compilers give other counts. */
  readonly compiler: string
  readonly processors: Readonly<Record<FirmwareTarget, CountedProcessor>>
  /** All layers of a clip, by processor and width of the weights; without the front end. */
  readonly clips: Readonly<Record<FirmwareTarget, Readonly<Record<string, number>>>>
  /** A decision of ds-cnn-s as it streams, with random weights of many widths: a layer, or a frame of the front end. */
  readonly streams: Readonly<Record<FirmwareTarget, Readonly<Record<string, number>>>>
  /** The 60 filters of 400 taps, made from cut-offs, that begin `kws-e2e-e3k5`, over a clip. */
  readonly filters: Readonly<Record<FirmwareTarget, number>>
}

const path = join(firmwareFolder, 'instructions.json')

export const readCounts = (): CountedFile => JSON.parse(readFileSync(path, 'utf8')) as CountedFile

/** Version of the cross compiler. */
export const compiler = (): string => spawnSync('arm-none-eabi-gcc', ['-dumpfullversion'], { encoding: 'utf8' }).stdout?.trim() ?? ''

const widths = [8, 8, 4, 4, 2, 2, 1, 1, 3, 8]

function randomized(draw: Draw, layer: IntegerLayer, weightBits: number): IntegerLayer {
  if (layer.op !== 'convolution') return layer
  const half = 2 ** (weightBits - 1)
  const weights = layer.weights.map(() => (weightBits === 1 ? 2 * draw(2) - 1 : draw(2 * half) - half))
  const depth = weights.length / layer.bias.length
  const shift = Math.min(-6, -Math.ceil(Math.log2(Math.sqrt(depth) * half)) - 1)
  const compact = layer.compact && { compact: { ...layer.compact, scaleExponent: scaleExponentOf(shift) } }
  return { ...layer, ...compact, weightBits, weights, shift: layer.shift.map(() => shift) }
}

/** ds-cnn-s with random weights, of one width or of many; as it hears clips, or streams. */
export function countedModel(width?: number, streaming?: { readonly samples: number }): IntegerModel {
  const draw = seededDraw(1)
  const classes = Array.from({ length: 12 }, (_, i) => `word${i}`)
  const { model } = lowerSkeleton(builtinNetwork('ds-cnn-s', { classes, ...(streaming && { streaming: true, ...streaming }) }))
  let at = 0
  return {
    ...model,
    layers: model.layers.map((layer) => randomized(draw, layer, layer.op === 'convolution' ? (width ?? widths[at++]) : 0)),
  }
}

export async function measureCounted(folder: string, target: FirmwareTarget, samples = 16_000): Promise<FirmwareMeasurement> {
  const draw = seededDraw(2)
  const inputs = [20_000, 300].map((loudness) => ({
    name: `noise ${loudness}`,
    input: Int16Array.from({ length: samples }, () => draw(2 * loudness) - loudness),
  }))
  return runFirmware({ folder, target, inputs })
}

export const countedFilters = (): IntegerModel => randomFilters(seededDraw(8), [400, 160, 98, 60])

export async function filterCounts(folder: string, target: FirmwareTarget): Promise<number> {
  const draw = seededDraw(9)
  const input = Int16Array.from({ length: 17_000 }, () => draw(40_000) - 20_000)
  const measured = await runFirmware({ folder, target, inputs: [{ name: 'noise', input }] })
  if (measured.difference !== undefined) throw new Error(measured.difference)
  return measured.layers![0].instructions
}

/** Of a window, and of what is heard. */
export const streamSamples = { window: 20_000, heard: 30_000 } as const
export const countedStream = (): IntegerModel => countedModel(undefined, { samples: streamSamples.window })

export const measureStream = (folder: string, target: FirmwareTarget): Promise<FirmwareMeasurement> =>
  measureCounted(folder, target, streamSamples.heard)

export function layerCounts({ layers, frame }: FirmwareMeasurement): Record<string, number> {
  return { frame: frame!.instructions, ...Object.fromEntries(layers!.map((layer) => [layer.name, layer.instructions])) }
}

export function countsOf(measured: FirmwareMeasurement): CountedProcessor {
  const { sizes, stackBytes } = measured
  return { instructions: layerCounts(measured), codeBytes: sizes.codeBytes, stackBytes: stackBytes.run }
}

export const clipInstructions = ({ layers }: FirmwareMeasurement): number => layers!.reduce((total, layer) => total + layer.instructions, 0)

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = exportedFolder(countedModel())
  const processors: [FirmwareTarget, CountedProcessor][] = []
  for (const target of firmwareTargets) {
    processors.push([target, countsOf(await measureCounted(folder, target))])
    console.log(`${target}: counted`)
  }
  rmSync(folder, { recursive: true })
  const clips = Object.fromEntries(firmwareTargets.map((target): [FirmwareTarget, Record<string, number>] => [target, {}]))
  for (const width of clipWidths) {
    const clipFolder = exportedFolder(countedModel(width))
    for (const target of firmwareTargets) clips[target][width] = clipInstructions(await measureCounted(clipFolder, target))
    rmSync(clipFolder, { recursive: true })
    console.log(`${width}-bit weights: counted`)
  }
  const streamFolder = exportedFolder(countedStream())
  const streams: [FirmwareTarget, Record<string, number>][] = []
  for (const target of firmwareTargets) streams.push([target, layerCounts(await measureStream(streamFolder, target))])
  rmSync(streamFolder, { recursive: true })
  console.log('stream: counted')
  const filterFolder = exportedFolder(countedFilters())
  const filters: [FirmwareTarget, number][] = []
  for (const target of firmwareTargets) filters.push([target, await filterCounts(filterFolder, target)])
  rmSync(filterFolder, { recursive: true })
  console.log('filters: counted')
  const counted = {
    compiler: compiler(),
    processors: Object.fromEntries(processors),
    clips,
    streams: Object.fromEntries(streams),
    filters: Object.fromEntries(filters),
  }
  writeFileSync(path, `${JSON.stringify(counted, undefined, 2)}\n`)
}
