// Two accelerators, as files of constants: multipliers that take one bit of each operand a cycle (bit-serial), and units of 2-bit multipliers
// that are joined to the width at hand (bit-fusion, after Sharma et al., "Bit Fusion", ISCA 2018, sections III and IV). The formulas are ours
// (docs/hardware.md); what they share is here: a tile of the array computes some outputs from some inputs, layers run one after the other.
import type { NetworkTime, Time, TimeModel } from './cost-model.ts'
import { attentionMacs, depthOf, type LayerShape, macsOf, type NodeLayers, outputMap, outputsOf, probabilityBits } from './layer-shape.ts'

export interface ArrayParameters {
  readonly name: string
  readonly clockHz: number
  /** Inputs that are multiplied side by side and added up. */
  readonly rows: number
  /** Outputs that are computed side by side. */
  readonly columns: number
  /** Columns that work on a depthwise layer, whose outputs share no inputs. */
  readonly depthwiseColumns: number
  /** To fill and drain the array, once a layer. */
  readonly fillCycles: number
  /** From the memory of the weights, in bits; loading them hides behind the products or they hide behind it. */
  readonly weightBitsPerCycle: number
  /** Of what is no convolution (sums, averages, requantization) outputs a cycle. */
  readonly vectorLanes: number
  /** Energy: of a bit of a weight or an activation from its memory, and of everything else a cycle. */
  readonly memoryPjPerBit: number
  readonly staticPjPerCycle: number
}

/** What sets one array off from another. */
export interface ArrayKind {
  /** Products of a cell and a cycle: the inputs that one row takes, and the cycles that a product then needs. */
  product(weightBits: number, inputBits: number): { readonly together: number; readonly cycles: number }
  readonly productPj: (weightBits: number, inputBits: number) => number
}

export function layerCycles(array: ArrayParameters, kind: ArrayKind, layer: LayerShape): number {
  if (layer.op === 'reshape') return 0
  if (layer.op === 'attend') return attentionCycles(array, kind, layer)
  if (layer.weightBits === 0) return Math.ceil((outputsOf(layer) * (layer.op === 'pool' ? depthOf(layer) : 1)) / array.vectorLanes)
  const [height, width] = outputMap(layer)
  const { together, cycles } = kind.product(layer.weightBits, layer.inputBits)
  const depthTiles = Math.ceil(depthOf(layer) / (array.rows * together))
  const channelTiles = Math.ceil(layer.channels / (layer.op === 'depthwise' ? array.depthwiseColumns : array.columns))
  const compute = height * width * depthTiles * channelTiles * cycles
  return Math.max(compute, Math.ceil(weightBitsOf(layer) / array.weightBitsPerCycle)) + array.fillCycles
}

/** Two layers of products, keys and values in the place of weights and probabilities in that of inputs, and between them a value for each pair. */
function attentionCycles(
  array: ArrayParameters,
  kind: ArrayKind,
  { height, width, inputChannels, channels, inputBits }: LayerShape,
): number {
  const positions = height * width
  const product = (inputs: number, outputs: number, bits: number): number => {
    const { together, cycles } = kind.product(inputBits, bits)
    const compute = positions * Math.ceil(inputs / (array.rows * together)) * Math.ceil(outputs / array.columns) * cycles
    return Math.max(compute, Math.ceil((inputs * outputs * inputBits) / array.weightBitsPerCycle)) + array.fillCycles
  }
  const scores = product(inputChannels, positions, inputBits)
  return scores + Math.ceil(positions ** 2 / array.vectorLanes) + product(positions, channels, probabilityBits)
}

const weightBitsOf = (layer: LayerShape): number => (layer.weightBits > 0 ? layer.channels * depthOf(layer) * layer.weightBits : 0)

function productPicojoules(kind: ArrayKind, layer: LayerShape): number {
  const { op, weightBits, inputBits } = layer
  if (op !== 'attend') return weightBits > 0 ? macsOf(layer) * kind.productPj(weightBits, inputBits) : 0
  const [scores, sums] = attentionMacs(layer)
  return scores * kind.productPj(inputBits, inputBits) + sums * kind.productPj(inputBits, probabilityBits)
}

export function layerPicojoules(array: ArrayParameters, kind: ArrayKind, layer: LayerShape): number {
  if (layer.op === 'reshape') return 0
  const { height, width, inputChannels, inputBits, outputBits } = layer
  const positions = height * width
  // attention reads keys as well, and values
  const maps = layer.op === 'add' || layer.op === 'attend' ? 2 : 1
  const inputs = positions * (inputChannels * maps + (layer.op === 'attend' ? layer.channels : 0)) * inputBits
  const bits = weightBitsOf(layer) + inputs + outputsOf(layer) * outputBits
  return productPicojoules(kind, layer) + bits * array.memoryPjPerBit + layerCycles(array, kind, layer) * array.staticPjPerCycle
}

/** @param clockHz instead of the file's own */
export function acceleratorModel(array: ArrayParameters, kind: ArrayKind, clockHz = array.clockHz): TimeModel {
  const timeOf = (layers: readonly LayerShape[]): Required<Time> => {
    const cycles = layers.reduce((sum, layer) => sum + layerCycles(array, kind, layer), 0)
    const energyUj = layers.reduce((sum, layer) => sum + layerPicojoules(array, kind, layer), 0) * 1e-6
    return { latencyMs: (1000 * cycles) / clockHz, cycles, energyUj }
  }
  return {
    name: `${array.name}@${clockHz / 1e6}MHz`,
    time(given: readonly NodeLayers[]): NetworkTime {
      const nodes = given.map(({ layers }) => timeOf(layers))
      const total = (key: keyof Time): number => nodes.reduce((sum, node) => sum + node[key], 0)
      return { latencyMs: total('latencyMs'), cycles: total('cycles'), energyUj: total('energyUj'), nodes }
    },
  }
}
