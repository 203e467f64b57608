// Widths of a member of a space that a budget allows. Ours.
import type { Random } from '@bitwright/engine'
import { choicesOf } from '../spaces/decisions.ts'
import type { Space } from '../spaces/space.ts'

/**
 * The member with the widths of `decisions` where these fit, and no narrower than it must be where they do not: all down together until the
 * budget is met, then each up again as far as it allows, in random order.
 * @returns undefined where it fits at no widths
 */
export function widthsWithin(
  space: Space,
  decisions: readonly number[],
  fits: (decisions: readonly number[]) => boolean,
  random: Random,
): readonly number[] | undefined {
  if (fits(decisions)) return decisions
  const bits = choicesOf(space, 'bits')
  const counts = space.choices.map(({ options }) => options.length)
  const capped = (down: number) =>
    decisions.map((option, i) => (bits.includes(i) ? Math.min(option, Math.max(0, counts[i] - 1 - down)) : option))
  const least = Math.max(0, ...bits.map((choice) => counts[choice] - 1))
  const down = Array.from({ length: least }, (_, i) => i + 1).find((i) => fits(capped(i)))
  if (down === undefined) return undefined
  let widest: readonly number[] = capped(down)
  for (const at of random.permutation(bits.length)) {
    const choice = bits[at]
    for (let option = decisions[choice]; option > widest[choice]; option--) {
      const wider = widest.with(choice, option)
      if (fits(wider)) widest = wider
    }
  }
  return widest
}

/** The same architecture at its widest: every width the last option, or as near to it as the budget allows. */
export function widestWithin(
  space: Space,
  decisions: readonly number[],
  fits: (decisions: readonly number[]) => boolean,
  random: Random,
): readonly number[] | undefined {
  const full = space.choices.map(({ kind, options }, choice) => (kind === 'bits' ? options.length - 1 : decisions[choice]))
  return widthsWithin(space, full, fits, random)
}
