// A tape-less float64 reference: every op of the engine as plain loops over dense [batch][height][width][channels] arrays, written
// from the definitions, with the gradient by the chain rule. It shares nothing with the kernels.

export class Node {
  readonly shape: readonly [number, number, number, number]
  readonly data: Float64Array
  readonly gradient: Float64Array

  constructor(shape: readonly [number, number, number, number], data?: Float64Array) {
    this.shape = shape
    const size = shape[0] * shape[1] * shape[2] * shape[3]
    this.data = data ?? new Float64Array(size)
    this.gradient = new Float64Array(size)
    if (this.data.length !== size) throw new Error(`reference: ${this.data.length} numbers for a map of ${shape}`)
  }
}

export interface Geometry {
  readonly kernelSize: readonly [number, number]
  readonly stride: readonly [number, number]
  readonly padding: readonly [number, number, number, number]
}

export interface Normalized {
  readonly output: Node
  readonly mean: Float64Array
  readonly variance: Float64Array
}

/** Ops in the order they ran; `backward` runs their gradients in reverse. */
export class Reference {
  private readonly reverse: (() => void)[] = []
  /** Distance of the closest value to a point where an op's derivative (or a rounding) jumps, relative to the values' scale. */
  kinkDistance = Infinity

  backward(): void {
    for (const step of this.reverse.toReversed()) step()
  }

  constant(data: ArrayLike<number>): Node {
    return new Node([1, 1, 1, data.length], Float64Array.from(data))
  }

  /** weights [kernelHeight][kernelWidth][in][out], or [kernelHeight][kernelWidth][channels] when depthwise */
  convolution(x: Node, weights: Node, channels: number, geometry: Geometry, depthwise: boolean): Node {
    const {
      kernelSize: [kh, kw],
      stride: [sy, sx],
      padding: [top, bottom, left, right],
    } = geometry
    const [batch, height, width, inputs] = x.shape
    const outHeight = Math.floor((height + top + bottom - kh) / sy) + 1
    const outWidth = Math.floor((width + left + right - kw) / sx) + 1
    const y = new Node([batch, outHeight, outWidth, channels])
    /** Calls back with the offsets of an output pixel, an input pixel and a kernel tap that meet. */
    const meetings = (use: (out: number, into: number, tap: number) => void) => {
      for (let b = 0; b < batch; b++)
        for (let oh = 0; oh < outHeight; oh++)
          for (let ow = 0; ow < outWidth; ow++)
            for (let i = 0; i < kh; i++)
              for (let j = 0; j < kw; j++) {
                const h = oh * sy + i - top
                const w = ow * sx + j - left
                if (h < 0 || h >= height || w < 0 || w >= width) continue
                use((b * outHeight + oh) * outWidth + ow, (b * height + h) * width + w, i * kw + j)
              }
    }
    if (depthwise) {
      meetings((out, into, tap) => {
        for (let c = 0; c < channels; c++) y.data[out * channels + c] += x.data[into * channels + c] * weights.data[tap * channels + c]
      })
      this.reverse.push(() =>
        meetings((out, into, tap) => {
          for (let c = 0; c < channels; c++) {
            const g = y.gradient[out * channels + c]
            x.gradient[into * channels + c] += g * weights.data[tap * channels + c]
            weights.gradient[tap * channels + c] += g * x.data[into * channels + c]
          }
        }),
      )
      return y
    }
    meetings((out, into, tap) => {
      for (let i = 0; i < inputs; i++) {
        const value = x.data[into * inputs + i]
        const row = (tap * inputs + i) * channels
        for (let c = 0; c < channels; c++) y.data[out * channels + c] += value * weights.data[row + c]
      }
    })
    this.reverse.push(() =>
      meetings((out, into, tap) => {
        for (let i = 0; i < inputs; i++) {
          const value = x.data[into * inputs + i]
          const row = (tap * inputs + i) * channels
          let sum = 0
          for (let c = 0; c < channels; c++) {
            const g = y.gradient[out * channels + c]
            sum += g * weights.data[row + c]
            weights.gradient[row + c] += g * value
          }
          x.gradient[into * inputs + i] += sum
        }
      }),
    )
    return y
  }

