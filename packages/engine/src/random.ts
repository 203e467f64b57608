// The one source of randomness: Threefry-2x32 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11), a
// counter-based generator. A stream is keyed by a seed and a path of purposes, so that a draw depends on what it is for and not
// on what was drawn before elsewhere.

const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const

/** One Threefry-2x32 block with 20 rounds: two key words and two counter words give two random words. */
export function threefry2x32(key0: number, key1: number, counter0: number, counter1: number, out: Uint32Array): void {
  const keys = [key0 | 0, key1 | 0, (0x1bd11bda ^ key0 ^ key1) | 0]
  let x = (counter0 + keys[0]) | 0
  let y = (counter1 + keys[1]) | 0
  for (let group = 0; group < 5; group++) {
    for (let round = 0; round < 4; round++) {
      const r = rotations[(group % 2) * 4 + round]
      x = (x + y) | 0
      y = ((y << r) | (y >>> (32 - r))) ^ x
    }
    x = (x + keys[(group + 1) % 3]) | 0
    y = (y + keys[(group + 2) % 3] + group + 1) | 0
  }
  out[0] = x
  out[1] = y
}

function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h | 0
}

export class Random {
  private readonly words = new Uint32Array(2)
  private readonly key0: number
  private readonly key1: number
  private counter: number

  /** Stream for a seed and a path of purposes, e.g. `new Random(0, 'augmentation', epoch, clip)`. */
  constructor(seed: number, ...path: readonly (string | number)[]) {
    let key0 = seed | 0
    let key1 = Math.floor(seed / 2 ** 32) | 0
    for (const part of path) {
      threefry2x32(key0, key1, typeof part === 'number' ? part | 0 : hash(part), typeof part === 'number' ? 1 : 2, this.words)
      key0 = this.words[0] | 0
      key1 = this.words[1] | 0
    }
    this.key0 = key0
    this.key1 = key1
    this.counter = 0
  }

  /** Uniform 32-bit integer. */
  uint32(): number {
    if ((this.counter & 1) === 0) threefry2x32(this.key0, this.key1, this.counter >>> 1, 0, this.words)
    return this.words[this.counter++ & 1]
  }

  /** Uniform in [low, high), 32 bits of resolution. */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.uint32() / 2 ** 32)
  }

  /** Uniform integer in [0, count). */
  integer(count: number): number {
    return Math.floor(this.uniform(0, count))
  }

  /** Normal with mean 0 and standard deviation 1 (Box-Muller, one of the pair). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()))
    return radius * Math.cos(2 * Math.PI * this.uniform())
  }

  /** A permutation of [0, count). */
  permutation(count: number): Int32Array {
    const order = Int32Array.from({ length: count }, (_, i) => i)
    for (let i = count - 1; i > 0; i--) {
      const j = this.integer(i + 1)
      const swap = order[i]
      order[i] = order[j]
      order[j] = swap
    }
    return order
  }
}
