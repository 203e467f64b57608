// Widths of a member of a space that a budget allows. Ours.
import type { Random } from '@bitwright/engine'
import { choicesOf } from '../spaces/decisions.ts'
import type { Space } from '../spaces/space.ts'

/** `decisions` with every width at most the option `down` below its choice's last. */
function capped(space: Space, decisions: readonly number[], down: number): readonly number[] {
  return decisions.map((option, i) => {
    const { kind, options } = space.choices[i]
    return kind === 'bits' ? Math.min(option, Math.max(0, options.length - 1 - down)) : option
  })
}

/** Steps down of all widths together until they fit; undefined where they never do. */
function stepsDown(space: Space, decisions: readonly number[], fits: (decisions: readonly number[]) => boolean): number | undefined {
  const most = Math.max(0, ...choicesOf(space, 'bits').map((choice) => space.choices[choice].options.length - 1))
  return Array.from({ length: most + 1 }, (_, down) => down).find((down) => fits(capped(space, decisions, down)))
}

/** Each width of `from` up towards that of `decisions` as far as the budget allows, in random order. */
function raised(
  space: Space,
  from: readonly number[],
  decisions: readonly number[],
  fits: (decisions: readonly number[]) => boolean,
  random: Random,
): readonly number[] {
  const bits = choicesOf(space, 'bits')
  let widest = from
  for (const at of random.permutation(bits.length)) {
    const choice = bits[at]
    for (let option = decisions[choice]; option > widest[choice]; option--) {
      const wider = widest.with(choice, option)
      if (fits(wider)) widest = wider
    }
  }
  return widest
}

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
  const down = stepsDown(space, decisions, fits)
  return down === undefined ? undefined : raised(space, capped(space, decisions, down), decisions, fits, random)
}

/**
 * The same architecture at its widest: every width the last option, or as near to it as the budget allows. Where one width throughout is over
 * it by so little that one narrower choice makes up for it with fewer bytes lost than by all a step down, it is that one; else as `widthsWithin` has it.
 */
export function widestWithin(
  space: Space,
  decisions: readonly number[],
  fits: (decisions: readonly number[]) => boolean,
  bytesOf: (decisions: readonly number[]) => number,
  random: Random,
): readonly number[] | undefined {
  const full = space.choices.map(({ kind, options }, choice) => (kind === 'bits' ? options.length - 1 : decisions[choice]))
  const down = stepsDown(space, full, fits)
  if (down === undefined) return undefined
  const over = down > 0 ? capped(space, full, down - 1) : undefined
  const narrower = over
    ? choicesOf(space, 'bits').flatMap((choice) => {
        const option = Array.from({ length: over[choice] }, (_, i) => over[choice] - 1 - i).find((lower) => fits(over.with(choice, lower)))
        return option === undefined ? [] : [over.with(choice, option)]
      })
    : []
  const from = narrower.reduce((best, other) => (bytesOf(other) > bytesOf(best) ? other : best), capped(space, full, down))
  return raised(space, from, full, fits, random)
}
