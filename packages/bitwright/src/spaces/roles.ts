// What stays of a layer when another option stands in its place: its role. Weights, quantizers and bit-widths that options share are
// kept by role.
import { isMultiplying } from '../network/graph.ts'
import type { Space } from './space.ts'

/** A name without what tells sizes apart: from an `@` to the next dot. */
export const withoutSizes = (name: string): string => name.replaceAll(/@[^.]*/g, '')

/**
 * The place of a layer or parameter whatever option stands there: `s3.l1.e3k5.depthwise` is `s3.l1.depthwise`, `first` is `first`. A name loses the
 * option of the choice that begins it and what tells sizes apart.
 */
export function roleOf(space: Space, id: string): string {
  const name = withoutSizes(id)
  for (const choice of space.choices) {
    if (!name.startsWith(`${choice.name}.`)) continue
    const rest = name.slice(choice.name.length)
    const option = choice.options.find((candidate) => `${rest}.`.startsWith(`.${candidate}.`))
    if (option !== undefined) return choice.name + rest.slice(option.length + 1)
  }
  return name
}

/** The roles of all layers that multiply, over all options, each once, in network order. */
export function rolesOf(space: Space): string[] {
  const most = Math.max(1, ...space.choices.map(({ options }) => options.length))
  const roles: string[] = []
  for (let option = 0; option < most; option++) {
    const network = space.build(space.choices.map(({ options }) => Math.min(option, options.length - 1)))
    let before = -1
    for (const { id } of network.nodes.filter(isMultiplying)) {
      const role = roleOf(space, id)
      const known = roles.indexOf(role)
      before = known >= 0 ? known : before + 1
      if (known < 0) roles.splice(before, 0, role)
    }
  }
  return roles
}
