// How depthwise kernels cut maps into tiles (kernels/depthwise-tile.h), and what scratch memory that takes.
/** One axis of a layer. */
export interface Axis {
  readonly size: number
  readonly out: number
  readonly kernel: number
  readonly stride: number
  readonly before: number
}

export interface DepthwiseTile {
  /** Outputs, or strides of inputs where there are more of those. */
  readonly rows: number
  readonly columns: number
  /** Floats. */
  readonly forwardScratch: number
  readonly backwardScratch: number
}

/** Vectors of channels in a tile: whole cache lines. */
const group = 4
/** What a tile may take, in floats: a part of a second-level cache, the maps' own lines need the rest. */
const tileFloats = 32768

/** The largest tile that fits, equal pieces of the map: whole rows if possible. A single output is a tile however large it is. */
export function depthwiseTile(y: Axis, x: Axis, lanes: number): DepthwiseTile {
  const measure = (rows: number, columns: number) => measureTile(y, x, rows, columns, group * lanes)
  const [height, width] = [y, x].map(({ size, out, stride }) => Math.max(out, Math.ceil(size / stride)))
  let tile = measure(height, width)
  for (let pieces = 2; tile.backwardScratch > tileFloats && pieces <= height; pieces++) tile = measure(Math.ceil(height / pieces), width)
  for (let pieces = 2; tile.backwardScratch > tileFloats && pieces <= width; pieces++) tile = measure(tile.rows, Math.ceil(width / pieces))
  return tile
}

function measureTile(y: Axis, x: Axis, rows: number, columns: number, floats: number): DepthwiseTile {
  const windows = ((rows - 1) * y.stride + y.kernel) * (columns + Math.floor((x.kernel - 1) / x.stride)) * x.stride
  const gradients = (rows + margins(y)) * (columns + margins(x))
  const inputs = rows * y.stride * columns * x.stride
  const forwardScratch = floats * windows
  return { rows, columns, forwardScratch, backwardScratch: forwardScratch + floats * (gradients + inputs) }
}

/** Outputs beside those of a tile that its inputs take part in. */
function margins({ kernel, stride, before }: Axis): number {
  return Math.max(0, Math.floor((kernel - 1 - before) / stride)) + Math.floor((stride - 1 + before) / stride)
}
