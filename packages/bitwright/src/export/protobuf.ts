// Writes protocol buffer messages (the wire format of protobuf.dev/programming-guides/encoding): varints, 32-bit floats and
// length-delimited fields, which is all that ONNX needs. Forty lines in place of a library and thousands of generated ones.

const wireTypes = { varint: 0, lengthDelimited: 2, fixed32: 5 } as const

function varint(value: number): number[] {
  // a negative int64 is written as its two's complement
  let rest = BigInt.asUintN(64, BigInt(value))
  const bytes: number[] = []
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  bytes.push(Number(rest))
  return bytes
}

/** One message; fields stand in the order they are given in, and a repeated field is given several times. */
export class Message {
  private readonly parts: Uint8Array[] = []

  integer(field: number, value: number): this {
    return this.append(field, wireTypes.varint, Uint8Array.from(varint(value)))
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setFloat32(0, value, true)
    return this.append(field, wireTypes.fixed32, bytes)
  }

  /** A string, bytes, or a message within this one. */
  bytes(field: number, value: string | Uint8Array | Message): this {
    const content = typeof value === 'string' ? new TextEncoder().encode(value) : value instanceof Message ? value.finish() : value
    return this.append(field, wireTypes.lengthDelimited, Uint8Array.from(varint(content.length)), content)
  }

  finish(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.parts))
  }

  private append(field: number, wireType: number, ...content: Uint8Array[]): this {
    this.parts.push(Uint8Array.from(varint((field << 3) | wireType)), ...content)
    return this
  }
}
