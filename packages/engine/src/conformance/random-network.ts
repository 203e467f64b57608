// Small random networks: chains and residual blocks of everything the tape records, with activations, normalisations, quantizers and
// several consumers in random places.
import { Random } from '../random.ts'
import { type Builder, layer, type Program } from './program.ts'

interface Map<V> {
  readonly value: V
  readonly height: number
  readonly width: number
  readonly channels: number
}

const channelCounts = [1, 3, 8, 10, 17]

class Grower<V> {
  private readonly b: Builder<V>
  private readonly random: Random
  private names = 0

  constructor(b: Builder<V>, random: Random) {
    this.b = b
    this.random = random
  }

  private name(): string {
    return `n${this.names++}`
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.random.integer(from.length)]
  }

  private chance(): boolean {
    return this.random.integer(2) === 1
  }

  start(): Map<V> {
    const kind = this.random.integer(3)
    const [height, width, channels] = [
      this.random.integer(5) + 5,
      kind ? this.random.integer(4) + 2 : 1,
      kind === 1 ? 1 : this.pick([3, 8, 10]),
    ]
    return { value: this.b.input('x', height, width, channels), height, width, channels }
  }

  /** Normalisation, activation and quantizer. */
  private finish(x: Map<V>): Map<V> {
    let { value } = x
    const normalization = this.random.integer(5)
    if (normalization < 3) value = this.b.batchNorm(value, this.name(), { affine: normalization > 0 })
    else if (normalization === 3) value = this.b.bias(value, this.name())
    const activation = this.random.integer(3)
    if (activation) value = activation === 1 ? this.b.relu(value) : this.b.relu6(value)
    if (this.random.integer(3) === 0)
      value = this.b.fakeQuantize(
        value,
        this.name(),
        activation ? { step: 0.37, lowest: 0, highest: 7 } : { step: 0.29, lowest: -8, highest: 7 },
      )
    return { ...x, value }
  }

  convolution(x: Map<V>, channels = this.pick(channelCounts), keepSize = false): Map<V> {
    const axis = (size: number) => {
      const kernel = size === 1 ? 1 : this.pick(keepSize ? [1, 3] : [1, 2, 3, 5])
      const before = keepSize || kernel > size ? (kernel - 1) >> 1 : this.random.integer(kernel)
      const after = keepSize || kernel > size ? kernel - 1 - before : this.random.integer(kernel)
      const stride = keepSize ? 1 : this.pick([1, 1, 2, 3])
      return { kernel, before, after, stride, out: Math.floor((size + before + after - kernel) / stride) + 1 }
    }
    const [vertical, horizontal] = [axis(x.height), axis(x.width)]
    const depthwise = x.channels > 1 && channels === x.channels && this.chance()
    const shape = layer(channels, [vertical.kernel, horizontal.kernel], {
      stride: [vertical.stride, horizontal.stride],
      padding: [vertical.before, vertical.after, horizontal.before, horizontal.after],
      groups: depthwise ? channels : 1,
    })
    return this.finish({ value: this.b.convolution(x.value, this.name(), shape), height: vertical.out, width: horizontal.out, channels })
  }

  /** x + f(x), or two branches of the same shape. */
  private residual(x: Map<V>): Map<V> {
    const identity = x.channels > 1 && this.chance()
    const channels = identity ? x.channels : this.pick([8, 10])
    const left = this.convolution(x, channels, true)
    const right = identity ? x : this.convolution(x, channels, true)
    const sum = this.b.add(left.value, right.value)
    return { ...left, value: this.chance() ? this.b.relu(sum) : sum }
  }

  grow(x: Map<V>): Map<V> {
    switch (this.random.integer(6)) {
      case 0:
      case 1:
        return this.convolution(x)
      case 2:
        return this.convolution(x, x.channels)
      case 3:
      case 4:
        return this.residual(x)
      default: {
        if (x.channels === 1 || x.height < 2) return this.convolution(x)
        const width = Math.min(x.width, 2)
        const value = this.b.averagePool(x.value, [2, width], [1, width])
        return { value, height: x.height - 1, width: Math.floor(x.width / width), channels: x.channels }
      }
    }
  }

  /** A loss on pooled features, and a second output from the middle. */
  end(x: Map<V>, middle: Map<V>): void {
    const features = this.convolution(x, 10)
    const classes = this.pick([2, 5, 12])
    const logits = this.b.bias(this.b.linear(this.b.globalAveragePool(features.value), this.name(), classes), this.name())
    this.b.crossEntropy(
      logits,
      Array.from({ length: this.b.batch }, () => this.random.integer(classes)),
      { smoothing: 0.1, scale: this.b.batch },
    )
    this.b.output('middle', middle.value)
  }
}

export function randomNetwork(seed: number): Program {
  return (b) => {
    const random = new Random(seed, 'network')
    const grower = new Grower(b, random)
    const maps = [grower.convolution(grower.start())]
    for (let depth = random.integer(4) + 1; depth > 0; depth--) maps.push(grower.grow(maps.at(-1)!))
    grower.end(maps.at(-1)!, maps[random.integer(maps.length)])
  }
}
