// Time on a target that is known by measurement (table.ts): a layer that was measured takes what was measured, any other what the law of its
// kind says. Layers are priced once for all networks.
import type { FrontEnd } from '../network/network.ts'
import { requireIntegerForm } from '../network/graph.ts'
import { UsageError } from '../errors.ts'
import type { NetworkTime, TimeModel } from './cost-model.ts'
import { frameText, predictFrame } from './front-end-law.ts'
import { kindOf, predict } from './law.ts'
import { type LayerShape, layerText, type NodeLayers } from './layer-shape.ts'
import type { HardwareTable } from './table.ts'

/** @param clockHz instead of the table's own; of no meaning where times were measured */
export function tableModel(table: HardwareTable, clockHz = table.clockHz): TimeModel {
  const { name, unit, kernels, laws, frameLaw } = table
  const known = new Map(Object.entries(table.layers))
  const frames = new Map(Object.entries(table.frames))
  const cyclesPerUnit = unit === 'instructions' ? 1 / table.instructionsPerCycle! : 1
  const msPerUnit = unit === 'nanoseconds' ? 1e-6 : (1000 * cyclesPerUnit) / clockHz!
  const timeOf = (units: number) => ({ latencyMs: units * msPerUnit, ...(unit !== 'nanoseconds' && { cycles: units * cyclesPerUnit }) })

  const layerUnits = (node: string, layer: LayerShape): number => {
    const text = layerText(layer)
    const found = known.get(text)
    if (found !== undefined) return found
    const value = predict(laws, layer, kernels)
    if (value === undefined) {
      const kinds = Object.keys(laws).join(', ')
      throw new UsageError(
        `node "${node}": target ${name} has no law for ${kindOf(layer)} layers (it has: ${kinds}); measure some, docs/hardware.md`,
      )
    }
    known.set(text, value)
    return value
  }

  const frontEndUnits = (frontEnd: FrontEnd): number => {
    requireIntegerForm(frontEnd)
    if (frontEnd.kind === 'raw' || frontEnd.kind === 'image') return 0
    const text = frameText(frontEnd)
    if (Object.keys(frameLaw).length === 0) {
      throw new UsageError(`target ${name} has no frames of spectral features measured; measure "${text}", docs/hardware.md`)
    }
    const perFrame = frames.get(text) ?? predictFrame(frameLaw, frontEnd)
    frames.set(text, perFrame)
    return perFrame * (1 + Math.floor((frontEnd.samples - frontEnd.windowSamples) / frontEnd.hopSamples))
  }

  return {
    name: clockHz === undefined || unit === 'nanoseconds' ? name : `${name}@${clockHz / 1e6}MHz`,
    time(nodes: readonly NodeLayers[], features: FrontEnd): NetworkTime {
      const perNode = nodes.map(({ id, layers }) => layers.reduce((sum, layer) => sum + layerUnits(id, layer), 0))
      const frontEnd = frontEndUnits(features)
      return {
        ...timeOf(perNode.reduce((sum, units) => sum + units, frontEnd)),
        ...(frontEnd > 0 && { frontEndMs: frontEnd * msPerUnit }),
        nodes: perNode.map(timeOf),
      }
    },
  }
}
