// What a board printed while it ran exported firmware, as measurements for a table. The lines are those of docs/hardware.md, "Calibrating".
import { type IntegerModel, isSpectral } from '@bitwright/runtime'
import { UsageError } from '../errors.ts'
import { frameText } from './front-end-law.ts'
import { layerText, modelLayers } from './layer-shape.ts'
import type { Measurements } from './table.ts'

class Means {
  private readonly sums = new Map<string, { total: number; count: number }>()

  add(key: string, value: number): void {
    const { total, count } = this.sums.get(key) ?? { total: 0, count: 0 }
    this.sums.set(key, { total: total + value, count: count + 1 })
  }

  entries(): [string, number][] {
    return [...this.sums].map(([key, { total, count }]) => [key, total / count])
  }
}

/**
 * @param log name used in messages
 * @param readModel the model of a `model` line
 * @throws UsageError with the line that is wrong, or where nothing was measured
 */
export function parseBoardLog(
  text: string,
  log: string,
  readModel: (path: string) => IntegerModel,
): Pick<Measurements, 'clockHz' | 'frames' | 'layers' | 'networks'> {
  const [frames, layers, networks] = [new Means(), new Means(), new Means()]
  let clockHz: number | undefined
  let model: IntegerModel | undefined
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const [, word, rest] = /^\s*(model|frame|layer|network|clock)\s+(.*?)\s*$/.exec(line) ?? []
    if (word === undefined) continue
    const fail = (what: string) => new UsageError(`${log}, line ${index + 1}: ${what} (docs/hardware.md)`)
    if (word === 'model') {
      model = readModel(rest)
      continue
    }
    const numbers = rest.split(/\s+/).map(Number)
    const wanted = word === 'layer' ? 2 : 1
    if (numbers.length !== wanted || !numbers.every((value, i) => (i < wanted - 1 ? value >= 0 : value > 0) && value < 1e15))
      throw fail(`"${line.trim()}": give ${word === 'layer' ? '`layer N CYCLES`' : `\`${word} NUMBER\``}, the figure above 0`)
    if (word === 'clock') {
      clockHz = numbers[0]
      continue
    }
    if (model === undefined) throw fail(`"${line.trim()}" comes before any model; begin with \`model PATH\``)
    const shapes = modelLayers(model).map(layerText)
    if (word === 'network') {
      networks.add(JSON.stringify(shapes), numbers[0])
    } else if (word === 'frame') {
      if (!isSpectral(model.frontEnd)) throw fail(`${model.name} computes no features of frames`)
      frames.add(frameText(model.frontEnd), numbers[0])
    } else {
      const shape = shapes[numbers[0]]
      if (shape === undefined) throw fail(`${model.name} has layers 0 to ${shapes.length - 1}, not ${numbers[0]}`)
      layers.add(shape, numbers[1])
    }
  }
  const [layerMeans, networkMeans] = [layers.entries(), networks.entries()]
  if (layerMeans.length + networkMeans.length === 0)
    throw new UsageError(`${log}: has no line such as \`layer 0 12345\`; print figures as docs/hardware.md says`)
  return {
    ...(clockHz !== undefined && { clockHz }),
    frames: Object.fromEntries(frames.entries()),
    layers: Object.fromEntries(layerMeans),
    networks: networkMeans.map(([key, value]) => ({ layers: JSON.parse(key) as string[], value })),
  }
}
