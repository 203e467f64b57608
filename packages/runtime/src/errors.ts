// Why a .bw file is refused: the words for core/'s status codes (the order of the BW_ enumeration in core/bw.h).

/** A .bw file or an integer model that is refused; the message is one line: what is wrong, where, and how to mend it. */
export class BadModelError extends Error {
  override readonly name = 'BadModelError'
}

type Place = 'file' | 'tensor' | 'layer'
const causes: readonly (readonly [Place, string])[] = [
  ['file', ''],
  ['file', 'the image is not aligned to 4 bytes: copy it to an aligned buffer'],
  ['file', 'too short to be a model (file is truncated): export it again'],
  ['file', 'not a .bw model (wrong first bytes): choose a file made by bitwright'],
  ['file', 'is of format version %, which this bitwright cannot run: export it again from its run'],
  ['file', 'length differs from the header (file is truncated or has bytes added): export it again'],
  ['file', 'checksum differs (file is damaged): export it again'],
  ['file', 'the header names tables that are missing, too large or outside the file: export it again'],
  ['file', 'the front end cannot be (window, hop, bands or frequencies are out of range): correct it and export again'],
  ['file', 'the table of names is broken: export it again'],
  ['file', 'the input tensor does not fit the front end: correct its shape or container and export again'],
  ['file', 'the last layer must give int16 logits [1, 1, classes]: correct it and export again'],
  ['file', 'more than 2^31 multiply-accumulates a run: make the network smaller'],
  ['tensor', 'shape, width, range, zero point or scale is impossible: correct it and export again'],
  ['tensor', 'lies outside the arena: export it again'],
  ['layer', 'unknown operation, width or tensor: export it again'],
  [
    'layer',
    'shapes of inputs, kernel and output disagree, or attention is over more than 1024 positions: correct the layer and export again',
  ],
  ['layer', 'weights or parameters lie outside the file: export it again'],
  ['layer', 'reads a tensor before it is made, or makes one a second time: put the layers in order'],
  ['layer', 'memory of tensors in use overlaps: export it again'],
  [
    'layer',
    'a sum could leave int32 (sum|w| * max|x - zeroPoint| * 2^accumulatorShift + |bias| must stay below 2^31, scores of attention below 2^30): use fewer taps or narrower inputs',
  ],
  ['layer', 'a shift lies outside -31..30: rescale the layer'],
]

/** The error for a status of bw_open. @param fault the tensor or layer, or a file's version @param label names a tensor or layer by its index */
export function refusal(
  file: string,
  status: number,
  fault: number,
  label?: (place: 'tensor' | 'layer', index: number) => string,
): BadModelError {
  const [place, cause] = causes[status] ?? ['file', `refused with unknown status ${status}`]
  if (place === 'file') return new BadModelError(`${file}: ${cause.replace('%', String(fault >>> 0))}`)
  return new BadModelError(`${file}: ${place} ${label?.(place, fault) ?? fault}: ${cause}`)
}
