// Brings trained widths down to an average before they stand still.
import {
  type ActivationQuantizer,
  averageBits,
  TrainedBits,
  TrainedBitsActivation,
  type WeightQuantizer,
  type WidthItem,
} from '../quantizers/index.ts'

/** A layer that narrows a stream of 8 bits for itself has at most this many. */
export const mostNarrowedBits = 7

/**
 * Takes bits from the trained widths that are nearest to their next lower one until the average is at most the target (or all have two),
 * then gives bits back, nearest to their next higher one first, where the average allows it.
 */
export function meetAverage(
  entries: readonly { quantizer: WeightQuantizer | ActivationQuantizer; width: () => WidthItem }[],
  target: number,
): void {
  const average = () => averageBits(entries.map(({ width }) => width()))
  const trained = entries
    .map(({ quantizer }) => quantizer)
    .filter((quantizer) => quantizer instanceof TrainedBits || quantizer instanceof TrainedBitsActivation)
    .map((quantizer) => ({ quantizer, offset: quantizer.parameters().at(-1)!.values }))
  if (average() <= target) return
  /** Where the width lies between the next lower (0) and the next higher (1). */
  const place = ({ quantizer, offset }: (typeof trained)[number]) => Math.abs(offset[0]) + 2.5 - quantizer.bits()
  const set = ({ offset }: (typeof trained)[number], bits: number) => (offset[0] = (offset[0] < 0 ? -1 : 1) * (bits - 2))
  while (average() > target) {
    const [nearest] = trained.filter(({ quantizer }) => quantizer.bits() > 2).toSorted((a, b) => place(a) - place(b))
    if (!nearest) return
    set(nearest, nearest.quantizer.bits() - 1)
  }
  for (const entry of trained.toSorted((a, b) => place(b) - place(a))) {
    const bits = entry.quantizer.bits()
    if (bits >= mostNarrowedBits) continue
    set(entry, bits + 1)
    if (average() > target) set(entry, bits)
  }
}