  /** (x - mean) / sqrt(variance + epsilon) * scale + offset with the batch's own mean and (biased) variance. */
  batchNorm(x: Node, scale: Node, offset: Node, epsilon: number): Normalized {
    const channels = x.shape[3]
    const count = x.data.length / channels
    const output = new Node(x.shape)
    const mean = new Float64Array(channels)
    const variance = new Float64Array(channels)
    for (let c = 0; c < channels; c++) {
      for (let i = c; i < x.data.length; i += channels) mean[c] += x.data[i] / count
      for (let i = c; i < x.data.length; i += channels) variance[c] += (x.data[i] - mean[c]) ** 2 / count
      const inverse = 1 / Math.sqrt(variance[c] + epsilon)
      for (let i = c; i < x.data.length; i += channels) output.data[i] = (x.data[i] - mean[c]) * inverse * scale.data[c] + offset.data[c]
    }
    this.reverse.push(() => {
      for (let c = 0; c < channels; c++) {
        const inverse = 1 / Math.sqrt(variance[c] + epsilon)
        let sum = 0
        let sumNormalized = 0
        for (let i = c; i < x.data.length; i += channels) {
          sum += output.gradient[i]
          sumNormalized += output.gradient[i] * (x.data[i] - mean[c]) * inverse
        }
        offset.gradient[c] += sum
        scale.gradient[c] += sumNormalized
        for (let i = c; i < x.data.length; i += channels) {
          const normalized = (x.data[i] - mean[c]) * inverse
          x.gradient[i] += scale.data[c] * inverse * (output.gradient[i] - sum / count - (normalized * sumNormalized) / count)
        }
      }
    })
    return { output, mean, variance }
  }

  /** The same with given statistics, which are constants. */
  normalizeBy(x: Node, mean: ArrayLike<number>, variance: ArrayLike<number>, scale: Node, offset: Node, epsilon: number): Node {
    const channels = x.shape[3]
    return this.pointwise(
      x,
      (value, i) =>
        ((value - mean[i % channels]) / Math.sqrt(variance[i % channels] + epsilon)) * scale.data[i % channels] + offset.data[i % channels],
      (_, i) => scale.data[i % channels] / Math.sqrt(variance[i % channels] + epsilon),
    )
  }

  bias(x: Node, offset: Node): Node {
    const channels = x.shape[3]
    const y = this.pointwise(
      x,
      (value, i) => value + offset.data[i % channels],
      () => 1,
    )
    this.reverse.push(() => y.gradient.forEach((g, i) => (offset.gradient[i % channels] += g)))
    return y
  }

  limit(x: Node, low: number, high: number): Node {
    // a number exactly on a limit was put there by an earlier one, which stopped its gradient
    for (const value of x.data) if (value !== low && value !== high) this.kink(Math.min(Math.abs(value - low), Math.abs(value - high)))
    return this.pointwise(
      x,
      (value) => Math.min(Math.max(value, low), high),
      (value) => (value > low && value < high ? 1 : 0),
    )
  }

  add(...inputs: Node[]): Node {
    const y = new Node(inputs[0].shape)
    for (const x of inputs) x.data.forEach((value, i) => (y.data[i] += value))
    this.reverse.push(() => inputs.forEach((x) => y.gradient.forEach((g, i) => (x.gradient[i] += g))))
    return y
  }

  addScaled(x: Node, y: Node, factor: Node): Node {
    const sum = new Node(
      x.shape,
      x.data.map((value, i) => value + factor.data[0] * y.data[i]),
    )
    this.reverse.push(() =>
      sum.gradient.forEach((g, i) => {
        x.gradient[i] += g
        y.gradient[i] += g * factor.data[0]
        factor.gradient[0] += g * y.data[i]
      }),
    )
    return sum
  }

