// Reads an ONNX file back for the tests: a decoder of the wire format that shares nothing with the writer, and the messages of onnx.proto
// by their field numbers.

/** Values of one field in their order: numbers, or bytes. */
type Fields = ReadonlyMap<number, readonly (bigint | Uint8Array)[]>

function decode(bytes: Uint8Array): Fields {
  const fields = new Map<number, (bigint | Uint8Array)[]>()
  let at = 0
  const varint = (): bigint => {
    for (let value = 0n, shift = 0n; ; shift += 7n) {
      if (at >= bytes.length) throw new Error('a varint runs over the end')
      const byte = bytes[at++]
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new Error('a field runs over the end')
    return bytes.subarray(at, (at += length))
  }
  while (at < bytes.length) {
    const key = Number(varint())
    const [field, wireType] = [key >> 3, key & 7]
    const value = wireType === 0 ? varint() : wireType === 2 ? take(Number(varint())) : wireType === 5 ? take(4) : undefined
    if (value === undefined) throw new Error(`field ${field} has wire type ${wireType}`)
    fields.set(field, [...(fields.get(field) ?? []), value])
  }
  return fields
}

const all = (fields: Fields, field: number): Uint8Array[] => (fields.get(field) ?? []) as Uint8Array[]
const text = (bytes: Uint8Array | undefined): string => new TextDecoder('utf-8', { fatal: true }).decode(bytes ?? new Uint8Array())
const integers = (fields: Fields, field: number): number[] =>
  (fields.get(field) ?? []).map((value) => Number(BigInt.asIntN(64, value as bigint)))
const nameIn = (fields: Fields, field: number): string => text(all(fields, field)[0])

const types: Readonly<Record<number, string>> = { 1: 'float', 2: 'uint8', 3: 'int8', 5: 'int16', 7: 'int64', 22: 'int4', 26: 'int2' }
const widths: Readonly<Record<string, number>> = { float: 32, uint8: 8, int8: 8, int16: 16, int64: 64, int4: 4, int2: 2 }

export interface OnnxConstant {
  readonly type: string
  readonly shape: readonly number[]
  readonly values: readonly number[]
  readonly bytes: number
}
export interface OnnxNode {
  readonly name: string
  readonly op: string
  readonly inputs: readonly string[]
  readonly output: string
  readonly attributes: Readonly<Record<string, readonly number[]>>
}
export interface OnnxValue {
  readonly name: string
  readonly type: string
  readonly shape: readonly number[]
}
export interface OnnxFile {
  readonly irVersion: number
  readonly opset: number
  readonly name: string
  readonly nodes: readonly OnnxNode[]
  readonly constants: ReadonlyMap<string, OnnxConstant>
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
  readonly metadata: Readonly<Record<string, string>>
}

function valuesOf(type: string, count: number, raw: Uint8Array): number[] {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength)
  const bits = widths[type]
  return Array.from({ length: count }, (_, i) => {
    if (type === 'float') return view.getFloat32(4 * i, true)
    if (type === 'int64') return Number(view.getBigInt64(8 * i, true))
    if (type === 'int16') return view.getInt16(2 * i, true)
    const unsigned = (raw[(i * bits) >> 3] >> ((i * bits) & 7)) & (2 ** bits - 1)
    return type.startsWith('u') || unsigned < 2 ** (bits - 1) ? unsigned : unsigned - 2 ** bits
  })
}

function constantOf(fields: Fields): [string, OnnxConstant] {
  const type = types[integers(fields, 2)[0]]
  const shape = integers(fields, 1)
  const raw = all(fields, 9)[0]
  const count = shape.reduce((product, length) => product * length, 1)
  if (raw.length !== Math.ceil((count * widths[type]) / 8))
    throw new Error(`${nameIn(fields, 8)}: ${raw.length} bytes for ${count} of ${type}`)
  return [nameIn(fields, 8), { type, shape, values: valuesOf(type, count, raw), bytes: raw.length }]
}

function nodeOf(fields: Fields): OnnxNode {
  const attributes = all(fields, 5).map((bytes) => {
    const attribute = decode(bytes)
    const [kind] = integers(attribute, 20)
    return [nameIn(attribute, 1), kind === 7 ? integers(attribute, 8) : kind === 2 ? integers(attribute, 3) : []] as const
  })
  return {
    name: nameIn(fields, 3),
    op: nameIn(fields, 4),
    inputs: all(fields, 1).map(text),
    output: nameIn(fields, 2),
    attributes: Object.fromEntries(attributes),
  }
}

function valueInfo(fields: Fields): OnnxValue {
  const tensor = decode(all(decode(all(fields, 2)[0]), 1)[0])
  const dimensions = all(decode(all(tensor, 2)[0]), 1)
  return { name: nameIn(fields, 1), type: types[integers(tensor, 1)[0]], shape: dimensions.map((bytes) => integers(decode(bytes), 1)[0]) }
}

export function readOnnx(bytes: Uint8Array): OnnxFile {
  const model = decode(bytes)
  const graph = decode(all(model, 7)[0])
  const [opset] = all(model, 8).map(decode)
  const metadata = all(model, 14).map((entry) => [nameIn(decode(entry), 1), nameIn(decode(entry), 2)])
  return {
    irVersion: integers(model, 1)[0],
    opset: integers(opset, 2)[0],
    name: nameIn(graph, 2),
    nodes: all(graph, 1).map((each) => nodeOf(decode(each))),
    constants: new Map(all(graph, 5).map((each) => constantOf(decode(each)))),
    inputs: all(graph, 11).map((each) => valueInfo(decode(each))),
    outputs: all(graph, 12).map((each) => valueInfo(decode(each))),
    metadata: Object.fromEntries(metadata) as Record<string, string>,
  }
}
