// Networks that nothing was fitted to, with a width of its own at every layer: of the keyword-spotting spaces, attention among them, and residual ones for images.
import { Random } from '@bitwright/engine'
import { lowerSkeleton } from '../../hardware/lower.ts'
import {
  classifier,
  convolution,
  isMultiplying,
  network,
  samePadding,
  withBits,
  type Network,
  type NetworkNode,
  type Pair,
} from '../../network/index.ts'
import { cenet, kwsE2e, kwsMfcc, randomDecisions, type Space } from '../../spaces/index.ts'
import { modelInfo } from '@bitwright/runtime'

const classes = Array.from({ length: 12 }, (_, i) => `word${i}`)

export const families = ['kws-mfcc', 'kws-e2e', 'cenet', 'resnet8-like'] as const
export type Family = (typeof families)[number]

const spaces: Readonly<Partial<Record<Family, Space>>> = {
  'kws-mfcc': kwsMfcc({ classes }),
  'kws-e2e': kwsE2e({ classes }),
  cenet: cenet({ classes }),
}

/** MLPerf Tiny's ResNet-8 with channels of its own in every stack. */
function residual(random: Random): Network {
  const channels = [0, 1, 2].map((stack) => 2 ** stack * (4 + 2 * random.integer(9)))
  const nodes: NetworkNode[] = [
    { id: 'input', op: 'input', inputs: [], shape: [32, 32, 3] },
    convolution('first', 'input', { channels: channels[0], kernelSize: [3, 3] }),
  ]
  for (const [stack, own] of channels.entries()) {
    const id = `stack${stack + 1}`
    const input = nodes.at(-1)!.id
    const stride: Pair = stack === 0 ? [1, 1] : [2, 2]
    const size = 32 / 2 ** Math.max(0, stack - 1)
    const padding = samePadding([size, size], [3, 3], stride)
    const shortcut = convolution(`${id}.shortcut`, input, { channels: own, kernelSize: [1, 1], stride, activation: 'none' })
    nodes.push(
      convolution(`${id}.first`, input, { channels: own, kernelSize: [3, 3], stride, padding }),
      convolution(`${id}.second`, `${id}.first`, { channels: own, kernelSize: [3, 3], activation: 'none' }),
      ...(stack === 0 ? [] : [shortcut]),
      { id: `${id}.add`, op: 'add', inputs: [stack === 0 ? input : shortcut.id, `${id}.second`], activation: 'relu' },
    )
  }
  const frontEnd = { kind: 'image', height: 32, width: 32, channels: 3 } as const
  return network('resnet8-like', frontEnd, classes, [...nodes, ...classifier(nodes.at(-1)!.id, classes.length)])
}

/** What the memory of the emulated boards leaves to a model and its arena. */
const mostBytes = 380_000

/** The same networks at every call. */
export function variedNetworks(family: Family, count: number): Network[] {
  const random = new Random(5, `varied ${family}`)
  const space = spaces[family]
  const found: Network[] = []
  while (found.length < count) {
    const built = space ? space.build(randomDecisions(space, random)) : residual(random)
    const width = (): number => (random.integer(2) ? [2, 4, 8][random.integer(3)] : 1 + random.integer(8))
    const overrides = Object.fromEntries(
      built.nodes.filter(isMultiplying).map(({ id }) => [id, { weightBits: width(), activationBits: width() }]),
    )
    const decided = withBits(built, { weightBits: 8, activationBits: 8 }, { edges: 'same', overrides })
    const { flashBytes, ramBytes } = modelInfo(lowerSkeleton(decided).model)
    if (flashBytes + ramBytes < mostBytes) found.push({ ...decided, name: `${family} ${found.length}` })
  }
  return found
}

/** Kendall's tau-a: pairs in the same order less those in the other, as a share of all. */
export function kendallTau(a: readonly number[], b: readonly number[]): number {
  let [sum, pairs] = [0, 0]
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j < i; j++, pairs++) sum += Math.sign(a[i] - a[j]) * Math.sign(b[i] - b[j])
  }
  return sum / pairs
}