  /** y_i = sum over j of share_ij value_j, share_i the softmax of query_i · key_j. */
  attend(query: Node, key: Node, value: Node): Node {
    const [batch, height, width, channels] = value.shape
    const depth = query.shape[3]
    const nodes = height * width
    const y = new Node(value.shape)
    const shares = new Float64Array(batch * nodes * nodes)
    const pairs = (use: (i: number, j: number, pair: number) => void) => {
      for (let b = 0; b < batch; b++)
        for (let i = 0; i < nodes; i++) for (let j = 0; j < nodes; j++) use(b * nodes + i, b * nodes + j, (b * nodes + i) * nodes + j)
    }
    const rows = Array.from({ length: batch * nodes }, (_, i) => shares.subarray(i * nodes, (i + 1) * nodes))
    pairs((i, j, pair) => {
      for (let c = 0; c < depth; c++) shares[pair] += query.data[i * depth + c] * key.data[j * depth + c]
    })
    for (const row of rows) {
      const largest = row.reduce((a, b) => Math.max(a, b))
      row.forEach((score, j) => (row[j] = Math.exp(score - largest)))
      const sum = row.reduce((a, b) => a + b)
      row.forEach((part, j) => (row[j] = part / sum))
    }
    pairs((i, j, pair) => {
      for (let c = 0; c < channels; c++) y.data[i * channels + c] += shares[pair] * value.data[j * channels + c]
    })
    this.reverse.push(() => {
      const gradients = new Float64Array(shares.length)
      pairs((i, j, pair) => {
        for (let c = 0; c < channels; c++) {
          const g = y.gradient[i * channels + c]
          gradients[pair] += g * value.data[j * channels + c]
          value.gradient[j * channels + c] += g * shares[pair]
        }
      })
      rows.forEach((row, i) => {
        const own = gradients.subarray(i * nodes, (i + 1) * nodes)
        const mean = row.reduce((sum, share, j) => sum + share * own[j], 0)
        row.forEach((share, j) => (own[j] = share * (own[j] - mean)))
      })
      pairs((i, j, pair) => {
        for (let c = 0; c < depth; c++) {
          query.gradient[i * depth + c] += gradients[pair] * key.data[j * depth + c]
          key.gradient[j * depth + c] += gradients[pair] * query.data[i * depth + c]
        }
      })
    })
    return y
  }

  averagePool(x: Node, kernelSize: readonly [number, number], stride: readonly [number, number]): Node {
    const [batch, height, width, channels] = x.shape
    const outHeight = Math.floor((height - kernelSize[0]) / stride[0]) + 1
    const outWidth = Math.floor((width - kernelSize[1]) / stride[1]) + 1
    const y = new Node([batch, outHeight, outWidth, channels])
    const area = kernelSize[0] * kernelSize[1]
    const members = (use: (out: number, into: number) => void) => {
      for (let out = 0; out < y.data.length; out++) {
        const [b, oh, ow, c] = [
          Math.floor(out / channels / outWidth / outHeight),
          Math.floor(out / channels / outWidth) % outHeight,
          Math.floor(out / channels) % outWidth,
          out % channels,
        ]
        for (let h = oh * stride[0]; h < oh * stride[0] + kernelSize[0]; h++)
          for (let w = ow * stride[1]; w < ow * stride[1] + kernelSize[1]; w++) use(out, ((b * height + h) * width + w) * channels + c)
      }
    }
    members((out, into) => (y.data[out] += x.data[into] / area))
    this.reverse.push(() => members((out, into) => (x.gradient[into] += y.gradient[out] / area)))
    return y
  }

  logMagnitude(x: Node, epsilon: number): Node {
    for (const value of x.data) this.kink(Math.abs(value) * 10) // the slope changes its sign at 0
    return this.pointwise(
      x,
      (value) => Math.log(Math.abs(value) + epsilon),
      (value) => Math.sign(value) / (Math.abs(value) + epsilon),
    )
  }

  reshape(x: Node, height: number, width: number, channels: number): Node {
    const y = new Node([x.shape[0], height, width, channels], x.data.slice())
    this.reverse.push(() => y.gradient.forEach((g, i) => (x.gradient[i] += g)))
    return y
  }

  crop(x: Node, rows: number): Node {
    const [batch, height, width, channels] = x.shape
    const y = new Node([batch, height - rows, width, channels])
    const skipped = rows * width * channels
    const from = (i: number): number => i + skipped * (1 + Math.floor(i / (y.data.length / batch)))
    y.data.forEach((_, i) => (y.data[i] = x.data[from(i)]))
    this.reverse.push(() => y.gradient.forEach((g, i) => (x.gradient[from(i)] += g)))
    return y
  }

  /** Adds an op that works on each number alone; `slope` gives its derivative. */
  pointwise(x: Node, value: (x: number, i: number) => number, slope: (x: number, i: number) => number): Node {
    const y = new Node(x.shape)
    x.data.forEach((v, i) => (y.data[i] = value(v, i)))
    this.reverse.push(() => y.gradient.forEach((g, i) => (x.gradient[i] += g * slope(x.data[i], i))))
    return y
  }

  onBackward(step: () => void): void {
    this.reverse.push(step)
  }

  kink(distance: number): void {
    if (distance < this.kinkDistance) this.kinkDistance = distance
  }
}
